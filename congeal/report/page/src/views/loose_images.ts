/** Images in no cluster: which they are, why, what lies nearest, and the command that puts one of them somewhere. */
import { EXCLUDED, FITS, type MapPoints, mapPoints } from "../data/map_points.ts";
import type { Report } from "../data/report.ts";
import { averageSquare } from "../ui/average_square.ts";
import { clusterLabel, nameOf } from "../ui/cluster_name.ts";
import { correction, imageName } from "../ui/commands.ts";
import { copyButton, h } from "../ui/dom.ts";
import { count, counted, visible } from "../ui/numbers.ts";
import { messageOf, problem } from "../ui/page.ts";
import { SheetCache } from "../ui/sheets.ts";

const ROWS = 60; // shown at a time

export function looseList(report: Report, total: number): HTMLElement | null {
  const { map } = report.index;
  if (!total) return null;
  const place = h("div", { class: "loose" });
  if (!map) {
    place.append(h("p", { class: "hint" }, "They are in the table images: SELECT uri FROM images WHERE status = 'ok' AND cluster_id IS NULL"));
    return place;
  }
  mapPoints(map).then(
    (points) => fill(place, report, points, total),
    (error: unknown) => place.append(problem(messageOf(error))),
  );
  return place;
}

function fill(place: HTMLElement, report: Report, points: MapPoints, total: number): void {
  const { index } = report;
  const rows: number[] = [];
  for (let k = 0; k < points.rows; k++) if (points.cluster[k] < 0) rows.push(k);
  const smallest = (index.settings as { clusters?: { smallest?: number } } | null)?.clusters?.smallest ?? 3;
  const sheets = new SheetCache(index.sheets);
  const list = h("ul", {});
  const more = h("button", { type: "button", class: "quiet", on: { click: () => add() } });
  let shown = 0;
  const add = (): void => {
    for (const row of rows.slice(shown, shown + ROWS)) list.append(entry(report, points, sheets, row));
    shown = Math.min(rows.length, shown + ROWS);
    more.hidden = shown >= rows.length;
    more.textContent = `Show ${count(Math.min(ROWS, rows.length - shown))} more`;
  };
  add();
  place.append(
    h("p", { class: "hint" }, `No cluster is near enough, and no ${smallest} of them are enough alike to make one (clusters.smallest). More pictures of the kind, or a stronger backbone, may bring them together; one that belongs to a cluster is moved there by the command beside it.`),
    list,
    more,
  );
  if (total > rows.length) place.append(h("p", { class: "hint" }, `${counted(rows.length, "image")} of ${count(total)}, those of the map's sample; all are in the table images, where status is ok and cluster_id is null.`));
}

function entry(report: Report, points: MapPoints, sheets: SheetCache, row: number): HTMLElement {
  const { index } = report;
  const thumb = h("span", { class: "thumb" });
  sheets.onto(thumb, points.sheet[row], points.cell[row], 64);
  const name = h("span", { class: "path" });
  const lines = h("span", { class: "lines" }, name);
  const item = h("li", { class: "with-picture" }, thumb, lines);
  const excluded = points.status[row] === EXCLUDED;
  const near = excluded ? -1 : nearest(points, row);
  if (excluded) lines.append(h("span", { class: "reason" }, "left out by a correction: congeal clusters DEST list shows it, undo takes it back"));
  else if (near >= 0) {
    const label = clusterLabel(index.clusters, near);
    lines.append(h("span", { class: "reason" }, "nearest on the map: ", averageSquare(index, near, "after", "mini inline"), " ", index.clusters.script[near] ? h("a", { href: `#/cluster/${index.clusters.id[near]}` }, label) : label));
  }
  void points.name(row).then((uri) => {
    name.textContent = visible(uri);
    const said = imageName(uri);
    if (near < 0 || said === null) return;
    lines.append(copyButton("Copy command to move it there", () => correction(index, "move", [said], ["--to", nameOf(index.clusters, near) ?? index.clusters.id[near]])));
  });
  return item;
}

/** The cluster of the image that lies nearest on the map and fits its cluster; -1: there is none. */
function nearest({ rows, x, y, cluster, status }: MapPoints, row: number): number {
  let best = Infinity;
  let found = -1;
  for (let k = 0; k < rows; k++) {
    if (status[k] !== FITS || cluster[k] < 0) continue;
    const distance = (x[k] - x[row]) ** 2 + (y[k] - y[row]) ** 2;
    if (distance < best) [best, found] = [distance, cluster[k]];
  }
  return found;
}
