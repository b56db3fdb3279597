/** The places of all images (or of a sample) on the map: from a script, or over http from the Parquet file. */
import type { OwnFacts } from "./own_columns.ts";
import { bytesOf } from "./packed.ts";
import { CURE, RemoteTable, overHttp } from "./remote.ts";
import { held, load } from "./scripts.ts";
import type { MapFacts } from "./types.ts";
import { messageOf } from "../ui/page.ts";

export const FITS = 0;
export const OUTLIER_IN_CLUSTER = 1;
export const NO_CLUSTER = 2;
export const EXCLUDED = 3; // by its owner

export type Measure = "confidence" | "residual" | "cycle_error" | "coverage";

export interface MapPoints {
  readonly rows: number;
  /** In [0, 1], y down. */
  readonly x: Float32Array;
  readonly y: Float32Array;
  /** Index of the cluster, -1: none. */
  readonly cluster: Int32Array;
  readonly status: Uint8Array;
  readonly sheet: Int32Array;
  readonly cell: Int32Array;
  /** NaN where it is not known. */
  measure(name: Measure): Promise<Float32Array>;
  /** Path of an image. */
  name(row: number): Promise<string>;
  /** Paths of all. */
  names(): Promise<readonly string[]>;
  readonly note: string | null;
  readonly own: readonly OwnFacts[];
  /** Codes of a column of the collection's owner. */
  ownCodes(column: string): Promise<Int32Array>;
}

interface Column {
  readonly type: "uint8" | "uint16" | "uint32";
  readonly data: string;
  readonly lo?: number;
  readonly hi?: number;
}

interface MapScript {
  readonly rows: number;
  readonly columns: { readonly [name: string]: Column };
}

export async function mapPoints(facts: MapFacts): Promise<MapPoints> {
  let note: string | null = null;
  if (overHttp() && facts.parquet && held("map") === undefined) {
    try {
      return await fromParquet(facts, facts.parquet);
    } catch (error) {
      note = `The table of the map could not be read (${messageOf(error)}): the report's own copy is shown. ${CURE}`;
    }
  }
  if (!facts.script) throw new Error("the map is not among the report's files: make it again with \"congeal report\"");
  return fromScript(await load<MapScript>("map", facts.script), facts, note);
}

function fromScript(script: MapScript, facts: MapFacts, note: string | null): MapPoints {
  const { rows, columns } = script;
  const numbers = (name: string): Uint8Array | Uint16Array | Uint32Array => {
    const column = columns[name];
    const buffer = bytesOf(column.data).buffer;
    return column.type === "uint8" ? new Uint8Array(buffer) : column.type === "uint16" ? new Uint16Array(buffer) : new Uint32Array(buffer);
  };
  const place = (name: string): Float32Array => Float32Array.from(numbers(name), (q) => q / 65535);
  const signed = (name: string): Int32Array => Int32Array.from(numbers(name), (q) => (q === 0xffffffff ? -1 : q));
  return {
    rows,
    x: place("x"),
    y: place("y"),
    cluster: signed("cluster"),
    status: numbers("status") as Uint8Array,
    sheet: signed("sheet"),
    cell: signed("cell"),
    async measure(name) {
      const { lo = 0, hi = 1 } = columns[name] ?? {};
      if (!columns[name]) return new Float32Array(rows).fill(NaN);
      return Float32Array.from(numbers(name), (q) => (q === 0 ? NaN : lo + ((q - 1) / 254) * (hi - lo)));
    },
    async name(row) {
      if (!facts.names) return "";
      return (await load<{ uri: string[] }>("names", facts.names)).uri[row] ?? "";
    },
    async names() {
      return facts.names ? (await load<{ uri: string[] }>("names", facts.names)).uri : [];
    },
    note,
    own: facts.own ?? [],
    async ownCodes(column) {
      return columns[column] ? Int32Array.from(numbers(column)) : new Int32Array(rows);
    },
  };
}

async function fromParquet(facts: MapFacts, path: string): Promise<MapPoints> {
  const table = await RemoteTable.open(new URL(path, document.baseURI).href);
  const rows = Math.min(facts.sample, table.rows);
  const read = await table.columns(["x", "y", "cluster", "status", "sheet", "cell"], 0, rows);
  const missing = (value: unknown): number => (value === null || value === undefined ? NaN : Number(value));
  // Names are fetched when one of them is pointed at, a row group at once.
  const names = new Map<number, Promise<ArrayLike<unknown>>>();
  return {
    rows,
    x: Float32Array.from(read.x as ArrayLike<number>),
    y: Float32Array.from(read.y as ArrayLike<number>),
    cluster: Int32Array.from(read.cluster as ArrayLike<number>),
    status: Uint8Array.from(read.status as ArrayLike<number>),
    sheet: Int32Array.from(read.sheet as ArrayLike<number>),
    cell: Int32Array.from(read.cell as ArrayLike<number>),
    async measure(name) {
      const column = (await table.columns([name], 0, rows))[name];
      return Float32Array.from({ length: rows }, (_, k) => missing(column[k]));
    },
    async name(row) {
      const [start, end] = table.groupOf(row);
      let found = names.get(start);
      if (!found) {
        found = table.columns(["uri"], start, end).then(({ uri }) => uri);
        names.set(start, found);
      }
      return String((await found)[row - start] ?? "");
    },
    async names() {
      const { uri } = await table.columns(["uri"], 0, rows);
      return Array.from({ length: rows }, (_, k) => String(uri[k] ?? ""));
    },
    note: null,
    own: facts.own ?? [],
    async ownCodes(column) {
      return Int32Array.from((await table.columns([column], 0, rows))[column] as ArrayLike<number>);
    },
  };
}
