/** A cluster's average out of the sheets of the wall; the style sheet says how large (`--side`). */
import { file } from "../data/scripts.ts";
import type { Index } from "../data/types.ts";
import { h } from "./dom.ts";

export function averageSquare(index: Index, cluster: number, when: "before" | "after", kind = ""): HTMLElement {
  const c = index.clusters;
  const element = h("span", { class: `square ${kind}` });
  const sheet = index.wall.path[c.wall_sheet[cluster]];
  const cell = (when === "before" ? c.wall_before : c.wall_after)[cluster];
  if (!sheet || cell < 0) return element;
  const columns = c.wall_columns[cluster];
  element.style.backgroundImage = `url("${file(sheet)}")`;
  element.style.backgroundSize = `calc(${columns} * var(--side)) auto`;
  element.style.backgroundPosition = `calc(${-(cell % columns)} * var(--side)) calc(${-Math.floor(cell / columns)} * var(--side))`;
  return element;
}
