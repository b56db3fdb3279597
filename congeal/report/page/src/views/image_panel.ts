/** All about one image: where it comes from, its pose, its map as a warped grid, its neighbours. */
import type { Index } from "../data/types.ts";
import type { Member } from "../data/members.ts";
import type { Field } from "../geometry/fields.ts";
import { correction, imageName } from "../ui/commands.ts";
import { copyButton, h, segmented } from "../ui/dom.ts";
import { decimal, percent, shortName, visible } from "../ui/numbers.ts";
import { facts, messageOf, problem } from "../ui/page.ts";
import { MemberStage, NO_OVERLAYS } from "../ui/member_stage.ts";

export interface PanelWiring {
  readonly index: Index;
  readonly cluster: string;
  readonly saliency: Field | null;
  /** A link to a member, with its thumbnail. */
  neighbour(page: number, position: number): HTMLElement | null;
  /** What the owner of the collection says of an image: names of columns and values. */
  own(image: string): Promise<[string, string][]>;
  close(): void;
}

export function imagePanel(member: Member, wiring: PanelWiring): { element: HTMLElement; stage: MemberStage } {
  const name = shortName(member.uri);
  const stage = new MemberStage(member, wiring.saliency, `${name}: the grid of the atlas on it`);
  stage.overlays = { ...NO_OVERLAYS, grid: true };
  stage.numbered = member.further.length > 0;
  const draw = (): void => stage.drawMarks([], []);
  const { mirrored, rotation, scale, translation } = member.pose;
  const close = h("button", { type: "button", class: "quiet close", "aria-label": "Close", on: { click: wiring.close } }, "×");
  const near = member.neighbours.map(([page, position]) => wiring.neighbour(page, position));
  const frame = segmented(
    "Frame",
    [
      ["image", "As it is"],
      ["atlas", "In the atlas"],
    ],
    "image",
    (value) => {
      stage.show(value === "image" ? 0 : 1);
      draw();
    },
  );
  const instances = segmented("Grid of instance", [["0", "0"], ...member.further.map(({ number }): [string, string] => [String(number), String(number)])], "0", (value) => {
    stage.instance = Number(value);
    draw();
  });
  const own = h("div", { class: "own" });
  void wiring.own(member.id).then(
    (pairs) => {
      if (pairs.length) own.append(h("h3", {}, "What its owner says"), facts(pairs.map(([column, value]) => [visible(column), visible(value)] as const)));
    },
    (error: unknown) => own.append(problem(messageOf(error))),
  );
  const element = h(
    "div",
    {
      class: "panel",
      role: "dialog",
      "aria-label": `Image ${name}`,
      tabindex: -1,
      on: { keydown: (event: KeyboardEvent) => event.key === "Escape" && wiring.close() },
    },
    h("div", { class: "panel-head" }, h("h2", { title: visible(member.uri) }, name), close),
    stage.element,
    h("div", { class: "row" }, frame, member.further.length ? instances : null),
    member.outlier ? h("p", { class: "warning" }, `Does not fit: ${member.reason ?? "no reason is recorded"}`) : null,
    facts([
      ["Size", `${member.width} × ${member.height}`],
      ["Mirrored", mirrored ? "yes" : "no"],
      ["Turned", `${((rotation * 180) / Math.PI).toFixed(1)}°`, "clockwise, from the atlas to the image"],
      ["Scale", decimal(scale, 2), "side of the atlas beside that of the image's frame"],
      ["Moved", `${decimal(translation[0], 2)}, ${decimal(translation[1], 2)}`, "in halves of the frame's side, right and down"],
      ["Residual", decimal(member.residual)],
      ["Cycle error", decimal(member.cycleError), "there and back through the maps, atlas units"],
      ["Coverage", percent(member.coverage)],
      ["Confidence", percent(member.confidence)],
      ["Folds", percent(member.foldFraction)],
      ...(member.further.length ? [["Instances", `${1 + member.further.length}: ${["0", ...member.further.map((one) => `${one.number} (${percent(one.confidence)})`)].join(", ")}`, "things of the kind, with the mean confidence of each further one; the figures here are of instance 0"] as const] : []),
      ["Role", member.role ?? "–"],
    ]),
    own,
    h("h3", {}, "Where it comes from"),
    h("p", { class: "path" }, visible(member.uri)),
    h(
      "div",
      { class: "row" },
      copyButton("Copy path", () => member.uri),
      copyButton("Copy Python", () => python(wiring.index, member)),
      copyButton("Copy command to leave it out", () => correction(wiring.index, "exclude", [imageName(member.uri, member.id)])),
      copyButton("Copy SQL", () => `SELECT * FROM members WHERE image_id = '${member.id}';`),
    ),
    near.some(Boolean) ? h("h3", {}, "Looks most alike") : null,
    near.some(Boolean) ? h("div", { class: "neighbours" }, ...near) : null,
  );
  stage.show(0);
  requestAnimationFrame(draw);
  return { element, stage };
}

function python(index: Index, member: Member): string {
  return `import congeal\n\nc = congeal.open(${JSON.stringify(index.destination)})\nmaps = c.maps(${JSON.stringify(member.id)})\n`;
}
