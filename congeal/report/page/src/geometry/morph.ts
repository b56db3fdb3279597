/**
 * A member on its way into the atlas frame.
 *
 * A mesh says for every place of the square that is drawn where to look in the image's frame. At 0 that is the
 * frame itself, at 1 the atlas frame. Between them the pose turns, grows and moves evenly, the flow comes in
 * evenly, and a mirrored image turns over like a card.
 */
import { interpolate } from "./fields.ts";
import { type Place, clamp, toFrame } from "./frames.ts";
import type { Maps } from "./maps.ts";

/** Oriented frame position = scale·turn(rotation)·(place + flow) + translation; mirrored: x changes its sign. */
export interface Pose {
  readonly mirrored: boolean;
  readonly rotation: number;
  readonly scale: number;
  readonly translation: Place;
}

export interface Mesh {
  /** [cells + 1 (v), cells + 1 (u), 2]: places in the frame, at the corners of even cells of [-1, 1]². */
  readonly places: Float32Array;
  readonly cells: number;
}

export const MESH_CELLS = 48;
const EDGEWISE = 1e-3; // a card nearer to its edge than this shows nothing
const NOWHERE = 1e4;

export function morphMesh(maps: Maps, pose: Pose, t: number, cells = MESH_CELLS): Mesh {
  const places = new Float32Array((cells + 1) * (cells + 1) * 2);
  const turned = pose.mirrored ? 1 - 2 * t : 1;
  const across = Math.abs(turned) < EDGEWISE ? NOWHERE : 1 / turned;
  const growth = pose.scale ** t;
  const cos = growth * Math.cos(pose.rotation * t);
  const sin = growth * Math.sin(pose.rotation * t);
  const [shiftX, shiftY] = pose.translation;
  const c1 = Math.cos(pose.rotation) / pose.scale;
  const s1 = Math.sin(pose.rotation) / pose.scale;
  for (let row = 0, k = 0; row <= cells; row++) {
    const v = (2 * row) / cells - 1;
    for (let column = 0; column <= cells; column++, k += 2) {
      const u = (2 * column) / cells - 1;
      let x = u;
      let y = v;
      if (t > 0) {
        // What the whole map does beyond its pose, in atlas units.
        const x1 = interpolate(maps.forward, u, v, 0);
        const y1 = interpolate(maps.forward, u, v, 1);
        const [frameX, frameY] = toFrame(maps.size, x1, y1);
        const dx = (pose.mirrored ? -frameX : frameX) - shiftX;
        const dy = frameY - shiftY;
        x = u + t * (c1 * dx + s1 * dy - u);
        y = v + t * (c1 * dy - s1 * dx - v);
      }
      places[k] = (cos * x - sin * y + t * shiftX) * across;
      places[k + 1] = sin * x + cos * y + t * shiftY;
    }
  }
  return { places, cells };
}

/** Where to look in the frame for what is drawn at (u, v). */
export function lookUp(mesh: Mesh, u: number, v: number): Place {
  const { places, cells } = mesh;
  const column = ((u + 1) * cells) / 2;
  const row = ((v + 1) * cells) / 2;
  const left = clamp(Math.floor(column), 0, cells - 1);
  const top = clamp(Math.floor(row), 0, cells - 1);
  const right = column - left;
  const down = row - top;
  const first = (top * (cells + 1) + left) * 2;
  const below = first + (cells + 1) * 2;
  const at = (i: number): number =>
    (places[first + i] * (1 - right) + places[first + 2 + i] * right) * (1 - down) +
    (places[below + i] * (1 - right) + places[below + 2 + i] * right) * down;
  return [at(0), at(1)];
}

/**
 * Where the place (x, y) of the frame is drawn: the mesh turned round by Newton's method from a first guess.
 *
 * Null where it does not come near (a fold, or a place that is not drawn).
 */
export function drawnAt(mesh: Mesh, x: number, y: number, guess: Place, rounds = 12): Place | null {
  let [u, v] = guess;
  const h = 1 / mesh.cells;
  for (let round = 0; round < rounds; round++) {
    const [px, py] = lookUp(mesh, u, v);
    const ex = x - px;
    const ey = y - py;
    if (ex * ex + ey * ey < 1e-9) return [u, v];
    const [rx, ry] = lookUp(mesh, u + h, v);
    const [lx, ly] = lookUp(mesh, u - h, v);
    const [bx, by] = lookUp(mesh, u, v + h);
    const [tx, ty] = lookUp(mesh, u, v - h);
    const a = (rx - lx) / (2 * h);
    const b = (bx - tx) / (2 * h);
    const c = (ry - ly) / (2 * h);
    const d = (by - ty) / (2 * h);
    const det = a * d - b * c;
    if (Math.abs(det) < 1e-6) return null;
    const du = clamp((d * ex - b * ey) / det, -0.5, 0.5);
    const dv = clamp((a * ey - c * ex) / det, -0.5, 0.5);
    u = clamp(u + du, -1.6, 1.6);
    v = clamp(v + dv, -1.6, 1.6);
  }
  const [px, py] = lookUp(mesh, u, v);
  return (x - px) ** 2 + (y - py) ** 2 < 4e-4 ? [u, v] : null;
}
