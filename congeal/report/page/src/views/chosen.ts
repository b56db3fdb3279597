/** Members that a person has chosen, and the command that corrects where they belong. */
import type { Member } from "../data/members.ts";
import type { Cluster } from "../data/report.ts";
import type { Index } from "../data/types.ts";
import { nameOf } from "../ui/cluster_name.ts";
import { correction, imageName } from "../ui/commands.ts";
import { append, copyButton, h, segmented } from "../ui/dom.ts";
import { counted, shortName, visible } from "../ui/numbers.ts";

const NAMED = 300; // clusters to choose from, the largest

type Action = "exclude" | "split" | "move";

/** What is chosen outlives the page that it was chosen on: by cluster, image and path. */
const chosenOf = new Map<string, Map<string, string>>();

export class Chosen {
  readonly element = h("section", { class: "chosen", "aria-label": "Chosen images", hidden: true });
  private readonly images: Map<string, string>;
  private readonly said = h("strong", { role: "status" });
  private readonly typed = h("code", { class: "typed" });
  private readonly target: HTMLSelectElement;
  private action: Action = "exclude";

  constructor(
    private readonly index: Index,
    private readonly cluster: Cluster,
    private readonly changed: () => void,
  ) {
    const { id } = cluster.script;
    this.images = chosenOf.get(id) ?? new Map();
    chosenOf.set(id, this.images);
    this.target = h("select", { "aria-label": "Cluster that they move to", on: { change: () => this.tell() } });
    this.tell();
  }

  /** Made when the first image is chosen: a page is to be there soon. */
  private build(): void {
    const c = this.index.clusters;
    const others = c.id.map((_, k) => k).filter((k) => k !== this.cluster.number).sort((a, b) => c.n_images[b] - c.n_images[a] || a - b);
    append(this.target, ...others.slice(0, NAMED).map((k) => h("option", { value: nameOf(c, k) ?? c.id[k] }, visible(nameOf(c, k) ?? c.id[k]), ` (${counted(c.n_images[k], "image")})`)));
    const actions: [Action, string][] = [["exclude", "Leave them out"], ["split", "Make them a cluster"]];
    if (others.length) actions.push(["move", "Move them to"]);
    this.element.append(
      h("div", { class: "row" }, this.said, segmented<Action>("What to do with them", actions, this.action, (action) => {
        this.action = action;
        this.tell();
      }), this.target, copyButton("Copy paths", () => [...this.images.values()].join("\n")), h("button", { type: "button", class: "quiet", on: { click: () => this.clear() } }, "Choose none")),
      h("div", { class: "command-row" }, this.typed, copyButton("Copy command", () => this.command())),
      h("p", { class: "hint" }, "It records the correction; the next congeal run applies it to the clusters concerned, or this command itself with --run at its end."),
    );
  }

  has(member: Member): boolean {
    return this.images.has(member.id);
  }

  /** The box with which a member is chosen. */
  box(member: Member): HTMLElement {
    const box = h("input", { type: "checkbox", "aria-label": `Choose ${shortName(member.uri, 40)}`, title: "Choose", on: { change: () => {
      if (box.checked) this.images.set(member.id, member.uri);
      else this.images.delete(member.id);
      this.tell();
    } } });
    box.checked = this.has(member);
    return box;
  }

  private clear(): void {
    this.images.clear();
    this.tell();
    this.changed();
  }

  private command(): string {
    const { id } = this.cluster.script;
    const names = [...this.images].map(([image, uri]) => imageName(uri, image));
    const c = this.index.clusters;
    if (this.action === "split") return correction(this.index, "split", [nameOf(c, this.cluster.number) ?? id, ...names]);
    return correction(this.index, this.action, names, this.action === "move" ? ["--to", this.target.value] : []);
  }

  private tell(): void {
    if (this.images.size && !this.element.childElementCount) this.build();
    this.element.hidden = !this.images.size;
    this.target.hidden = this.action !== "move";
    this.said.textContent = `${counted(this.images.size, "image")} chosen`;
    this.typed.textContent = this.images.size ? this.command() : "";
  }
}
