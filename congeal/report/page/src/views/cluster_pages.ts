/** The pages of a large cluster: from one to another, and all members at a glance. */
import type { Cluster } from "../data/report.ts";
import { beside, file } from "../data/scripts.ts";
import type { ClusterScript } from "../data/types.ts";
import { h } from "../ui/dom.ts";
import { count } from "../ui/numbers.ts";

/** Links to the pages around, and a choice of all, if there are several. */
export function clusterPager(script: ClusterScript, current: number): HTMLElement | null {
  const pages = script.pages.length;
  if (pages < 2) return null;
  const address = (page: number): string => `#/cluster/${script.id}/${page}`;
  const link = (page: number, text: string): HTMLElement =>
    page >= 0 && page < pages && page !== current ? h("a", { href: address(page) }, text) : h("span", { class: "off" }, text);
  const jump: HTMLSelectElement = h("select", { "aria-label": "Page of members", on: { change: () => { location.hash = address(Number(jump.value)); } } }, ...script.pages.map((_, page) => h("option", { value: page, selected: page === current }, `Page ${count(page + 1)} of ${count(pages)}`)));
  return h("nav", { class: "pager", "aria-label": "Pages of members" }, link(0, "« First"), link(current - 1, "‹ Page before"), h("span", {}, `Members ${range(script, current)} of ${count(script.total)}, the nearest to the atlas first`), jump, link(current + 1, "Next page ›"), link(pages - 1, "Last »"));
}

function range(script: ClusterScript, page: number): string {
  const first = page * script.page_size;
  return `${count(first + 1)} to ${count(first + (script.pages[page]?.count ?? 0))}`;
}

/** A sheet of small pictures a page, fetched when it comes into sight. */
export function contactSheets({ script, path }: Cluster): HTMLElement | null {
  if (script.pages.length < 2) return null;
  const sheets = h("div", { class: "contact-sheets" });
  const fill = (): void => {
    if (details.open && !sheets.childElementCount) sheets.append(...script.pages.map((_, page) => sheet(script, path, page)));
  };
  const details: HTMLDetailsElement = h("details", { class: "listing", on: { toggle: fill } }, h("summary", {}, `All ${count(script.total)} members at a glance`), sheets);
  return details;
}

function sheet(script: ClusterScript, path: string, page: number): HTMLElement {
  const facts = script.pages[page];
  const rows = Math.ceil(facts.count / facts.columns);
  const label = `Members ${range(script, page)}`;
  const picture = h("img", { src: file(beside(path, facts.small)), loading: "lazy", decoding: "async", alt: label, width: SMALL * facts.columns, height: SMALL * rows });
  const open = (event: MouseEvent): void => {
    // With the keyboard there is no place: then the page of the sheet is meant.
    if (event.detail === 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const box = picture.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * facts.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const position = row * facts.columns + column;
    if (column < 0 || column >= facts.columns || position < 0 || position >= facts.count) return;
    event.preventDefault();
    location.hash = `#/cluster/${script.id}/${page}/${position}`;
  };
  return h("a", { href: `#/cluster/${script.id}/${page}`, on: { click: open } }, picture, h("span", { class: "hint" }, label));
}

const SMALL = 64; // side of a cell of a sheet (`congeal/report/thumbnail_sheets.py`)
