/** The same place of all members side by side, each turned as the atlas lies: what is wrong stands out. */
import type { Member } from "../data/members.ts";
import { drawPoint } from "../draw/marks.ts";
import { type Place, toFrame } from "../geometry/frames.ts";
import { VISIBLE, fromAtlas } from "../geometry/maps.ts";
import { h, segmented } from "../ui/dom.ts";
import { counted, percent, shortName, visible } from "../ui/numbers.ts";
import type { Pointed } from "../ui/stage.ts";

const AROUND = 0.34; // halves of the atlas' side that a picture shows to each side of the place
const SIDE = 96; // pixels of such a picture, as CSS has them

type Order = "doubtful" | "sure";

interface Cut {
  readonly member: Member;
  readonly place: Place;
  readonly confidence: number;
}

/** link: to a member. close: called when it is closed. */
export function comparison(pin: Pointed, members: readonly Member[], link: (position: number) => string, close: () => void): HTMLElement {
  const cuts: Cut[] = [];
  let without = 0;
  for (const member of members) {
    const at = placeOn(pin, member);
    if (at) cuts.push({ member, ...at });
    else without++;
  }
  const list = h("ul", { class: "cuts" });
  const arrange = (order: Order): void => {
    const sign = order === "doubtful" ? 1 : -1;
    const sorted = [...cuts].sort((a, b) => sign * (a.confidence - b.confidence) || a.member.position - b.member.position);
    list.replaceChildren(...sorted.map((cut) => entry(cut, pin.colour, link)));
  };
  arrange("doubtful");
  const unsure = cuts.filter((cut) => cut.confidence < VISIBLE).length;
  const said = [
    `${counted(cuts.length, "image")} of this page`,
    unsure ? `${unsure} of them below 50 % sure` : "",
    without ? `on ${counted(without, "image")} nothing corresponds` : "",
  ].filter(Boolean);
  const chip = h("span", { class: "chip" });
  chip.style.background = pin.colour;
  return h(
    "section",
    { class: "comparison", "aria-label": "The same place on all members" },
    h("div", { class: "toolbar" }, h("h2", {}, chip, " The same place on all members"), segmented<Order>("Order of the places", [["doubtful", "Doubtful first"], ["sure", "Surest first"]], "doubtful", arrange), h("span", { class: "hint" }, `${said.join(", ")}. Each is turned as the atlas lies, so all should look alike.`), h("button", { type: "button", class: "quiet close", "aria-label": "Close the comparison", on: { click: close } }, "×")),
    list,
  );
}

/** Where a pin is on a member, in its frame; of several things of the kind the surest. */
function placeOn(pin: Pointed, member: Member): { place: Place; confidence: number } | null {
  if (pin.origin?.member === member) return { place: toFrame(member, pin.origin.x, pin.origin.y), confidence: 1 };
  let best: { place: Place; confidence: number } | null = null;
  for (const maps of [member.maps, ...member.further.map((one) => one.maps)]) {
    if (!maps) continue;
    const found = fromAtlas(maps, pin.at);
    if (found.confidence > (best?.confidence ?? 0)) best = { place: toFrame(member, found.x, found.y), confidence: found.confidence };
  }
  return best;
}

function entry({ member, place, confidence }: Cut, colour: string, link: (position: number) => string): HTMLElement {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const canvas = h("canvas", { width: SIDE * ratio, height: SIDE * ratio, "aria-hidden": "true" });
  cut(canvas, member, place);
  const context = canvas.getContext("2d");
  if (context) drawPoint(context, { x: canvas.width / 2, y: canvas.height / 2, colour, opacity: 1, seen: false }, ratio);
  const name = shortName(member.uri, 40);
  return h(
    "li",
    { class: confidence < VISIBLE ? "unsure" : "" },
    h("a", { href: link(member.position), title: visible(member.uri), "aria-label": `${name}, ${percent(confidence)} sure` }, canvas, h("span", { class: "hint" }, percent(confidence))),
  );
}

/** Draw what lies around a place of a member, turned, mirrored and sized as the atlas has it. */
function cut(canvas: HTMLCanvasElement, { picture, pose }: Member, [x, y]: Place): void {
  const context = canvas.getContext("2d");
  if (!context || !picture) return;
  const sheet = h("canvas", { width: picture.side, height: picture.side });
  sheet.getContext("2d")?.putImageData(new ImageData(picture.data, picture.side, picture.side), 0, 0);
  const half = canvas.width / 2;
  const cos = Math.cos(pose.rotation) / pose.scale;
  const sin = Math.sin(pose.rotation) / pose.scale;
  const facing = pose.mirrored ? -1 : 1;
  context.imageSmoothingQuality = "high";
  context.translate(half, half);
  context.scale(half / AROUND, half / AROUND);
  context.transform(facing * cos, -facing * sin, sin, cos, 0, 0);
  context.translate(-x, -y);
  context.drawImage(sheet, -1, -1, 2, 2);
  context.resetTransform();
}
