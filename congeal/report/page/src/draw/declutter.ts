/** Which thumbnails are shown so that none hides another: the first of each neighbourhood, in a fixed order. */
import type { View } from "./dots.ts";

interface Placed {
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly sheet: Int32Array;
}

/** [row, x, y] of each thumbnail, in pixels of the canvas, one after the other; none of faint dots. */
export function declutter(
  points: Placed,
  order: Uint32Array,
  colours: Uint32Array,
  view: View,
  size: number,
  width: number,
  height: number,
  faint: number,
): number[] {
  const columns = Math.ceil(width / size) + 2;
  const taken = new Map<number, number>();
  const out: number[] = [];
  const { x, y, sheet } = points;
  for (let k = 0; k < order.length; k++) {
    const row = order[k];
    const px = (x[row] - view.centreX) * view.scale + width / 2;
    const py = (y[row] - view.centreY) * view.scale + height / 2;
    if (px < -size / 2 || py < -size / 2 || px > width + size / 2 || py > height + size / 2) continue;
    if (sheet[row] < 0 || colours[row] === 0 || (faint && colours[row] >>> 24 === faint)) continue;
    const column = Math.floor(px / size) + 1;
    const line = Math.floor(py / size) + 1;
    if (free(taken, out, columns, column, line, px, py, size)) {
      taken.set(line * columns + column, out.length);
      out.push(row, px, py);
    }
  }
  return out;
}

function free(taken: Map<number, number>, out: number[], columns: number, column: number, line: number, px: number, py: number, size: number): boolean {
  for (let dy = -1; dy <= 1; dy++)
    for (let dx = -1; dx <= 1; dx++) {
      const other = taken.get((line + dy) * columns + column + dx);
      if (other !== undefined && Math.abs(out[other + 1] - px) < size && Math.abs(out[other + 2] - py) < size) return false;
    }
  return true;
}

/** The rows in an order that favours none, always the same. */
export function scattered(rows: number): Uint32Array {
  const order = Uint32Array.from({ length: rows }, (_, k) => k);
  let state = 12345;
  for (let k = rows - 1; k > 0; k--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = state % (k + 1);
    [order[k], order[other]] = [order[other], order[k]];
  }
  return order;
}
