/** Columns of the collection's owner: what their numbers on the map mean (`tasks/report/owner_columns.py`). */
export interface OwnFacts {
  /** Of the map's files. */
  readonly column: string;
  /** As its owner calls it. */
  readonly name: string;
  readonly kind: "values" | "number" | "date" | "time";
  /** Of "values": what code k + 1 is, how many images have it, and how many values more there are. */
  readonly values?: readonly string[];
  readonly counts?: readonly number[];
  readonly others?: number;
  /** Of the others: the least, and what one code more is. */
  readonly lo?: number;
  readonly step?: number;
}

export const NO_VALUE = 0;
export const ALL_OTHERS = 0xffff;
const DAY = 86_400_000;

/** The number that a code stands for: itself, days or seconds since 1970; NaN where there is none. */
export function amount(facts: OwnFacts, code: number): number {
  return code === NO_VALUE ? NaN : (facts.lo ?? 0) + (code - 1) * (facts.step ?? 1);
}

/** A number of a column as it is read: 2024-05-31, 2024-05-31 10:20, 12.5. */
export function spelled(facts: OwnFacts, value: number): string {
  if (Number.isNaN(value)) return "";
  if (facts.kind === "number") return String(Number(value.toPrecision(6)));
  const when = new Date(facts.kind === "date" ? value * DAY : value * 1000);
  if (Number.isNaN(when.getTime())) return String(value);
  const text = when.toISOString();
  return facts.kind === "date" ? text.slice(0, text.indexOf("T")) : text.slice(0, text.indexOf("T") + 6).replace("T", " ");
}

/** What somebody has typed as the bound of a column; NaN if it says nothing. */
export function typed(facts: OwnFacts, text: string): number {
  if (!text.trim()) return NaN;
  if (facts.kind === "number") return Number(text);
  const when = Date.parse(facts.kind === "date" ? `${text}T00:00Z` : `${text}Z`);
  return facts.kind === "date" ? when / DAY : when / 1000;
}

/** What a code says: the value, or that there is none. */
export function said(facts: OwnFacts, code: number): string {
  if (code === NO_VALUE) return "no value";
  if (facts.kind !== "values") return spelled(facts, amount(facts, code));
  return code === ALL_OTHERS ? "another value" : (facts.values?.[code - 1] ?? "");
}
