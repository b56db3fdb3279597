/** What failed, and what is there twice, with the reasons. */
import type { Report } from "../data/report.ts";
import { clusterLabel } from "../ui/cluster_name.ts";
import { h } from "../ui/dom.ts";
import { count, counted, visible } from "../ui/numbers.ts";
import type { View } from "../ui/page.ts";
import { clusterStatus } from "./statuses.ts";

const ROWS = 200; // a list is shown piece by piece

export function problemsView(report: Report): View {
  const { index } = report;
  const c = index.clusters;
  const doubtful = c.id.map((_, k) => k).filter((k) => clusterStatus(index, k).doubtful || c.error[k]);
  const element = h(
    "div",
    { class: "problems" },
    h("header", { class: "view-head" }, h("h1", {}, "Failures and duplicates")),
    section(
      "Images that could not be read",
      "none",
      index.failures.total,
      index.failures.rows,
      (reason) => reason,
    ),
    section("Duplicates", "none", index.duplicates.total, index.duplicates.rows, (of) => `is byte for byte ${of}`),
    h(
      "section",
      { class: "listing" },
      h("h2", {}, "Clusters without a trusted atlas"),
      doubtful.length
        ? h("ul", {}, ...doubtful.map((k) => h("li", {}, c.script[k] ? h("a", { href: `#/cluster/${c.id[k]}` }, clusterLabel(c, k)) : clusterLabel(c, k), h("span", { class: "reason" }, [clusterStatus(index, k).text, c.error[k]].filter(Boolean).join(": ")))))
        : h("p", { class: "hint" }, "none"),
    ),
  );
  return { element, title: "Failures and duplicates" };
}

function section(
  title: string,
  none: string,
  total: number,
  rows: readonly (readonly [string, string])[],
  reason: (second: string) => string,
): HTMLElement {
  const list = h("ul", {});
  const more = h("button", { type: "button", class: "quiet", on: { click: () => add() } });
  let shown = 0;
  const add = (): void => {
    for (const [uri, second] of rows.slice(shown, shown + ROWS)) list.append(h("li", {}, h("span", { class: "path" }, visible(uri)), h("span", { class: "reason" }, visible(reason(second)))));
    shown = Math.min(rows.length, shown + ROWS);
    more.hidden = shown >= rows.length;
    more.textContent = `Show ${count(Math.min(ROWS, rows.length - shown))} more`;
  };
  add();
  return h(
    "section",
    { class: "listing" },
    h("h2", {}, title, " ", h("span", { class: "number" }, count(total))),
    total === 0 ? h("p", { class: "hint" }, none) : list,
    more,
    total > rows.length ? h("p", { class: "hint" }, `The first ${counted(rows.length, "row")} of ${count(total)}; all are in the table images.`) : null,
  );
}
