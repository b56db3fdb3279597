/** Commands that a person copies into a terminal: names are quoted, and what a terminal might act on is not in them. */
import type { Index } from "../data/types.ts";
import { copyButton, h } from "./dom.ts";

const PLAIN = /^[\p{L}\p{N}_@+:,./-]+$/u;
// A terminal may act on what it is given to paste: control characters, and what turns text around.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** An image by its path or, where that cannot be pasted, by its id; null if it cannot be named at all. */
export function imageName(uri: string, id: string | null = null): string | null {
  return UNSAFE.test(uri) ? id : uri;
}

/** A word of a POSIX shell. */
export function word(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A source or a destination as a word. */
export function place(url: string): string {
  return word(url.replace(/^file:\/\//, ""));
}

/** `congeal COMMAND DEST …`. options: after the names or, where one of these begins with a hyphen, before them. */
export function command(index: Index, name: string, words: readonly string[], options: readonly string[] = []): string {
  const there = place(index.destination);
  const names = words.map(word);
  const given = options.map(word);
  const parts = words.some((text) => text.startsWith("-")) ? [...given, "--", ...names] : [...names, ...given];
  return ["congeal", name, there, ...parts].join(" ");
}

/** A correction of the clusters; the names that cannot be pasted are left out. */
export function correction(index: Index, action: string, names: readonly (string | null)[], options: readonly string[] = []): string {
  return command(index, "clusters", [action, ...names.filter((name) => name !== null)], options);
}

/** A command as it is typed, what it does, and a button that copies it. */
export function commandLine(about: string, text: () => string, shown = text()): HTMLElement {
  return h("div", { class: "command" }, h("span", { class: "hint" }, about), h("span", { class: "command-row" }, h("code", { class: "typed" }, shown), copyButton("Copy", text)));
}
