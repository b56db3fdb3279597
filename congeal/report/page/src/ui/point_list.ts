/** The points and areas that are kept, in words, and what can be made of them. */
import { type Label, coco, tps } from "../data/labels.ts";
import { everywhere, marked } from "../data/marks.ts";
import type { Member } from "../data/members.ts";
import type { Index } from "../data/types.ts";
import { command, commandLine } from "./commands.ts";
import { copyButton, download, h, segmented } from "./dom.ts";
import { shortName } from "./numbers.ts";
import type { Pointing, Shape } from "./pointing.ts";
import type { Outlined, Pointed } from "./stage.ts";

export interface PointWiring {
  readonly index: Index;
  readonly cluster: string;
  /** The members of the page. */
  members(): readonly Member[];
  /** Show a point on all members side by side. */
  compare(pin: Pointed): void;
}

/** What is open stays so while the list is made anew. */
let opened = false;

export function pointList(pointing: Pointing, wiring: PointWiring): HTMLElement[] {
  const { pins, areas } = pointing;
  const shape = segmented<Shape>("A drag marks", [["box", "Drag a box"], ["outline", "Draw an outline"]], pointing.shape, (chosen) => {
    pointing.shape = chosen;
  });
  if (!pins.length && !areas.length)
    return [h("p", { class: "hint" }, "Point at any picture to see the same place on all others. A click keeps the point; a drag marks an area."), shape];
  const entries = [
    ...pins.map((pin, k) => pinEntry(pointing, pin, k, wiring)),
    ...areas.map((area, k) => entryOf(area, `${area.upright ? "box" : "area"} on ${area.origin ? shortName(area.origin.member.uri, 24) : "the atlas"}`, "", null, () => pointing.removeArea(k))),
  ];
  const clear = h("button", { type: "button", class: "quiet", on: { click: () => pointing.clear() } }, "Clear");
  const python = pins.length ? [copyButton("Copy points as Python", () => landmarksPython(wiring.index.destination, wiring.cluster, pins))] : [];
  return [h("ul", {}, ...entries), shape, h("div", { class: "row" }, clear, ...python), exports(pointing, wiring)];
}

function pinEntry(pointing: Pointing, pin: Pointed, k: number, wiring: PointWiring): HTMLElement {
  const { seen, of } = pointing.seenOn(pin);
  const { origin, at } = pin;
  const from = origin
    ? `${shortName(origin.member.uri, 24)} (${origin.x.toFixed(0)}, ${origin.y.toFixed(0)})`
    : `atlas (${at.u.toFixed(2)}, ${at.v.toFixed(2)})`;
  const side = h("button", { type: "button", class: "quiet", title: "the same place of all members side by side", on: { click: () => wiring.compare(pin) } }, "Compare");
  return entryOf(pin, from, `, seen on ${seen} of ${of}`, side, () => pointing.unpin(k));
}

function entryOf(mark: Pointed | Outlined, from: string, seen: string, more: HTMLElement | null, remove: () => void): HTMLElement {
  const chip = h("span", { class: "chip" });
  chip.style.background = mark.colour;
  const name: HTMLInputElement = h("input", { type: "text", value: mark.name ?? "", maxlength: 60, "aria-label": `Name of the mark ${from}`, title: from, on: { input: () => (mark.name = name.value.trim() || undefined) } });
  return h("li", {}, chip, name, h("button", { type: "button", class: "quiet", "aria-label": `Remove the mark ${from}`, on: { click: remove } }, "×"), h("span", { class: "seen" }, h("span", {}, from, seen), more));
}

/** Files that `congeal propagate` takes, and how it is told. */
function exports(pointing: Pointing, { index, members }: PointWiring): HTMLElement {
  const said = h("span", { class: "hint", role: "status" });
  const about = `Marks of version ${index.version}`;
  const save = (labels: Label[], name: string): void => {
    if (labels.length) download(name, coco(labels, about), "application/json");
    said.textContent = labels.length ? `${name} is saved` : "Nothing of it lies on an image";
  };
  const saveTps = (): void => {
    const { text, leftOut } = tps(marked(pointing.pins, [], members()));
    if (text) download("marks.tps", text);
    said.textContent = text && !leftOut ? "marks.tps is saved" : "An image whose name has a line break cannot be in it: export COCO instead";
  };
  const button = (text: string, title: string, act: () => void): HTMLElement => h("button", { type: "button", title, on: { click: act } }, text);
  const details = h(
    "details",
    { on: { toggle: () => (opened = details.open) } },
    h("summary", {}, "Have them on all images"),
    h(
      "div",
      { class: "row" },
      button("Export COCO", "what was marked, on the images that it was marked on", () => save(marked(pointing.pins, pointing.areas, members()), "marks.json")),
      pointing.pins.length ? button("Export TPS", "the points, on the images that they were marked on", saveTps) : null,
      button("Export all shown", "the same on all images of this page, with confidences, as COCO", () => save(everywhere(pointing.pins, pointing.areas, members()), "marks-everywhere.json")),
    ),
    said,
    commandLine("Then, for every image of the cluster, of this page or not:", () => command(index, "propagate", [], ["--coco", "marks.json", "--out", "marked"])),
  );
  details.open = opened;
  return details;
}

/** Python that finds the kept points on all images: a call for each image that they are kept on, and one for the atlas. */
export function landmarksPython(destination: string, cluster: string, pins: readonly Pointed[]): string {
  const calls = new Map<string, string[]>();
  for (const { origin, at } of pins) {
    const source = origin ? JSON.stringify(origin.member.uri) : `atlas=${JSON.stringify(cluster)}`;
    const place = origin ? `[${origin.x.toFixed(1)}, ${origin.y.toFixed(1)}]` : `[${at.u.toFixed(4)}, ${at.v.toFixed(4)}]`;
    calls.set(source, [...(calls.get(source) ?? []), place]);
  }
  const name = (n: number): string => (calls.size > 1 ? `landmarks_${n + 1}` : "landmarks");
  const lines = [...calls].map(([source, places], n) => `${name(n)} = c.landmarks([${places.join(", ")}], ${source})`);
  return `import congeal\n\nc = congeal.open(${JSON.stringify(destination)})\n${lines.join("\n")}\n`;
}
