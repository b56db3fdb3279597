/** Quantised fields of the scripts: base64, zstd, predicted from their neighbours. */
import { decompress } from "fzstd";
import type { Field } from "../geometry/fields.ts";
import type { Packed } from "./types.ts";

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (native) return native.call(Uint8Array, base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The fields of n images: [n, c, h, w] in the bytes, [h, w, c] each in what is given back. */
export function unpack(packed: Packed, wide: boolean): Field[] {
  const [n, height, width, channels] = packed.shape;
  const bytes = decompress(bytesOf(packed.data));
  const plane = height * width;
  const total = n * channels * plane;
  if (bytes.length !== total * (wide ? 2 : 1))
    throw new Error(`a field of ${total} numbers has ${bytes.length} bytes: the report's files are damaged; make it again`);
  const fields: Field[] = [];
  // A row and a column of zeros before the first spare the question whether there is a neighbour.
  const stride = width + 1;
  const quantised = wide ? new Uint16Array(stride * (height + 1)) : new Uint8Array(stride * (height + 1));
  for (let image = 0; image < n; image++) {
    const values = new Float32Array(plane * channels);
    for (let channel = 0; channel < channels; channel++) {
      const k = image * channels + channel;
      const low = bytes.subarray(k * plane, (k + 1) * plane);
      const high = wide ? bytes.subarray(total + k * plane, total + (k + 1) * plane) : null;
      const lo = packed.lo[k];
      const step = packed.step[k];
      let to = channel;
      for (let row = 0, i = 0; row < height; row++) {
        let at = (row + 1) * stride + 1;
        for (let column = 0; column < width; column++, i++, at++, to += channels) {
          const q = quantised[at - 1] + quantised[at - stride] - quantised[at - stride - 1];
          // The array's type takes the sum modulo its size.
          quantised[at] = q + low[i] + (high ? high[i] << 8 : 0);
          values[to] = lo + quantised[at] * step;
        }
      }
    }
    fields.push({ values, side: width, channels });
  }
  return fields;
}
