/** Quantised fields of the scripts: base64, zstd, predicted from their neighbours. */
import { decompress } from "fzstd";
import type { Field } from "../geometry/fields.ts";
import type { Packed } from "./types.ts";

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
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
  const mask = wide ? 0xffff : 0xff;
  const fields: Field[] = [];
  const quantised = new Uint16Array(plane);
  for (let image = 0; image < n; image++) {
    const values = new Float32Array(plane * channels);
    for (let channel = 0; channel < channels; channel++) {
      const k = image * channels + channel;
      const start = k * plane;
      const lo = packed.lo[k];
      const step = packed.step[k];
      for (let i = 0; i < plane; i++) {
        const column = i % width;
        let q = bytes[start + i] + (wide ? bytes[total + start + i] << 8 : 0);
        if (column > 0) q += quantised[i - 1];
        if (i >= width) q += quantised[i - width] - (column > 0 ? quantised[i - width - 1] : 0);
        quantised[i] = q & mask;
        values[i * channels + channel] = lo + quantised[i] * step;
      }
    }
    fields.push({ values, side: width, channels });
  }
  return fields;
}
