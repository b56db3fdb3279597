/** The collection at a glance: numbers, the map of all images, the wall of clusters. */
import type { Report } from "../data/report.ts";
import { append, h } from "../ui/dom.ts";
import { count, counted, duration, percent, visible } from "../ui/numbers.ts";
import { type View, messageOf, problem } from "../ui/page.ts";
import { SheetCache } from "../ui/sheets.ts";
import { fates } from "./fates.ts";
import { MapSection } from "./map_section.ts";
import { wall } from "./wall.ts";

export function overviewView(report: Report): OverviewView {
  return new OverviewView(report);
}

export class OverviewView implements View {
  readonly element = h("div", { class: "overview" });
  readonly title = "Overview";
  map: MapSection | null = null;
  /** When the map could be moved, milliseconds since the page began to load. */
  interactive = NaN;
  private readonly mapPlace = h("section", { class: "map-section", "aria-label": "Map of all images" });

  constructor(private readonly report: Report) {
    const { index } = report;
    const sheets = new SheetCache(index.sheets);
    append(
      this.element,
      h("header", { class: "view-head" }, h("h1", {}, visible(index.title)), h("p", { class: "lead" }, lead(report))),
      numbers(report),
      fates(index),
      changesLine(report),
      ...index.notes.map((note) => h("p", { class: "note" }, note)),
      index.map ? this.mapPlace : null,
      wall(report, (cluster) => this.map?.highlight(cluster)),
    );
    if (index.map) void this.showMap(sheets);
  }

  close(): void {
    this.map?.close();
  }

  private async showMap(sheets: SheetCache): Promise<void> {
    try {
      this.map = await MapSection.make(this.report, sheets);
      this.mapPlace.append(this.map.element);
      // Two frames: laid out, then drawn.
      requestAnimationFrame(() => requestAnimationFrame(() => (this.interactive = performance.now())));
    } catch (error) {
      this.mapPlace.append(problem(messageOf(error)));
    }
  }
}

/** What has changed since the version before, in one line. */
function changesLine(report: Report): HTMLElement | null {
  const facts = report.index.changes;
  if (!facts) return null;
  const { images, clusters } = facts;
  const said = [
    images.come ? `${counted(images.come, "image")} came` : "",
    images.gone ? `${counted(images.gone, "image")} went` : "",
    images.other_cluster ? `${counted(images.other_cluster, "image")} changed clusters` : "",
    clusters.new ? `${counted(clusters.new, "new cluster")}` : "",
    clusters.gone ? `${counted(clusters.gone, "cluster")} gone` : "",
    clusters.changed ? `${counted(clusters.changed, "cluster")} changed` : "",
  ].filter(Boolean);
  return h("p", { class: "since" }, h("a", { href: "#/changes" }, `Since version ${facts.before}`), `: ${said.join(", ") || "no image and no cluster has changed"}.`);
}

function lead(report: Report): string {
  const { source, created, backbone } = report.index;
  return `${visible(source.replace(/^file:\/\//, ""))} · published ${created.slice(0, 10)} · backbone: ${backbone}`;
}

function numbers(report: Report): HTMLElement {
  const { index } = report;
  const { counts } = index;
  const c = index.clusters;
  let weight = 0;
  let sum = 0;
  c.confidence.forEach((value, k) => {
    if (value === null) return;
    weight += c.n_images[k];
    sum += c.n_images[k] * value;
  });
  const seconds = index.stages.reduce((total, stage) => total + stage.seconds, 0);
  const number = (value: string, name: string, href?: string, about?: string): HTMLElement =>
    h("div", { class: "number-card", title: about }, h("span", { class: "value" }, value), href ? h("a", { class: "name", href }, name) : h("span", { class: "name" }, name));
  return h(
    "div",
    { class: "numbers" },
    number(count(counts.ok), "images", undefined, `${count(counts.images)} files were found`),
    number(count(counts.clusters), "clusters"),
    number(weight ? percent(sum / weight) : "–", "mean confidence", "#/quality"),
    number(duration(seconds), "computing", "#/about", "seconds of all units together"),
  );
}
