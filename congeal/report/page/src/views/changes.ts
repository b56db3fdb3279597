/** What this version says otherwise than the one before it: images, clusters, points, figures. */
import type { Report } from "../data/report.ts";
import { load } from "../data/scripts.ts";
import type { ChangesScript, ClusterChange, FigureChange, NamedCluster } from "../data/types.ts";
import { h } from "../ui/dom.ts";
import { count, counted, decimal, visible } from "../ui/numbers.ts";
import type { View } from "../ui/page.ts";

const ROWS = 200; // a list is shown piece by piece
const NAMES: { readonly [name: string]: string } = {
  residual: "residual",
  cycle_error: "cycle error",
  fold_fraction: "folds",
  coverage: "coverage",
  confidence: "confidence",
  margin: "margin",
  n_outliers: "outliers",
};

export async function changesView(report: Report): Promise<View> {
  const facts = report.index.changes;
  if (!facts) throw new Error("there is no version before this one to compare it with");
  const found = await load<ChangesScript>("changes", facts.script);
  const { images, counts } = found;
  const element = h(
    "div",
    { class: "changes" },
    h(
      "header",
      { class: "view-head" },
      h("h1", {}, `Since version ${found.before}`),
      h("p", { class: "lead" }, `${count(images.before)} to ${counted(images.after, "image")}; ${counted(counts.changed, "cluster")} changed, ${count(counts.new)} new, ${count(counts.gone)} gone, ${count(counts.unchanged)} as they were`),
    ),
    ...found.notes.map((note) => h("p", { class: "note" }, note)),
    h(
      "section",
      { class: "listing" },
      h("h2", {}, "Clusters that have changed ", h("span", { class: "number" }, count(counts.changed))),
      found.changed.length ? clusterTable(report, found.changed) : h("p", { class: "hint" }, "none"),
      more(found.changed.length, counts.changed),
      h("p", { class: "hint" }, "Points: how far what was seen of the atlas has moved on the images of both versions, in pixels of the images, median and 90 %. A frame that is the same means that point_id, u and v are the same places."),
    ),
    named(report, "New clusters", found.new, counts.new),
    named(null, "Clusters that are gone", found.gone, counts.gone),
    h("section", { class: "listing" }, h("h2", {}, "Medians of all clusters"), figureTable(found.figures)),
    list("Images that have come", images.come.map((uri) => [uri, ""]), images.counts.come),
    list("Images that have gone", images.gone.map((uri) => [uri, ""]), images.counts.gone),
    list("Images of another cluster", images.other_cluster.map(([uri, was, is]) => [uri, `${was ?? "none"} → ${is ?? "none"}`]), images.counts.other_cluster),
    list("Images with another path", images.renamed.map(([was, is]) => [is, `was ${was}`]), images.counts.renamed),
  );
  return { element, title: "Changes" };
}

function called(report: Report | null, one: NamedCluster): HTMLElement {
  const id = h("code", {}, one.cluster_id);
  const label = one.name === null ? id : h("span", { class: "called" }, h("bdi", {}, visible(one.name)), " ", id);
  const k = report?.numberOf(one.cluster_id) ?? -1;
  return report && k >= 0 && report.index.clusters.script[k] ? h("a", { href: `#/cluster/${one.cluster_id}` }, label) : label;
}

function clusterTable(report: Report, rows: readonly ClusterChange[]): HTMLElement {
  const heads = ["cluster", "images", "joined", "left", "atlas", "points moved", "frame", "figures"];
  const frame = (row: ClusterChange): string => (row.points === null ? "–" : row.points.same_frame ? "the same" : `moved by ${decimal(row.points.frame_moved, 2)}`);
  return h(
    "div",
    { class: "wide-table", tabindex: 0, role: "region", "aria-label": "Clusters that have changed" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...rows.map((row) => h(
        "tr",
        {},
        h("td", {}, called(report, row), row.name !== row.name_before ? h("span", { class: "hint" }, row.name_before === null ? " named since" : ` was ${visible(row.name_before)}`) : null),
        h("td", {}, row.n_images_before === row.n_images ? count(row.n_images) : `${count(row.n_images_before)} → ${count(row.n_images)}`),
        h("td", {}, count(row.joined)),
        h("td", {}, count(row.left)),
        h("td", {}, row.solved_anew ? "solved anew" : "kept"),
        h("td", {}, row.points === null ? "–" : `${decimal(row.points.median, 2)} px, ${decimal(row.points.p90, 2)} px`),
        h("td", {}, frame(row)),
        h("td", {}, ...figures(row.figures)),
      ))),
    ),
  );
}

function figures(found: { readonly [name: string]: FigureChange }): HTMLElement[] {
  return Object.entries(found)
    .filter(([, change]) => change.better !== null && value(change.before) !== value(change.after))
    .map(([name, change]) => h("div", {}, `${NAMES[name] ?? name} ${value(change.before)} → ${value(change.after)} `, verdict(change)));
}

function figureTable(found: { readonly [name: string]: FigureChange }): HTMLElement {
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...["", "before", "now", ""].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...Object.entries(found).map(([name, change]) => h("tr", {}, h("th", { scope: "row" }, NAMES[name] ?? name), h("td", {}, value(change.before)), h("td", {}, value(change.after)), h("td", {}, verdict(change))))),
  );
}

function value(number: number | null): string {
  return number === null ? "–" : Number.isInteger(number) ? count(number) : decimal(number, 4);
}

function verdict(change: FigureChange): HTMLElement {
  // What reads the same is neither.
  if (change.better === null || value(change.before) === value(change.after)) return h("span", {}, "");
  return h("span", { class: change.better ? "tag" : "tag warn" }, change.better ? "better" : "worse");
}

function named(report: Report | null, title: string, clusters: readonly NamedCluster[], total: number): HTMLElement | null {
  if (!total) return null;
  return h("section", { class: "listing" }, h("h2", {}, `${title} `, h("span", { class: "number" }, count(total))), h("ul", {}, ...clusters.map((one) => h("li", {}, called(report, one), h("span", { class: "reason" }, counted(one.n_images, "image"))))), more(clusters.length, total));
}

function list(title: string, rows: readonly (readonly [string, string])[], total: number): HTMLElement | null {
  if (!total) return null;
  const items = h("ul", {});
  const button = h("button", { type: "button", class: "quiet", on: { click: () => add() } });
  let shown = 0;
  const add = (): void => {
    for (const [uri, about] of rows.slice(shown, shown + ROWS)) items.append(h("li", {}, h("span", { class: "path" }, visible(uri)), about ? h("span", { class: "reason" }, about) : ""));
    shown = Math.min(rows.length, shown + ROWS);
    button.hidden = shown >= rows.length;
    button.textContent = `Show ${count(Math.min(ROWS, rows.length - shown))} more`;
  };
  add();
  return h("section", { class: "listing" }, h("h2", {}, `${title} `, h("span", { class: "number" }, count(total))), items, button, more(rows.length, total));
}

function more(shown: number, total: number): HTMLElement | null {
  return shown < total ? h("p", { class: "hint" }, `${counted(shown, "row")} of ${count(total)} are shown; congeal diff has all.`) : null;
}
