/** Colours that stay apart for colour-blind eyes, in light and dark. */

/** Okabe and Ito's palette, and Tol's muted one for more than eight. */
const CATEGORIES = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#332288",
  "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499",
];

export const OUTLIER = "#d55e00";
export const FAILED = "#cc79a7";
export const PLAIN = "#8a8f98";
export const ACCENT = "#0072b2";

/** Ten steps of cividis, low to high. */
const CIVIDIS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56],
];

export function category(index: number): string {
  return CATEGORIES[((index % CATEGORIES.length) + CATEGORIES.length) % CATEGORIES.length];
}

/** A value from 0 to 1 as red, green, blue from 0 to 255. */
export function sequential(value: number): [number, number, number] {
  const at = Math.min(Math.max(value, 0), 1) * (CIVIDIS.length - 1);
  const i = Math.min(Math.floor(at), CIVIDIS.length - 2);
  const part = at - i;
  const [low, high] = [CIVIDIS[i], CIVIDIS[i + 1]];
  return [0, 1, 2].map((c) => Math.round(low[c] + (high[c] - low[c]) * part)) as [number, number, number];
}

export function css(rgb: readonly [number, number, number]): string {
  return `rgb(${rgb[0]} ${rgb[1]} ${rgb[2]})`;
}

/** A colour as the four bytes of a canvas pixel, read as one little-endian number. */
export function packed(colour: string | readonly [number, number, number]): number {
  const [r, g, b] =
    typeof colour === "string" ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)) : colour;
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** A place of the atlas as a colour: hue by direction, paler towards the middle. Neighbours look alike. */
export function placeColour(u: number, v: number): string {
  const angle = (Math.atan2(v, u) * 180) / Math.PI + 200;
  const far = Math.min(1, Math.hypot(u, v));
  return `hsl(${angle.toFixed(0)} ${(45 + 45 * far).toFixed(0)}% ${(62 - 14 * far).toFixed(0)}%)`;
}
