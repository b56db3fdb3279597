/** A cluster: its atlas, all its members, and what corresponds to what. */
import { nameOf } from "../ui/cluster_name.ts";
import { unpack } from "../data/packed.ts";
import type { Member } from "../data/members.ts";
import type { Cluster, Page, Report } from "../data/report.ts";
import { beside, file, pictureOf } from "../data/scripts.ts";
import { append, clear, h, segmented, toggle } from "../ui/dom.ts";
import { decimal, percent, shortName, visible } from "../ui/numbers.ts";
import { type View, facts, messageOf, problem } from "../ui/page.ts";
import { pointList } from "../ui/point_list.ts";
import { Pointing } from "../ui/pointing.ts";
import { MemberStage, NO_OVERLAYS, type Overlays } from "../ui/member_stage.ts";
import { AtlasStage, type Pointed } from "../ui/stage.ts";
import { atlasPictures } from "../ui/atlas_pictures.ts";
import { Chosen } from "./chosen.ts";
import { clusterHead, copiesList, outlierList } from "./cluster_parts.ts";
import { clusterPager, contactSheets } from "./cluster_pages.ts";
import { comparison } from "./comparison.ts";
import { clusterCommands } from "./cluster_commands.ts";
import { Corrections } from "./corrections.ts";
import { imagePanel } from "./image_panel.ts";
import { statusText } from "./statuses.ts";

const PERIOD = 3600; // milliseconds to the atlas and back

const PATIENCE = 250; // milliseconds

type Layout = "one" | "both";
type Order = "labels" | "best" | "worst" | "name";

export async function clusterView(report: Report, id: string, page: number, position: number | null): Promise<View> {
  const cluster = await report.cluster(id);
  const view = new ClusterView(report, cluster, page);
  await view.load();
  if (position !== null) view.open(position);
  return view;
}

export class ClusterView implements View {
  readonly element = h("div", { class: "cluster" });
  readonly title: string;
  /** When members and maps were there and drawn, milliseconds since the page began to load. */
  interactive = NaN;
  private readonly pointing = new Pointing(
    () => this.listPoints(),
    (stage) => stage instanceof MemberStage && this.drawMember(stage),
  );
  private readonly grid = h("div", { class: "members" });
  private readonly points = h("div", { class: "points", "aria-live": "polite" });
  private readonly drawer = h("div", { class: "drawer" });
  private readonly saliency;
  private readonly atlas: AtlasStage;
  private readonly pictures;
  private stages: MemberStage[] = [];
  private members: Member[] = [];
  private overlays: Overlays = NO_OVERLAYS;
  private t = 0;
  private layout: Layout = "one";
  private order: Order = "best";
  private playing = 0;
  private opened: number | null = null;
  private corrections: Corrections | null = null;
  private readonly orders = h("span", {});
  private readonly chosen: Chosen;
  private readonly compared = h("div", { class: "compared" });
  private readonly doubtful: boolean;
  // Paper has no sight that pictures could come into: there all are drawn.
  private readonly paper = matchMedia("print");
  private readonly onPaper = (): void => {
    if (this.paper.matches) for (const stage of this.stages) this.drawMember(stage);
  };
  private readonly slider: HTMLInputElement;
  private readonly play: HTMLButtonElement;

  constructor(
    private readonly report: Report,
    private readonly cluster: Cluster,
    private readonly page: number,
  ) {
    const { script, path } = cluster;
    this.title = `Cluster ${nameOf(report.index.clusters, cluster.number) ?? script.id}`;
    // What holds for all is said once, at the top.
    this.doubtful = statusText(report.index.clusters.status[cluster.number]).doubtful;
    this.saliency = script.atlas ? (unpack(script.atlas.saliency, false)[0] ?? null) : null;
    const confidence = script.atlas ? (unpack(script.atlas.confidence, false)[0] ?? null) : null;
    this.pictures = atlasPictures({
      before: pictureOf(path, script.images.average_before),
      after: pictureOf(path, script.images.average_after),
      colours: pictureOf(path, script.images.colours),
      saliency: this.saliency,
      confidence,
    });
    this.atlas = new AtlasStage("The atlas of this cluster. Arrow keys move a point, space keeps it.", this.pictures.elements);
    this.slider = h("input", {
      type: "range", min: 0, max: 1, step: 0.01, value: 0, id: "morph",
      "aria-label": "From the images as they are to the atlas frame",
      on: { input: () => { this.stop(); this.morph(Number(this.slider.value)); } },
    });
    this.play = h("button", { type: "button", class: "quiet play", "aria-label": "Play", on: { click: () => (this.playing ? this.stop() : this.start()) } }, "▶");
    this.chosen = new Chosen(report.index, cluster, () => this.arrange());
    this.paper.addEventListener("change", this.onPaper);
    this.showOrders();
    append(
      this.element,
      clusterHead(report.index, cluster),
      clusterPager(script, page),
      h("div", { class: "cluster-body" }, this.aside(), h("section", { class: "member-section", "aria-label": "Members" }, this.compared, this.toolbar(), this.grid, this.chosen.element, contactSheets(cluster), outlierList(report.index, script), copiesList(script), clusterCommands(report.index, cluster))),
      this.drawer,
    );
  }

  /** Settled when the members are shown; points can be carried a little later, when their maps are there. */
  async load(): Promise<void> {
    try {
      const page = await this.report.page(this.cluster, this.page);
      this.members = page.members;
      this.listPoints();
      // Maps that are about to come spare painting twice; slower ones are not waited for.
      await Promise.race([page.maps.catch(() => null), new Promise((done) => setTimeout(done, PATIENCE))]);
      this.arrange();
      void this.addMaps(page);
    } catch (error) {
      this.grid.replaceChildren(problem(messageOf(error)));
    }
  }

  private async addMaps(page: Page): Promise<void> {
    try {
      const note = await page.maps;
      if (note) this.grid.before(h("p", { class: "note" }, note));
      this.drawMembers();
      if (this.opened !== null) this.open(this.opened);
      requestAnimationFrame(() => requestAnimationFrame(() => (this.interactive = performance.now())));
      await this.addCorrections();
    } catch (error) {
      this.grid.before(problem(messageOf(error)));
    }
  }

  close(): void {
    this.stop();
    this.paper.removeEventListener("change", this.onPaper);
    this.pointing.close();
  }

  /** Counterparts of a pixel of a member on all members of this page: for the console and for tests. */
  counterparts(position: number, x: number, y: number): { image: string; x: number; y: number; confidence: number; instance?: number }[] {
    return this.pointing.counterparts(this.members, position, x, y);
  }

  /** Time of one hover: from the pointer's place to all marks drawn, in milliseconds. */
  timeOfHover(position: number, u: number, v: number): number {
    const stage = this.stages.find((other) => other.member.position === position);
    if (!stage) return NaN;
    const start = performance.now();
    this.pointing.point(stage, [u, v]);
    this.pointing.drawNow();
    return performance.now() - start;
  }

  private aside(): HTMLElement {
    const options = this.pictures.choices;
    return h(
      "aside",
      { class: "atlas", "aria-label": "Atlas" },
      this.atlas.element,
      segmented("Picture of the atlas", options, options[0][0], (choice) => {
        this.pictures.show(choice);
      }),
      this.points,
    );
  }

  private toolbar(): HTMLElement {
    const set = (name: keyof Overlays) => (on: boolean): void => {
      this.overlays = { ...this.overlays, [name]: on };
      this.drawMembers();
    };
    return h(
      "div",
      { class: "toolbar" },
      h("div", { class: "morph" }, this.play, h("label", { for: "morph" }, "As they are"), this.slider, h("span", {}, "In the atlas")),
      h(
        "div",
        { class: "toggles", role: "group", "aria-label": "Show over the members" },
        toggle("Confidence", false, set("confidence"), "how sure the map is at each place: dark is unsure, yellow is sure"),
        toggle("Saliency", false, set("saliency"), "what the members have in common: yellow is the object"),
        toggle("Mask", false, set("mask"), "hide what is not the object"),
        toggle("Grid", false, set("grid"), "the grid of the atlas on each member"),
      ),
      segmented<Layout>("Layout", [["one", "One picture"], ["both", "Before and after"]], this.layout, (layout) => {
        this.layout = layout;
        this.arrange();
      }),
      this.orders,
    );
  }

  private showOrders(): void {
    const options: [Order, string][] = [["best", "Best first"], ["worst", "Doubtful first"], ["name", "By name"]];
    if (this.corrections) options.unshift(["labels", "Unsure labels first"]);
    this.orders.replaceChildren(
      segmented<Order>("Order", options, this.order, (order) => {
        this.order = order;
        this.arrange();
      }),
    );
  }

  private sorted(): Member[] {
    const list = [...this.members];
    if (this.order === "worst") {
      list.sort((a, b) => Number(b.outlier) - Number(a.outlier) || (a.confidence ?? 0) - (b.confidence ?? 0));
    } else if (this.order === "name") list.sort((a, b) => (a.uri < b.uri ? -1 : 1));
    if (this.order === "labels") this.corrections?.sort(list);
    return list;
  }

  /** Lay out the members anew. */
  private arrange(): void {
    this.stages = [];
    clear(this.grid);
    this.grid.classList.toggle("pairs", this.layout === "both");
    for (const member of this.sorted()) this.grid.append(this.tile(member));
    this.pointing.watch([this.atlas, ...this.stages]);
  }

  private tile(member: Member): HTMLElement {
    const name = shortName(member.uri, 40);
    const stages = (this.layout === "both" ? [0, 1] : [null]).map((fixed) => {
      const stage = new MemberStage(member, this.saliency, `${name}${fixed === null ? "" : fixed ? ", in the atlas" : ", as it is"}. Arrow keys move a point, space keeps it.`);
      if (fixed !== null) stage.element.dataset.fixed = String(fixed);
      this.stages.push(stage);
      return stage.element;
    });
    const fit = member.confidence ?? 0;
    const meter = h("span", { class: "meter", "aria-hidden": "true" }, h("span", {}));
    (meter.firstElementChild as HTMLElement).style.width = `${Math.round(100 * fit)}%`;
    return h(
      "figure",
      { class: member.outlier && !this.doubtful ? "tile outlier" : "tile", "data-position": member.position },
      h("div", { class: "pictures" }, ...stages),
      h(
        "figcaption",
        {},
        h("span", { class: "named" }, this.chosen.box(member), h("a", { href: this.link(member.position), title: visible(member.uri) }, name)),
        h("span", { class: "fit", title: `mean confidence ${percent(member.confidence)}, residual ${decimal(member.residual)}, cycle error ${decimal(member.cycleError)}` }, meter, percent(member.confidence)),
        member.outlier && !this.doubtful ? h("span", { class: "reason" }, member.reason ?? "does not fit") : null,
        member.role === "newcomer" ? h("span", { class: "tag" }, "new") : null,
        member.further.length ? h("span", { class: "tag", title: "things of the kind that are mapped in it" }, `${1 + member.further.length} of them`) : null,
      ),
    );
  }

  private link(position: number, page = this.page): string {
    return `#/cluster/${this.cluster.script.id}/${page}/${position}`;
  }

  /** Draw those in sight; the others are drawn when they come into it. */
  private drawMembers(): void {
    for (const stage of this.stages) if (stage.visible) this.drawMember(stage);
    this.pointing.redraw();
  }

  private drawMember(stage: MemberStage): void {
    stage.overlays = this.overlays;
    const fixed = stage.element.dataset.fixed;
    stage.show(fixed === undefined ? this.t : Number(fixed));
  }

  private morph(t: number): void {
    this.t = t;
    this.slider.value = String(t);
    this.drawMembers();
  }

  private start(): void {
    const begun = performance.now();
    const from = this.t;
    this.play.textContent = "❚❚";
    this.play.setAttribute("aria-label", "Stop");
    const step = (now: number): void => {
      // Up and down again, resting a little at both ends.
      const phase = (now - begun) / PERIOD + from / 2;
      this.morph(Math.min(1, Math.max(0, 1.3 * (0.5 - 0.5 * Math.cos(2 * Math.PI * phase)) - 0.15)));
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  private stop(): void {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.play.textContent = "▶";
    this.play.setAttribute("aria-label", "Play");
  }

  private listPoints(): void {
    const wiring = { index: this.report.index, cluster: this.cluster.script.id, members: () => this.members, compare: (pin: Pointed) => this.compare(pin) };
    this.points.replaceChildren(...pointList(this.pointing, wiring));
    if (this.compared.childElementCount && !this.pointing.pins.length) clear(this.compared);
  }

  /** Show a place on all members side by side. */
  compare(pin: Pointed): void {
    this.compared.replaceChildren(comparison(pin, this.members, (position) => this.link(position), () => clear(this.compared)));
    this.compared.scrollIntoView({ block: "nearest" });
  }

  private async addCorrections(): Promise<void> {
    const annotations = await this.report.annotations(this.cluster);
    if (!annotations) return;
    this.corrections = new Corrections(annotations, this.report.index, this.members, this.page, this.pointing, () => this.arrange());
    this.grid.before(this.corrections.element);
    this.order = "labels";
    this.showOrders();
    this.arrange();
  }

  /** Show all about a member. */
  open(position: number): void {
    const member = this.members[position];
    if (!member) return;
    this.opened = position;
    const { script, path } = this.cluster;
    const { element } = imagePanel(member, {
      index: this.report.index,
      cluster: script.id,
      saliency: this.saliency,
      neighbour: (page, at) => {
        const facts = script.pages[page];
        if (!facts) return null;
        const picture = h("span", { class: "thumb" });
        picture.style.backgroundImage = `url("${file(beside(path, facts.small))}")`;
        picture.style.backgroundPosition = `${-64 * (at % facts.columns)}px ${-64 * Math.floor(at / facts.columns)}px`;
        return h("a", { href: this.link(at, page), "aria-label": `Member ${at + 1} of page ${page + 1}` }, picture);
      },
      own: (image) => this.report.own(this.cluster, image),
      close: () => {
        location.hash = `#/cluster/${script.id}/${this.page}`;
      },
    });
    this.drawer.replaceChildren(element);
    element.focus({ preventScroll: true });
  }

  /** Take another position of the same page from the address; gives false if it is another page's. */
  moveTo(id: string, page: number, position: number | null): boolean {
    if (id !== this.cluster.script.id || page !== this.page) return false;
    if (position === null) {
      this.opened = null;
      clear(this.drawer);
    } else this.open(position);
    return true;
  }
}

