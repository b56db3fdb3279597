/** Pictures of images that do not fit their cluster, each leading to all about it. */
import { type MapPoints, OUTLIER_IN_CLUSTER, mapPoints } from "../data/map_points.ts";
import type { Report } from "../data/report.ts";
import { h } from "../ui/dom.ts";
import { count } from "../ui/numbers.ts";
import { SheetCache } from "../ui/sheets.ts";

const SHOWN = 12; // pictures of a cluster
const SIDE = 48;

/** Fill these places, by the number of their cluster, once it is known where the pictures are. */
export function showMisfits(report: Report, places: ReadonlyMap<number, HTMLElement>): void {
  const { map } = report.index;
  if (!map || !places.size) return;
  // Without the map there are no pictures; the page says so where it lists who is in no cluster.
  void mapPoints(map).then((points) => fill(report, points, places), () => {});
}

function fill(report: Report, points: MapPoints, places: ReadonlyMap<number, HTMLElement>): void {
  const { clusters, sheets } = report.index;
  const cache = new SheetCache(sheets);
  const shown = new Map<number, number>();
  for (let row = 0; row < points.rows; row++) {
    const k = points.cluster[row];
    const place = points.status[row] === OUTLIER_IN_CLUSTER ? places.get(k) : undefined;
    const sheet = points.sheet[row];
    if (!place || sheet < 0 || !clusters.script[k]) continue;
    const before = shown.get(k) ?? 0;
    shown.set(k, before + 1);
    if (before >= SHOWN) continue;
    const position = points.cell[row];
    const picture = h("span", { class: "thumb small" });
    cache.onto(picture, sheet, position, SIDE);
    const link = h("a", { href: `#/cluster/${clusters.id[k]}/${Math.max(0, sheets.page[sheet])}/${position}`, "aria-label": `An image that does not fit ${clusters.id[k]}` }, picture);
    void points.name(row).then((uri) => link.setAttribute("aria-label", `${uri} does not fit ${clusters.id[k]}`));
    place.append(link);
  }
  for (const [k, found] of shown) if (found > SHOWN) places.get(k)?.append(h("span", { class: "hint" }, `and ${count(found - SHOWN)} more`));
}
