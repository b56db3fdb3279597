/** What did not work, what is there twice, and what to do about it. */
import type { Report } from "../data/report.ts";
import type { Index } from "../data/types.ts";
import { averageSquare } from "../ui/average_square.ts";
import { clusterLabel } from "../ui/cluster_name.ts";
import { h } from "../ui/dom.ts";
import { count, counted, percent, visible } from "../ui/numbers.ts";
import type { View } from "../ui/page.ts";
import { tally } from "./fates.ts";
import { looseList } from "./loose_images.ts";
import { showMisfits } from "./misfit_pictures.ts";
import type { Section } from "./problem_sections.ts";
import { clusterStatus, standing } from "./statuses.ts";

const TRIAL = "Open one, click a point on a picture and press Compare: where its places do not look alike, nothing that is carried can be relied on. Its page has the commands that split it, leave images out or move them.";
const ROWS = 200; // a list is shown piece by piece

/** section: the list that is brought into view. */
export function problemsView(report: Report, section?: string): ProblemsView {
  return new ProblemsView(report, section);
}

export class ProblemsView implements View {
  readonly element: HTMLElement;
  readonly title = "What to check";

  constructor(report: Report, section?: string) {
    const { index } = report;
    this.element = h(
      "div",
      { class: "problems" },
      h("header", { class: "view-head" }, h("h1", {}, "What to check"), h("p", { class: "lead" }, "What is doubtful, left over, unreadable or there twice, with the reason, and what can be done. Corrections are recorded in the destination, and the next run applies them.")),
      clusters(index),
      misfits(report),
      listing("loose", "Images in no cluster", tally(index).images.loose, looseList(report, tally(index).images.loose)),
      files("failed", "Images that could not be read", index.failures, (reason) => reason, index.failures.total ? h("p", { class: "hint" }, `Everything else went on without them. Mend or replace a file in the source and run again; or leave it out for good: congeal run … --exclude PATTERN`) : null),
      files("duplicates", "Duplicates", index.duplicates, (of) => `is byte for byte ${of}`, index.duplicates.total ? h("p", { class: "hint" }, "Each is counted once and has its image's cluster. There is nothing to do.") : null),
    );
    this.show(section);
  }

  /** Bring a list into view, when it is laid out. */
  show(section?: string): void {
    if (section) requestAnimationFrame(() => this.element.querySelector(`[data-section="${CSS.escape(section)}"]`)?.scrollIntoView({ block: "start" }));
  }
}

function listing(section: Section, title: string, total: number, ...children: (Node | null)[]): HTMLElement {
  return h("section", { class: "listing", "data-section": section }, h("h2", {}, title, " ", h("span", { class: "number" }, count(total))), total === 0 ? h("p", { class: "hint" }, "none") : null, ...children);
}

/** Clusters that are not to be relied on, with what may help. */
function clusters(index: Index): HTMLElement {
  const c = index.clusters;
  const found = c.id.map((_, k) => k).filter((k) => standing(index, k) !== "aligned" || c.error[k]);
  const row = (k: number): HTMLElement => {
    const label = c.script[k] ? h("a", { href: `#/cluster/${c.id[k]}` }, clusterLabel(c, k)) : clusterLabel(c, k);
    const status = clusterStatus(index, k);
    return h("li", { class: "with-picture" }, averageSquare(index, k, "after", "mini"), h("span", { class: "lines" }, h("span", {}, label, " ", h("span", { class: "tag warn" }, status.short), " ", h("span", { class: "hint" }, counted(c.n_images[k], "image"))), h("span", { class: "reason" }, [status.text, c.error[k]].filter(Boolean).join(": "))));
  };
  return listing("clusters", "Clusters without a trusted atlas", found.length, found.length ? h("p", { class: "hint" }, TRIAL) : null, found.length ? h("ul", {}, ...found.map(row)) : null);
}

/** Clusters with images that do not fit, the most first. */
function misfits(report: Report): HTMLElement {
  const { index } = report;
  const c = index.clusters;
  const places = new Map<number, HTMLElement>();
  const found = c.id.map((_, k) => k).filter((k) => standing(index, k) !== "unaligned" && c.n_outliers[k]).sort((a, b) => c.n_outliers[b] - c.n_outliers[a] || a - b);
  const row = (k: number): HTMLElement => {
    const label = clusterLabel(c, k);
    const pictures = h("span", { class: "misfit-pictures" });
    places.set(k, pictures);
    return h("li", { class: "with-picture" }, averageSquare(index, k, "after", "mini"), h("span", { class: "lines" }, h("span", {}, c.script[k] ? h("a", { href: `#/cluster/${c.id[k]}` }, label) : label), h("span", { class: "reason" }, `${count(c.n_outliers[k])} of ${counted(c.n_images[k], "image")}, ${percent(c.n_outliers[k] / c.n_images[k])}`), pictures));
  };
  const list = found.length ? h("ul", {}, ...found.map(row)) : null;
  showMisfits(report, places);
  return listing("misfits", "Images that do not fit their cluster", tally(index).images.misfits, found.length ? h("p", { class: "hint" }, "Nothing is carried to them or from them. The cluster's page names each with the reason, and gives the command that leaves it out or moves it.") : null, list);
}

function files(section: Section, title: string, { total, rows }: Index["failures"], reason: (second: string) => string, advice: Node | null): HTMLElement {
  const list = h("ul", {});
  const more = h("button", { type: "button", class: "quiet", on: { click: () => add() } });
  let shown = 0;
  const add = (): void => {
    for (const [uri, second] of rows.slice(shown, shown + ROWS)) list.append(h("li", {}, h("span", { class: "path" }, visible(uri)), h("span", { class: "reason" }, visible(reason(second)))));
    shown = Math.min(rows.length, shown + ROWS);
    more.hidden = shown >= rows.length;
    more.textContent = `Show ${count(Math.min(ROWS, rows.length - shown))} more`;
  };
  add();
  return listing(section, title, total, advice, total ? list : null, more, total > rows.length ? h("p", { class: "hint" }, `The first ${counted(rows.length, "row")} of ${count(total)}; all are in the table images.`) : null);
}
