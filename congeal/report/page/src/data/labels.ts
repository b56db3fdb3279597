/** Labels as files that `congeal propagate` takes: COCO JSON and TPS. */
import type { Size } from "../geometry/frames.ts";

export interface Label extends Size {
  readonly uri: string;
  readonly category: string;
  readonly confidence: number;
  /** name, x, y, confidence; x is null where it is not known. */
  readonly keypoints: readonly LabelPoint[];
  /** x, y, width, height and rings [x0, y0, …], counted from the centre of the top-left pixel like everything here. */
  readonly bbox?: readonly [number, number, number, number] | null;
  readonly outline?: readonly (readonly number[])[] | null;
}

export interface LabelPoint {
  readonly name: string;
  readonly x: number | null;
  readonly y: number | null;
  readonly confidence: number;
}

const SEEN = 0.5;
const HALF_PIXEL = 0.5; // COCO counts boxes and outlines from the corner of the top-left pixel

/** COCO JSON: flag 2 is seen, 1 unsure, 0 not there; `keypoint_scores` keep what was doubtful doubtful. */
export function coco(labels: readonly Label[], about: string): string {
  const images: string[] = [];
  const categories: { name: string; keypoints: string[] }[] = [];
  const annotations = labels.map((label, k) => {
    let image = images.indexOf(label.uri);
    if (image < 0) image = images.push(label.uri) - 1;
    let category = categories.findIndex((other) => other.name === label.category);
    if (category < 0) category = categories.push({ name: label.category, keypoints: [] }) - 1;
    if (label.keypoints.length) categories[category].keypoints = label.keypoints.map((p) => p.name);
    const flags = label.keypoints.map((p) => (p.x === null || p.y === null ? 0 : p.confidence >= SEEN ? 2 : 1));
    return {
      id: k + 1,
      image_id: image + 1,
      category_id: category + 1,
      iscrowd: 0,
      ...(flags.length && {
        keypoints: label.keypoints.flatMap((p, i) => (flags[i] ? [hundredths(p.x ?? 0), hundredths(p.y ?? 0), flags[i]] : [0, 0, 0])),
        num_keypoints: flags.filter(Boolean).length,
        keypoint_scores: label.keypoints.map((p) => Math.round(p.confidence * 1e4) / 1e4),
      }),
      ...(label.bbox && {
        bbox: [label.bbox[0] + HALF_PIXEL, label.bbox[1] + HALF_PIXEL, label.bbox[2], label.bbox[3]].map(hundredths),
        area: hundredths(label.bbox[2] * label.bbox[3]),
      }),
      ...(label.outline && { segmentation: label.outline.map((ring) => ring.map((at) => hundredths(at + HALF_PIXEL))) }),
      score: Math.round(label.confidence * 1e4) / 1e4,
    };
  });
  const sizes = images.map((uri) => labels.find((label) => label.uri === uri) as Label);
  return JSON.stringify(
    {
      info: { description: about },
      images: sizes.map(({ uri, width, height }, k) => ({ id: k + 1, file_name: uri, width, height })),
      categories: categories.map(({ name, keypoints }, k) => ({ id: k + 1, name, keypoints, skeleton: [] })),
      annotations,
    },
    null,
    1,
  );
}

/** TPS: y points up from the lowest row of pixels; what is not seen is NA. A name of several lines has no place in it. */
export function tps(labels: readonly Label[]): { text: string; leftOut: number } {
  const marked = labels.filter((label) => label.keypoints.length > 0);
  const written = marked.filter((label) => !/[\r\n]/.test(label.uri));
  const blocks = written.map((label, k) =>
    [
      `LM=${label.keypoints.length}`,
      ...label.keypoints.map((p) =>
        p.x === null || p.y === null || p.confidence < SEEN ? "NA NA" : `${p.x.toFixed(3)} ${(label.height - 1 - p.y).toFixed(3)}`,
      ),
      `IMAGE=${label.uri}`,
      `ID=${k}`,
    ].join("\n"),
  );
  return { text: blocks.length ? `${blocks.join("\n")}\n` : "", leftOut: marked.length - written.length };
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100;
}
