/** Images found by a part of their path. */
import type { MapPoints } from "../data/map_points.ts";
import { h } from "../ui/dom.ts";

const PAUSE = 200; // milliseconds after the last key

/** found: called with the rows that have the text in their path, or null when there is no text. */
export function finder(points: MapPoints, found: (rows: number[] | null, text: string) => void): HTMLInputElement {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  let lower: readonly string[] | null = null;
  const input: HTMLInputElement = h("input", { type: "search", class: "finder", placeholder: "Find images by path", "aria-label": "Find images by a part of their path", on: { input: () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => void look(), PAUSE);
  } } });
  const look = async (): Promise<void> => {
    const text = input.value.trim().toLowerCase();
    if (!text) {
      found(null, "");
      return;
    }
    lower ??= (await points.names()).map((name) => name.toLowerCase());
    if (input.value.trim().toLowerCase() !== text) return;
    found(lower.flatMap((name, row) => (name.includes(text) ? [row] : [])), text);
  };
  return input;
}
