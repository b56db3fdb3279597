/** Cell-centred fields over the square [-1, 1]², read as `congeal.transfer.points.interpolate` reads them. */
import { clamp } from "./frames.ts";

export interface Field {
  /** [side (v), side (u), channels], row by row. */
  readonly values: Float32Array;
  readonly side: number;
  readonly channels: number;
}

/**
 * Bilinear value of one channel at (u, v).
 *
 * Beyond the outermost centres the field goes on straight, by one and a half cells at most.
 */
export function interpolate(field: Field, u: number, v: number, channel = 0): number {
  const { values, side, channels } = field;
  if (side === 1) return values[channel];
  const column = ((u + 1) * side) / 2 - 0.5;
  const row = ((v + 1) * side) / 2 - 0.5;
  const left = clamp(Math.floor(column), 0, side - 2);
  const top = clamp(Math.floor(row), 0, side - 2);
  const right = clamp(column - left, -1.5, 2.5);
  const down = clamp(row - top, -1.5, 2.5);
  const first = (top * side + left) * channels + channel;
  const below = first + side * channels;
  const upper = values[first] * (1 - right) + values[first + channels] * right;
  const lower = values[below] * (1 - right) + values[below + channels] * right;
  return upper * (1 - down) + lower * down;
}
