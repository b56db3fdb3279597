/** The points and boxes that are kept, in words. */
import { copyButton, h } from "./dom.ts";
import { counted, shortName } from "./numbers.ts";
import type { Pointing } from "./pointing.ts";
import type { Pointed } from "./stage.ts";

/** python: what is copied for the points that are kept. */
export function pointList(pointing: Pointing, python: (pins: readonly Pointed[]) => string): HTMLElement[] {
  const { pins, boxes } = pointing;
  if (!pins.length && !boxes.length)
    return [h("p", { class: "hint" }, "Point at any picture to see the same place on all others. Click keeps the point; drag marks a box.")];
  const entries = pins.map((pin, k) => {
    const { seen, of } = pointing.seenOn(pin);
    const chip = h("span", { class: "chip" });
    chip.style.background = pin.colour;
    const { origin, at } = pin;
    const from = origin
      ? `${shortName(origin.member.uri, 24)} (${origin.x.toFixed(0)}, ${origin.y.toFixed(0)})`
      : `atlas (${at.u.toFixed(2)}, ${at.v.toFixed(2)})`;
    const remove = { click: () => pointing.unpin(k) };
    return h(
      "li",
      {},
      chip,
      h("span", {}, from),
      h("span", { class: "seen" }, `seen on ${seen} of ${of}`),
      h("button", { type: "button", class: "quiet", "aria-label": `Remove the point at ${from}`, on: remove }, "×"),
    );
  });
  const parts: HTMLElement[] = [h("ul", {}, ...entries)];
  if (boxes.length) parts.push(h("p", { class: "hint" }, counted(boxes.length, "box", "boxes")));
  const clear = h("button", { type: "button", class: "quiet", on: { click: () => pointing.clear() } }, "Clear");
  parts.push(h("div", { class: "row" }, clear, ...(pins.length ? [copyButton("Copy points as Python", () => python(pins))] : [])));
  return parts;
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
