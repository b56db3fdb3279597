/** The outline of what an atlas shows: where its saliency ends, seen from its middle. */
import { type Field } from "./fields.ts";
import type { Place } from "./frames.ts";

const SHOWN = 0.5; // of the highest saliency
const RAYS = 72;

/** Corners in the atlas, [-1, 1]², and the middle of the salient cells. */
export function outlineOf(saliency: Field): { corners: Place[]; middle: Place } {
  const { values, side } = saliency;
  const least = SHOWN * values.reduce((most, value) => Math.max(most, value), 0);
  const cells: Place[] = [];
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++)
      if (values[row * side + column] >= least) cells.push([(2 * column + 1) / side - 1, (2 * row + 1) / side - 1]);
  const mean = (axis: 0 | 1): number => cells.reduce((sum, cell) => sum + cell[axis], 0) / Math.max(1, cells.length);
  const middle: Place = [mean(0), mean(1)];
  const far = new Float32Array(RAYS);
  for (const [u, v] of cells) {
    const angle = Math.atan2(v - middle[1], u - middle[0]);
    const ray = Math.round(((angle + Math.PI) / (2 * Math.PI)) * RAYS) % RAYS;
    // A cell fills more than one ray near the middle, and reaches half a cell beyond its centre.
    const distance = Math.hypot(u - middle[0], v - middle[1]) + 1 / side;
    for (const near of [ray - 1, ray, ray + 1]) {
      const k = (near + RAYS) % RAYS;
      far[k] = Math.max(far[k], distance);
    }
  }
  const corners: Place[] = [];
  far.forEach((distance, k) => {
    const angle = (2 * Math.PI * k) / RAYS - Math.PI;
    if (distance > 0) corners.push([middle[0] + distance * Math.cos(angle), middle[1] + distance * Math.sin(angle)]);
  });
  return { corners, middle };
}
