/** The map with what belongs to it: colours, legend, lasso and list. */
import { EXCLUDED, type MapPoints, type Measure, NO_CLUSTER, OUTLIER_IN_CLUSTER, mapPoints } from "../data/map_points.ts";
import type { Report } from "../data/report.ts";
import { OUTLIER, PLAIN, category, css, packed, sequential } from "../draw/colour.ts";
import { clusterLabel } from "../ui/cluster_name.ts";
import { clear, copyButton, h, segmented, toggle } from "../ui/dom.ts";
import { finder } from "./finder.ts";
import { averageSquare } from "../ui/average_square.ts";
import { ImageMap } from "../ui/image_map.ts";
import { count, counted, decimal, shortName, visible } from "../ui/numbers.ts";
import { MapFilter } from "./map_filter.ts";
import type { SheetCache } from "../ui/sheets.ts";
import { clusterStatus } from "./statuses.ts";

type Colouring = "cluster" | "status" | Measure | `own_${number}`;

const LISTED = 120; // images named in the list of those chosen
const LEGEND = 40; // clusters named beside the map
const MEASURES: { readonly [name in Measure]: string } = {
  confidence: "Confidence",
  residual: "Residual",
  cycle_error: "Cycle error",
  coverage: "Coverage",
};

export class MapSection {
  readonly element: HTMLElement;
  readonly map: ImageMap;
  private readonly card = h("div", { class: "map-card", hidden: true });
  private readonly legend = h("div", { class: "legend" });
  /** Beside the map: what the colours mean, or the images that were chosen. */
  private readonly side = h("aside", { class: "map-side", "aria-label": "Colours and chosen images", tabindex: 0 });
  private colouring: Colouring = "cluster";
  private lassoed: number[] = [];
  private readonly filter: MapFilter;
  private readonly finder: HTMLInputElement;
  private colours = new Uint32Array();

  private constructor(
    private readonly report: Report,
    private readonly points: MapPoints,
    private readonly sheets: SheetCache,
  ) {
    const facts = report.index.map;
    this.map = new ImageMap(points, sheets, {
      hover: (row, x, y) => void this.hover(row, x, y),
      choose: (row) => this.choose(row),
      lasso: (rows) => void this.choice(rows),
    });
    this.map.canvas.setAttribute("aria-label", `Map of ${counted(points.rows, "image")}: like images lie close together. Arrow keys move it, plus and minus zoom, 0 shows all, Enter opens the image in the middle.`);
    const has = (name: Measure): boolean => report.index.clusters.id.length > 0 && name in MEASURES;
    const options: [Colouring, string][] = [["cluster", "Cluster"], ["status", "Status"]];
    for (const name of ["confidence", "residual", "cycle_error"] as const) if (has(name)) options.push([name, MEASURES[name]]);
    this.filter = new MapFilter(points, () => this.paint(), (some) => this.map.single(some), (some) => void this.choice(some));
    const colourBy = segmented<Colouring>("Colour by", options, "cluster", (colouring) => {
      if (own) own.value = "";
      void this.recolour(colouring);
    });
    const own = points.own.length ? this.ownChoice(colourBy) : null;
    const lasso = h("button", { type: "button", "aria-pressed": "false", title: "or hold Shift and drag", on: { click: () => {
      this.map.lassoing = !this.map.lassoing;
      lasso.setAttribute("aria-pressed", String(this.map.lassoing));
      this.map.canvas.classList.toggle("lassoing", this.map.lassoing);
    } } }, "Lasso");
    const button = (label: string, text: string, act: () => void): HTMLElement => h("button", { type: "button", "aria-label": label, title: label, on: { click: act } }, text);
    this.finder = finder(points, (rows, text) => {
      this.map.single(rows ? new Set(rows) : null);
      void this.choice(rows ?? [], text);
    });
    this.element = h(
      "div",
      { class: "map-body" },
      h(
        "div",
        { class: "toolbar" },
        h("h2", {}, "All images by likeness"),
        this.finder,
        colourBy,
        own,
        toggle("Pictures", true, (on) => {
          this.map.thumbs = on;
          this.map.draw();
        }),
        lasso,
        h("span", { class: "zooms", role: "group", "aria-label": "Zoom" }, button("Zoom in", "+", () => this.map.zoom(1.6)), button("Zoom out", "−", () => this.map.zoom(1 / 1.6)), button("Show all", "⤢", () => this.map.reset())),
      ),
      this.filter.element,
      h("div", { class: "map-row" }, h("div", { class: "map-frame" }, this.map.canvas, this.card), this.side),
      h("div", { class: "map-foot" }, h("p", { class: "hint" }, "Drag to move, wheel to zoom, Shift and drag to choose images, click to open one."), h("p", { class: "hint" }, this.about(facts?.note ?? null))),
    );
    this.side.append(this.legend);
    void this.recolour("cluster");
  }

  static async make(report: Report, sheets: SheetCache): Promise<MapSection> {
    const facts = report.index.map;
    if (!facts) throw new Error("there is no map: the images have no embedding");
    return new MapSection(report, await mapPoints(facts), sheets);
  }

  close(): void {
    this.map.close();
  }

  /** Single out a cluster; null: none. */
  highlight(cluster: number | null): void {
    if (cluster === null) {
      this.map.single(this.lassoed.length ? new Set(this.lassoed) : null);
      return;
    }
    const rows = new Set<number>();
    for (let k = 0; k < this.points.rows; k++) if (this.points.cluster[k] === cluster) rows.add(k);
    this.map.single(rows);
  }

  private about(note: string | null): string {
    const facts = this.report.index.map;
    if (!facts) return "";
    const parts = [`${facts.method}, fitted on ${count(facts.fitted)}`];
    if (facts.placed) parts.push(`${count(facts.placed)} placed among them`);
    if (facts.rows > this.points.rows) parts.push(`shown: ${count(this.points.rows)} of ${count(facts.rows)}, some of every cluster`);
    return [`${parts.join(", ")}.`, note, this.points.note].filter(Boolean).join(" ");
  }

  private async recolour(colouring: Colouring): Promise<void> {
    this.colouring = colouring;
    const { rows, cluster, status } = this.points;
    const colours = new Uint32Array(rows);
    if (colouring === "cluster" || colouring === "status") {
      const plain = packed(PLAIN);
      const outlier = packed(OUTLIER);
      const fits = packed(category(0));
      for (let k = 0; k < rows; k++)
        colours[k] = colouring === "cluster" ? (cluster[k] < 0 ? plain : packed(category(cluster[k]))) : status[k] >= NO_CLUSTER ? plain : status[k] === OUTLIER_IN_CLUSTER ? outlier : fits;
      if (colouring === "cluster") this.clusterLegend();
      else this.showLegend([[category(0), "fits its atlas"], [OUTLIER, "does not fit its atlas"], [PLAIN, "in no cluster"]]);
    } else if (!isMeasure(colouring)) {
      const facts = this.filter.find(colouring);
      if (!facts) return;
      const codes = await this.filter.codes(facts);
      if (this.colouring !== colouring) return;
      colours.set(this.filter.colours(facts, codes));
      this.legend.replaceChildren(this.filter.legend(facts, codes));
    } else {
      const values = await this.points.measure(colouring);
      if (this.colouring !== colouring) return;
      const [low, high] = range(values);
      const unknown = packed(PLAIN);
      for (let k = 0; k < rows; k++) colours[k] = Number.isNaN(values[k]) ? unknown : packed(sequential((values[k] - low) / (high - low || 1)));
      const bar = h("span", { class: "scale-bar", "aria-hidden": "true" });
      bar.style.background = `linear-gradient(90deg, ${Array.from({ length: 9 }, (_, k) => css(sequential(k / 8))).join(", ")})`;
      this.legend.replaceChildren(
        h("span", { class: "legend-entry" }, MEASURES[colouring]),
        h("span", { class: "legend-entry" }, decimal(low, 2), bar, decimal(high, 2)),
        h("span", { class: "legend-entry" }, chip(PLAIN), "not known"),
      );
    }
    this.colours = colours;
    this.paint();
  }

  /** The colours on the map, without what the filter hides. */
  private paint(): void {
    this.map.colour(this.filter.applied(this.colours));
  }

  /** The columns of the collection's owner, to colour and to filter by. */
  private ownChoice(colourBy: HTMLElement): HTMLSelectElement {
    const choice: HTMLSelectElement = h(
      "select",
      { "aria-label": "Colour and filter by a column of your own", on: { change: () => {
        const column = choice.value as Colouring | "";
        colourBy.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === (column || "cluster"))));
        if (this.lassoed.length) void this.choice([]);
        void this.recolour(column || "cluster");
      } } },
      h("option", { value: "" }, "Own column…"),
      ...this.points.own.map((facts) => h("option", { value: facts.column }, visible(facts.name))),
    );
    return choice;
  }

  private showLegend(entries: readonly (readonly [string, string])[]): void {
    clear(this.legend);
    for (const [colour, text] of entries) this.legend.append(h("span", { class: "legend-entry" }, chip(colour), text));
  }

  /** The largest clusters with their colours and averages. */
  private clusterLegend(): void {
    const { index } = this.report;
    const c = index.clusters;
    const largest = c.id.map((_, k) => k).sort((a, b) => c.n_images[b] - c.n_images[a] || a - b);
    const none = this.points.cluster.some((k) => k < 0);
    const entry = (k: number): HTMLElement => {
      const inner = [chip(category(k)), averageSquare(index, k, "after", "mini"), h("span", { class: "lines" }, clusterLabel(c, k), h("span", { class: "hint" }, counted(c.n_images[k], "image"), clusterStatus(index, k).doubtful ? h("span", { class: "tag warn" }, clusterStatus(index, k).short) : null))];
      const on = { pointerenter: () => this.highlight(k), pointerleave: () => this.highlight(null) };
      return h("li", { on }, c.script[k] ? h("a", { href: `#/cluster/${c.id[k]}` }, ...inner) : h("span", { class: "entry" }, ...inner));
    };
    this.legend.replaceChildren(
      h("ul", {}, ...largest.slice(0, LEGEND).map(entry)),
      largest.length > LEGEND ? h("p", { class: "hint" }, `and ${count(largest.length - LEGEND)} smaller ones; colours repeat`) : "",
      none ? h("span", { class: "legend-entry" }, chip(PLAIN), "in no cluster") : "",
    );
  }

  private describe(row: number): string {
    const { cluster, status } = this.points;
    const id = this.report.index.clusters.id[cluster[row]];
    return status[row] === EXCLUDED ? "left out by a correction" : status[row] === NO_CLUSTER || id === undefined ? "in no cluster" : status[row] === OUTLIER_IN_CLUSTER ? `does not fit cluster ${id}` : `cluster ${id}`;
  }

  private thumb(row: number, size: number): HTMLElement {
    const element = h("span", { class: "thumb" });
    element.style.width = element.style.height = `${size}px`;
    this.sheets.onto(element, this.points.sheet[row], this.points.cell[row], size);
    return element;
  }

  private link(row: number): string | null {
    const { cluster, sheet, cell } = this.points;
    const { clusters, sheets } = this.report.index;
    const k = cluster[row];
    if (k < 0 || !clusters.script[k] || sheet[row] < 0) return null;
    return `#/cluster/${clusters.id[k]}/${Math.max(0, sheets.page[sheet[row]])}/${cell[row]}`;
  }

  private hovered = -1;

  private async hover(row: number, x: number, y: number): Promise<void> {
    this.hovered = row;
    this.card.hidden = row < 0;
    this.map.canvas.classList.toggle("over", row >= 0);
    if (row < 0) return;
    const right = x > this.map.canvas.clientWidth / 2;
    const low = y > this.map.canvas.clientHeight / 2;
    this.card.style.left = right ? "" : `${x + 16}px`;
    this.card.style.right = right ? `${this.map.canvas.clientWidth - x + 16}px` : "";
    this.card.style.top = low ? "" : `${y + 16}px`;
    this.card.style.bottom = low ? `${this.map.canvas.clientHeight - y + 16}px` : "";
    if (this.card.dataset.row === String(row)) return;
    this.card.dataset.row = String(row);
    const name = h("span", { class: "map-card-name" });
    this.card.replaceChildren(this.thumb(row, 128), name, h("span", { class: "hint" }, this.describe(row)), ...this.filter.describe(row).map((text) => h("span", { class: "hint" }, text)));
    const uri = await this.points.name(row);
    if (this.hovered === row) name.textContent = shortName(uri);
  }

  private choose(row: number): void {
    const link = this.link(row);
    if (link) location.hash = link;
    else void this.choice([row]);
  }

  /** List what was drawn around or found. text: what was looked for in paths; other files that have it are named, too. */
  private async choice(rows: number[], text = ""): Promise<void> {
    this.lassoed = rows;
    if (!rows.length && !text) {
      this.side.replaceChildren(this.legend);
      return;
    }
    const names = rows.map(() => "");
    const entries = rows.slice(0, LISTED).map((row) => {
      const link = this.link(row);
      const name = h("span", { class: "name" });
      const inner = [this.thumb(row, 48), h("span", { class: "lines" }, name, h("span", { class: "hint" }, this.describe(row)))];
      return { name, item: h("li", {}, link ? h("a", { href: link }, ...inner) : h("span", { class: "entry" }, ...inner)) };
    });
    this.side.replaceChildren(
      h(
        "div",
        { class: "panel-head" },
        h("h3", {}, counted(rows.length, "image")),
        copyButton("Copy paths", () => names.join("\n")),
        h("button", { type: "button", class: "quiet close", "aria-label": "Close the list", on: { click: () => {
          this.finder.value = "";
          this.map.single(null);
          void this.choice([]);
        } } }, "×"),
      ),
      h("ul", { class: "map-list" }, ...entries.map((entry) => entry.item)),
      text ? this.otherFiles(text) : "",
      rows.length > LISTED ? h("p", { class: "hint" }, `The first ${LISTED} are shown; "Copy paths" gives all.`) : "",
    );
    await Promise.all(rows.map(async (row, k) => {
      const uri = await this.points.name(row);
      names[k] = uri;
      if (entries[k]) {
        entries[k].name.textContent = shortName(uri, 34);
        entries[k].name.title = visible(uri);
      }
    }));
  }

  /** Files with a text in their path that are no images of the map, and why. */
  private otherFiles(text: string): HTMLElement {
    const { failures, duplicates } = this.report.index;
    const named = [...failures.rows.map(([uri, why]) => [uri, why]), ...duplicates.rows.map(([uri, of]) => [uri, `is byte for byte ${of}`])];
    const found = named.filter(([uri]) => uri.toLowerCase().includes(text)).slice(0, LISTED);
    return h("ul", { class: "map-list" }, ...found.map(([uri, why]) => h("li", {}, h("span", { class: "entry" }, h("span", { class: "lines" }, h("span", { class: "name", title: visible(uri) }, shortName(uri, 34)), h("span", { class: "hint" }, visible(why)))))));
  }
}

function isMeasure(colouring: Colouring): colouring is Measure {
  return colouring in MEASURES;
}

function chip(colour: string): HTMLElement {
  const element = h("span", { class: "chip", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}

/** The range that holds nearly all values. */
function range(values: Float32Array): [number, number] {
  const known = values.filter((value) => !Number.isNaN(value)).sort();
  if (!known.length) return [0, 1];
  return [known[Math.floor(known.length * 0.01)], known[Math.min(known.length - 1, Math.floor(known.length * 0.99))]];
}
