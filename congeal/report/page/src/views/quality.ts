/** How good it is: histograms, calibration, drift. */
import type { Report } from "../data/report.ts";
import { calibrationCurve, histogram } from "../draw/charts.ts";
import { h } from "../ui/dom.ts";
import { count, counted, decimal } from "../ui/numbers.ts";
import type { View } from "../ui/page.ts";

const NAMES: { readonly [name: string]: string } = {
  residual: "Residual",
  cycle_error: "Cycle error",
  coverage: "Coverage",
  confidence: "Confidence",
};

export function qualityView(report: Report): View {
  const { quality, clusters } = report.index;
  const charts = Object.entries(quality.histograms).map(([key, data]) => {
    const name = NAMES[key] ?? key;
    return h("figure", { class: "chart-card" }, h("figcaption", {}, h("h2", {}, name), h("p", { class: "hint" }, data.about, data.unit && data.unit !== "1" ? ` (${data.unit})` : "")), histogram(name, data), h("details", {}, h("summary", {}, "As a table"), table(["from", "to", "fit", "do not"], data.fits.map((n, k) => [decimal(data.edges[k]), decimal(data.edges[k + 1]), count(n), count(data.outliers[k])]))));
  });
  const { calibration } = quality;
  const drift = quality.drift.map((row) => (Array.isArray(row) ? (row as [number, number | null, number | null]) : null)).filter((row) => row !== null);
  const element = h(
    "div",
    { class: "quality" },
    h("header", { class: "view-head" }, h("h1", {}, "Quality"), h("p", { class: "lead" }, h("span", { class: "key fits" }), "images that fit their atlas ", h("span", { class: "key outliers" }), "images that do not")),
    h("div", { class: "charts" }, ...charts),
    calibration
      ? h("figure", { class: "chart-card" }, h("figcaption", {}, h("h2", {}, "Calibration"), h("p", { class: "hint" }, `How often carried points were right (${calibration.threshold}), by their confidence: ${counted(calibration.points, "point")} on ${counted(calibration.images, "image")}. On the dashed line confidence is what it says.`)), calibrationCurve(calibration.bins))
      : h("p", { class: "hint" }, "With annotations (congeal report DEST --annotations FILE) a calibration curve would be here: how often carried points are right, by their confidence."),
    drift.length
      ? h("section", { class: "listing" }, h("h2", {}, "Clusters that have grown"), table(["cluster", "new images", "drift"], drift.map(([k, value, fresh]) => [clusters.id[k], fresh === null ? "–" : count(fresh), decimal(value)]), (k) => `#/cluster/${clusters.id[drift[k][0]]}`))
      : null,
  );
  return { element, title: "Quality" };
}

function table(head: readonly string[], rows: readonly (readonly string[])[], link?: (row: number) => string): HTMLElement {
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows.map((row, k) => h("tr", {}, ...row.map((text, column) => h("td", {}, link && column === 0 ? h("a", { href: link(k) }, text) : text))))),
  );
}
