/**
 * The coordinates of `congeal/geometry/frames.py`.
 *
 * Pixels are those of the original image: x right, y down, (0, 0) the centre of the top-left pixel. The frame
 * is the square around the image, [-1, 1]² from edge to edge. The atlas is the square [-1, 1]², too.
 */
export interface Size {
  readonly width: number;
  readonly height: number;
}

export type Place = [number, number];

export function side(size: Size): number {
  return Math.max(size.width, size.height);
}

/** A pixel coordinate to the frame. */
export function toFrame(size: Size, x: number, y: number): Place {
  const s = side(size);
  return [
    ((x + (s - size.width) / 2 + 0.5) * 2) / s - 1,
    ((y + (s - size.height) / 2 + 0.5) * 2) / s - 1,
  ];
}

/** A place of the frame to pixels; the padding lies outside the image. */
export function toPixels(size: Size, u: number, v: number): Place {
  const s = side(size);
  return [((u + 1) * s) / 2 - (s - size.width) / 2 - 0.5, ((v + 1) * s) / 2 - (s - size.height) / 2 - 0.5];
}

/** Whether a pixel position lies on the image, its outer edge included. */
export function inside(size: Size, x: number, y: number): boolean {
  return x >= -0.5 && x <= size.width - 0.5 && y >= -0.5 && y <= size.height - 0.5;
}

/** How far from its middle an atlas of so many cells a side is known. */
export function reach(cells: number): number {
  return 1 + 2 / cells;
}

export function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}
