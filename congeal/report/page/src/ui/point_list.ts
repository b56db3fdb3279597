/** The points and boxes that are kept, in words. */
import { h } from "./dom.ts";
import { counted, shortName } from "./numbers.ts";
import type { Pointing } from "./pointing.ts";

export function pointList(pointing: Pointing): HTMLElement[] {
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
  parts.push(h("button", { type: "button", class: "quiet", on: { click: () => pointing.clear() } }, "Clear"));
  return parts;
}
