/** Pictures drawn through a mesh, by the processor: the same everywhere, with or without WebGL. */
import type { Mesh } from "../geometry/morph.ts";

export interface Picture {
  /** RGBA, row by row. */
  readonly data: Uint8ClampedArray<ArrayBuffer>;
  readonly side: number;
}

/** Draw the square `source` through a mesh into the square `target`, bilinear; clear where there is nothing. */
export function drawThrough(mesh: Mesh, source: Picture, target: Picture): void {
  const { cells, places } = mesh;
  const n = source.side;
  const last = n - 1.001;
  const pixels = new Uint32Array(source.data.buffer, source.data.byteOffset, n * n);
  const out = new Uint32Array(target.data.buffer, target.data.byteOffset, target.side * target.side);
  const size = target.side;
  const row = new Float32Array((cells + 1) * 2);
  const perPixel = cells / size;
  const half = n / 2;
  for (let y = 0, o = 0; y < size; y++) {
    const at = (y + 0.5) * perPixel;
    const top = Math.min(cells - 1, at | 0);
    const down = at - top;
    const first = top * (cells + 1) * 2;
    const below = first + (cells + 1) * 2;
    for (let k = 0; k < row.length; k++) {
      // Places in the frame become pixels of the source.
      row[k] = (places[first + k] * (1 - down) + places[below + k] * down + 1) * half - 0.5;
    }
    for (let x = 0; x < size; x++, o++) {
      const across = (x + 0.5) * perPixel;
      const left = Math.min(cells - 1, across | 0);
      const right = across - left;
      const k = left * 2;
      let sx = row[k] * (1 - right) + row[k + 2] * right;
      let sy = row[k + 1] * (1 - right) + row[k + 3] * right;
      if (!(sx > -0.5 && sx < n - 0.5 && sy > -0.5 && sy < n - 0.5)) {
        out[o] = 0;
        continue;
      }
      sx = sx < 0 ? 0 : sx > last ? last : sx;
      sy = sy < 0 ? 0 : sy > last ? last : sy;
      out[o] = blend(pixels, n, sx, sy);
    }
  }
}

/** Bilinear mix of four packed pixels in steps of 1/256, two channels at a time. */
function blend(pixels: Uint32Array, n: number, sx: number, sy: number): number {
  const x0 = sx | 0;
  const y0 = sy | 0;
  const fx = ((sx - x0) * 256) | 0;
  const fy = ((sy - y0) * 256) | 0;
  const i = y0 * n + x0;
  const p00 = pixels[i];
  const p10 = pixels[i + 1];
  const p01 = pixels[i + n];
  const p11 = pixels[i + n + 1];
  const w11 = (fx * fy) >> 8;
  const w10 = fx - w11;
  const w01 = fy - w11;
  const w00 = 256 - fx - fy + w11;
  const rb = (p00 & 0xff00ff) * w00 + (p10 & 0xff00ff) * w10 + (p01 & 0xff00ff) * w01 + (p11 & 0xff00ff) * w11;
  const ga =
    ((p00 >>> 8) & 0xff00ff) * w00 +
    ((p10 >>> 8) & 0xff00ff) * w10 +
    ((p01 >>> 8) & 0xff00ff) * w01 +
    ((p11 >>> 8) & 0xff00ff) * w11;
  return (((rb >>> 8) & 0xff00ff) | (ga & 0xff00ff00)) >>> 0;
}
