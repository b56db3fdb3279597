/** What every view has around it. */
import { h } from "./dom.ts";

/** A view that is shown; `close` is called when another takes its place. */
export interface View {
  readonly element: HTMLElement;
  readonly title: string;
  close?(): void;
}

/** A sentence where something could not be shown, with the cure in it. */
export function problem(text: string): HTMLElement {
  return h("p", { class: "problem", role: "alert" }, text);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Name and value pairs. */
export function facts(pairs: readonly (readonly [string, string | Node, string?])[]): HTMLElement {
  const list = h("dl", { class: "facts" });
  for (const [name, value, about] of pairs)
    list.append(h("div", { title: about }, h("dt", {}, name), h("dd", {}, value)));
  return list;
}
