/** The clusters as a wall of averages, before and after. */
import type { Report } from "../data/report.ts";
import { clusterLabel } from "../ui/cluster_name.ts";
import { clear, h, segmented } from "../ui/dom.ts";
import { count, counted, percent } from "../ui/numbers.ts";
import { averageSquare } from "../ui/average_square.ts";
import { type Standing, clusterStatus, standing } from "./statuses.ts";

const CARDS = 60; // cards that are added at a time

/** Far enough apart for what else a cluster is ordered by. */
const RANKS: { readonly [name in Standing]: number } = { aligned: 0, doubtful: 10, unaligned: 20 };

type Order = "size" | "quality" | "doubt";

export function wall(report: Report, highlight: (cluster: number | null) => void): HTMLElement {
  const c = report.index.clusters;
  const all = c.id.map((_, k) => k);
  const grid = h("ul", { class: "wall" });
  const more = h("button", { type: "button", class: "more", on: { click: () => add() } });
  let sorted: number[] = [];
  let shown = 0;
  const add = (): void => {
    for (const k of sorted.slice(shown, shown + CARDS)) grid.append(card(report, k, highlight));
    shown = Math.min(sorted.length, shown + CARDS);
    more.hidden = shown >= sorted.length;
    more.textContent = `Show ${count(Math.min(CARDS, sorted.length - shown))} more of ${count(sorted.length)}`;
  };
  const sort = (order: Order): void => {
    const key: { [name in Order]: (k: number) => number } = {
      size: (k) => -c.n_images[k],
      quality: (k) => RANKS[standing(report.index, k)] - (c.confidence[k] ?? -1),
      doubt: (k) => -RANKS[standing(report.index, k)] - (c.doubt[k] ?? 2),
    };
    sorted = [...all].sort((a, b) => key[order](a) - key[order](b) || a - b);
    clear(grid);
    shown = 0;
    add();
  };
  sort("size");
  return h(
    "section",
    { class: "wall-section", "aria-label": "Clusters" },
    h(
      "div",
      { class: "toolbar" },
      h("h2", {}, "Clusters ", h("span", { class: "number" }, count(all.length))),
      h("span", { class: "hint" }, "the average of the images as they are → in the atlas frame"),
      segmented<Order>("Order of the clusters", [["size", "Largest first"], ["quality", "Surest first"], ["doubt", "Doubtful first"]], "size", sort),
    ),
    grid,
    more,
  );
}

function card(report: Report, k: number, highlight: (cluster: number | null) => void): HTMLElement {
  const { index } = report;
  const c = index.clusters;
  const status = clusterStatus(index, k);
  const inner = [
    h("span", { class: "pair", "aria-hidden": "true" }, averageSquare(index, k, "before"), h("span", { class: "arrow" }, "→"), averageSquare(index, k, "after")),
    h("span", { class: "card-name" }, clusterLabel(c, k)),
    h(
      "span",
      { class: "card-facts" },
      counted(c.n_images[k], "image"),
      c.n_outliers[k] ? `, ${counted(c.n_outliers[k], "outlier")}` : "",
      c.confidence[k] === null ? "" : ` · ${percent(c.confidence[k])} sure`,
    ),
    status.doubtful ? h("span", { class: "tag warn" }, status.short) : null,
  ];
  const on = {
    pointerenter: () => highlight(k),
    pointerleave: () => highlight(null),
    focusin: () => highlight(k),
    focusout: () => highlight(null),
  };
  return h("li", { on }, c.script[k] ? h("a", { class: "card", href: `#/cluster/${c.id[k]}` }, ...inner) : h("span", { class: "card" }, ...inner));
}
