/** From a point of one image to its counterpart on another, by way of the atlas: `congeal/transfer/points.py`. */
import { type Field, interpolate } from "./fields.ts";
import { type Place, type Size, clamp, inside, reach, toFrame } from "./frames.ts";

/** The stored maps of one image. */
export interface Maps {
  readonly size: Size;
  /** For each cell of the atlas its place in the image, in pixels. */
  readonly forward: Field;
  readonly forwardConfidence: Field;
  /** For each cell of the image's frame its place in the atlas. */
  readonly backward: Field;
  readonly backwardConfidence: Field;
}

/** A place in the atlas, and how sure it is. */
export interface AtlasPlace {
  readonly u: number;
  readonly v: number;
  readonly confidence: number;
}

/** A place in an image, in pixels; confidence is 0 where it does not lie on the image. */
export interface Counterpart {
  readonly x: number;
  readonly y: number;
  readonly confidence: number;
  readonly inside: boolean;
}

/** Confidence from which a counterpart counts as seen (`congeal.transfer.points.VISIBLE`). */
export const VISIBLE = 0.5;

export function toAtlas(maps: Maps, x: number, y: number): AtlasPlace {
  const [a, b] = toFrame(maps.size, x, y);
  return {
    u: interpolate(maps.backward, a, b, 0),
    v: interpolate(maps.backward, a, b, 1),
    confidence: clamp(interpolate(maps.backwardConfidence, a, b), 0, 1),
  };
}

/** Where a place of the atlas is in an image. */
export function fromAtlas(maps: Maps, at: AtlasPlace): Counterpart {
  const { u, v } = at;
  const x = interpolate(maps.forward, u, v, 0);
  const y = interpolate(maps.forward, u, v, 1);
  const limit = reach(maps.forward.side);
  const on = inside(maps.size, x, y);
  if (!on || Math.abs(u) > limit || Math.abs(v) > limit) return { x, y, confidence: 0, inside: on };
  const there = clamp(interpolate(maps.forwardConfidence, clamp(u, -1, 1), clamp(v, -1, 1)), 0, 1);
  return { x, y, confidence: Math.sqrt(at.confidence * there), inside: true };
}

export function counterpart(source: Maps, x: number, y: number, target: Maps): Counterpart {
  return fromAtlas(target, toAtlas(source, x, y));
}

/** A polygon of pixels, in the atlas; corners are set between so that straight edges may bend. */
export function outlineToAtlas(source: Maps, corners: Place[], steps = 8): AtlasPlace[] {
  const out: AtlasPlace[] = [];
  for (let i = 0; i < corners.length; i++) {
    const [x0, y0] = corners[i];
    const [x1, y1] = corners[(i + 1) % corners.length];
    for (let k = 0; k < steps; k++) {
      const t = k / steps;
      out.push(toAtlas(source, x0 + (x1 - x0) * t, y0 + (y1 - y0) * t));
    }
  }
  return out;
}
