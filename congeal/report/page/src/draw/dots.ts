/** Very many dots into a canvas' pixels, by the processor: no WebGL is needed, and 200,000 take milliseconds. */
export interface View {
  /** Pixel = (place - centre) * scale + middle of the canvas. */
  centreX: number;
  centreY: number;
  scale: number;
}

export interface Dots {
  readonly x: Float32Array;
  readonly y: Float32Array;
  /** Packed colours; 0 is not drawn. */
  readonly colours: Uint32Array;
}

/** Coverage of a disc's pixels from 0 to 255, [2·reach + 1]². */
function disc(radius: number): { reach: number; cover: Uint8Array } {
  const reach = Math.ceil(radius);
  const width = 2 * reach + 1;
  const cover = new Uint8Array(width * width);
  for (let y = -reach; y <= reach; y++)
    for (let x = -reach; x <= reach; x++) {
      const covered = Math.min(Math.max(radius + 0.5 - Math.hypot(x, y), 0), 1);
      cover[(y + reach) * width + x + reach] = Math.round(covered * 255);
    }
  return { reach, cover };
}

/** Draw dots of a radius in device pixels into `pixels` [height, width]; gives how many lie in view. */
export function drawDots(
  dots: Dots,
  view: View,
  radius: number,
  pixels: Uint32Array,
  width: number,
  height: number,
): number {
  const { x, y, colours } = dots;
  const { reach, cover } = disc(radius);
  const span = 2 * reach + 1;
  const offsetX = width / 2 - view.centreX * view.scale;
  const offsetY = height / 2 - view.centreY * view.scale;
  let seen = 0;
  for (let i = 0; i < x.length; i++) {
    const colour = colours[i];
    if (colour === 0) continue;
    const px = Math.round(x[i] * view.scale + offsetX);
    const py = Math.round(y[i] * view.scale + offsetY);
    if (px < reach || py < reach || px >= width - reach || py >= height - reach) continue;
    seen++;
    const strength = colour >>> 24;
    const hue = colour & 0xffffff;
    let at = (py - reach) * width + px - reach;
    for (let row = 0, k = 0; row < span; row++, at += width - span) {
      for (let column = 0; column < span; column++, k++, at++) {
        const alpha = strength === 255 ? cover[k] : (cover[k] * strength) >> 8;
        // The edge of a dot, and a faint one, hide none of what is drawn fully.
        if (alpha > pixels[at] >>> 24 || alpha === 255) pixels[at] = hue | (alpha << 24);
      }
    }
  }
  return seen;
}

/** Whether a place lies in a polygon [x0, y0, x1, y1, …], by the even-odd rule. */
export function inPolygon(polygon: readonly number[], x: number, y: number): boolean {
  let in_ = false;
  for (let i = 0, j = polygon.length - 2; i < polygon.length; j = i, i += 2) {
    const [xi, yi, xj, yj] = [polygon[i], polygon[i + 1], polygon[j], polygon[j + 1]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) in_ = !in_;
  }
  return in_;
}
