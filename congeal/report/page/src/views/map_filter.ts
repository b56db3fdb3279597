/** Which images of the map are shown, by columns of the collection's owner: colours, legend and filter. */
import type { MapPoints } from "../data/map_points.ts";
import { ALL_OTHERS, NO_VALUE, type OwnFacts, amount, said, spelled, typed } from "../data/own_columns.ts";
import { PLAIN, category, css, packed, sequential } from "../draw/colour.ts";
import { clear, h } from "../ui/dom.ts";
import { count, visible } from "../ui/numbers.ts";

const LISTED = 60; // values that the legend names

interface Filter {
  readonly facts: OwnFacts;
  readonly codes: Int32Array;
  /** Of "values": those that are shown. */
  readonly values: Set<number>;
  low: number;
  high: number;
}

export class MapFilter {
  /** What is filtered by, and how many images that leaves. */
  readonly element = h("div", { class: "map-filter", hidden: true, "aria-live": "polite" });
  private readonly filters = new Map<string, Filter>();
  private readonly loaded = new Map<string, Int32Array>();

  constructor(
    private readonly points: MapPoints,
    private readonly changed: () => void,
    private readonly singled: (rows: Set<number> | null) => void,
    private readonly list: (rows: number[]) => void,
  ) {}

  find(column: string): OwnFacts | undefined {
    return this.points.own.find((one) => one.column === column);
  }

  async codes(facts: OwnFacts): Promise<Int32Array> {
    let codes = this.loaded.get(facts.column);
    if (!codes) {
      codes = await this.points.ownCodes(facts.column);
      this.loaded.set(facts.column, codes);
    }
    return codes;
  }

  /** "label: emu" of every column that has been looked at. */
  describe(row: number): string[] {
    return this.points.own.flatMap((facts) => {
      const codes = this.loaded.get(facts.column);
      return codes ? [`${visible(facts.name)}: ${visible(said(facts, codes[row]))}`] : [];
    });
  }

  colours(facts: OwnFacts, codes: Int32Array): Uint32Array {
    const plain = packed(PLAIN);
    if (facts.kind === "values")
      return Uint32Array.from(codes, (code) => (code === NO_VALUE || code === ALL_OTHERS ? plain : packed(category(code - 1))));
    const [low, high] = ends(facts, codes);
    return Uint32Array.from(codes, (code) => (code === NO_VALUE ? plain : packed(sequential((amount(facts, code) - low) / (high - low || 1)))));
  }

  /** Colours with those of hidden images taken away. */
  applied(colours: Uint32Array): Uint32Array {
    return this.filters.size ? colours.map((colour, row) => (this.passes(row) ? colour : 0)) : colours;
  }

  legend(facts: OwnFacts, codes: Int32Array): HTMLElement {
    return facts.kind === "values" ? this.valuesLegend(facts, codes) : this.amountLegend(facts, codes);
  }

  private passes(row: number): boolean {
    for (const { facts, codes, values, low, high } of this.filters.values()) {
      if (facts.kind === "values") {
        if (!values.has(codes[row])) return false;
      } else {
        const value = amount(facts, codes[row]);
        if (Number.isNaN(value) || value < low || value > high) return false;
      }
    }
    return true;
  }

  private filter(facts: OwnFacts, codes: Int32Array): Filter {
    const filter = this.filters.get(facts.column) ?? { facts, codes, values: new Set<number>(), low: -Infinity, high: Infinity };
    this.filters.set(facts.column, filter);
    return filter;
  }

  private show(): void {
    for (const [column, { facts, values, low, high }] of this.filters)
      if (facts.kind === "values" ? !values.size : low === -Infinity && high === Infinity) this.filters.delete(column);
    this.element.hidden = !this.filters.size;
    clear(this.element);
    const rows: number[] = [];
    if (this.filters.size) for (let row = 0; row < this.points.rows; row++) if (this.passes(row)) rows.push(row);
    for (const [column, { facts, values, low, high }] of this.filters) {
      const what = facts.kind === "values" ? [...values].map((code) => visible(said(facts, code))).join(", ") : `${low === -Infinity ? "…" : spelled(facts, low)} to ${high === Infinity ? "…" : spelled(facts, high)}`;
      this.element.append(
        h("button", { type: "button", class: "filter-chip", title: "Show the others again", on: { click: () => {
          this.filters.delete(column);
          this.show();
        } } }, h("span", { class: "filter-text" }, `${visible(facts.name)}: ${what}`), h("span", { "aria-hidden": "true" }, " ×")),
      );
    }
    if (this.filters.size)
      this.element.append(
        h("span", { class: "hint" }, `${count(rows.length)} of ${count(this.points.rows)} images are shown`),
        h("button", { type: "button", class: "quiet", disabled: !rows.length, on: { click: () => this.list(rows) } }, "List them"),
      );
    this.changed();
  }

  private valuesLegend(facts: OwnFacts, codes: Int32Array): HTMLElement {
    const values = facts.values ?? [];
    const counts = facts.counts ?? [];
    const none = codes.reduce((sum, code) => sum + (code === NO_VALUE ? 1 : 0), 0);
    const rest = codes.reduce((sum, code) => sum + (code === ALL_OTHERS ? 1 : 0), 0);
    const chosen = this.filters.get(facts.column)?.values;
    const entry = (code: number, colour: string, text: string, images: number): HTMLElement => {
      const button: HTMLElement = h("button", { type: "button", class: "entry value", "aria-pressed": String(chosen?.has(code) ?? false), on: {
        click: () => {
          const { values: some } = this.filter(facts, codes);
          if (!some.delete(code)) some.add(code);
          button.setAttribute("aria-pressed", String(some.has(code)));
          this.show();
        },
        pointerenter: () => this.singled(rowsOf(codes, code)),
        pointerleave: () => this.singled(null),
      } }, chip(colour), h("span", { class: "lines" }, h("span", {}, visible(text)), h("span", { class: "hint" }, images === 1 ? "1 image" : `${count(images)} images`)));
      return h("li", {}, button);
    };
    const entries = values.slice(0, LISTED).map((value, k) => entry(k + 1, category(k), value, counts[k] ?? 0));
    if (rest) entries.push(entry(ALL_OTHERS, PLAIN, `${count(facts.others ?? 0)} other values`, rest));
    if (none) entries.push(entry(NO_VALUE, PLAIN, "no value", none));
    return h(
      "div",
      {},
      h("p", { class: "hint" }, "Choose values to see their images alone."),
      h("ul", {}, ...entries),
      values.length > LISTED ? h("p", { class: "hint" }, `and ${count(values.length - LISTED)} rarer values; colours repeat`) : null,
    );
  }

  private amountLegend(facts: OwnFacts, codes: Int32Array): HTMLElement {
    const [low, high] = ends(facts, codes);
    const bar = h("span", { class: "scale-bar", "aria-hidden": "true" });
    bar.style.background = `linear-gradient(90deg, ${Array.from({ length: 9 }, (_, k) => css(sequential(k / 8))).join(", ")})`;
    const kind = facts.kind === "number" ? "number" : facts.kind === "date" ? "date" : "datetime-local";
    const there = this.filters.get(facts.column);
    const bound = (label: string, held: number | undefined, set: (filter: Filter, value: number) => void): HTMLElement => {
      const input: HTMLInputElement = h("input", { type: kind, step: facts.kind === "number" ? "any" : null, on: { change: () => {
        set(this.filter(facts, codes), typed(facts, input.value));
        this.show();
      } } });
      if (held !== undefined && Number.isFinite(held)) input.value = spelled(facts, held).replace(" ", "T");
      return h("label", { class: "bound" }, label, input);
    };
    return h(
      "div",
      {},
      h("span", { class: "legend-entry ends" }, spelled(facts, low) || "–", bar, spelled(facts, high) || "–"),
      codes.includes(NO_VALUE) ? h("span", { class: "legend-entry" }, chip(PLAIN), "no value") : null,
      h("p", { class: "hint" }, "Show only images from … to …"),
      bound("from ", there?.low, (filter, value) => (filter.low = Number.isNaN(value) ? -Infinity : value)),
      bound("to ", there?.high, (filter, value) => (filter.high = Number.isNaN(value) ? Infinity : value)),
    );
  }
}

function rowsOf(codes: Int32Array, code: number): Set<number> {
  const rows = new Set<number>();
  codes.forEach((one, row) => {
    if (one === code) rows.add(row);
  });
  return rows;
}

function chip(colour: string): HTMLElement {
  const element = h("span", { class: "chip", "aria-hidden": "true" });
  element.style.background = colour;
  return element;
}

/** The least and the greatest amount that there is. */
function ends(facts: OwnFacts, codes: Int32Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const code of codes)
    if (code !== NO_VALUE) {
      low = Math.min(low, code);
      high = Math.max(high, code);
    }
  return low > high ? [NaN, NaN] : [amount(facts, low), amount(facts, high)];
}
