/** Over http the published Zarr and Parquet are read themselves, by ranges: nothing is copied for the report. */
import { decompress } from "fzstd";
import { type AsyncBuffer, parquetMetadataAsync, parquetRead } from "hyparquet";
import * as zarr from "zarrita";
import type { Field } from "../geometry/fields.ts";
import { type MapFields, type Member, setFurtherMaps, setMaps } from "./members.ts";
import { inline } from "./scripts.ts";

export function overHttp(): boolean {
  return !inline() && /^https?:$/.test(location.protocol);
}

/** What to do where the published data cannot be read. */
export const CURE =
  'A bucket must allow GET with ranges to this page (its CORS rule), and the version must not have been pruned; "congeal report DEST --serve" shows it from this machine.';

const WHOLE = 32 << 20; // bytes up to which a file is fetched in one request
const READ_AHEAD = 1 << 16;

async function ranged(url: string, range: string): Promise<Response> {
  const response = await fetch(url, { headers: { Range: range } });
  if (response.status === 206 || response.status === 200) return response;
  throw new Error(`${response.status} for ${url.slice(url.lastIndexOf("/") + 1)}`);
}

/**
 * A store that asks for a shard once.
 *
 * A page wants nearly all parts of a shard: one request for all is quicker than one a part.
 */
class ShardStore {
  private readonly shards = new Map<string, Promise<{ bytes: Uint8Array; start: number; total: number }>>();

  constructor(private readonly root: string) {}

  async get(key: `/${string}`): Promise<Uint8Array | undefined> {
    const response = await fetch(this.root + key);
    if (response.status === 404 || response.status === 403) return undefined;
    if (!response.ok) throw new Error(`${response.status} for ${key}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  async getRange(
    key: `/${string}`,
    range: { offset: number; length: number } | { suffixLength: number },
  ): Promise<Uint8Array | undefined> {
    let shard = this.shards.get(key);
    if (!shard) {
      shard = this.fetchEnd(key);
      this.shards.set(key, shard);
    }
    const { bytes, start, total } = await shard;
    const [from, to] =
      "suffixLength" in range ? [total - range.suffixLength, total] : [range.offset, range.offset + range.length];
    if (from >= start) return bytes.subarray(from - start, to - start);
    const response = await ranged(this.root + key, `bytes=${from}-${to - 1}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  /** The whole of a shard, or its end, where the index of its parts is. */
  private async fetchEnd(key: string): Promise<{ bytes: Uint8Array; start: number; total: number }> {
    const response = await ranged(this.root + key, `bytes=-${WHOLE}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const content = /(\d+)-\d+\/(\d+)/.exec(response.headers.get("Content-Range") ?? "");
    if (!content) return { bytes, start: 0, total: bytes.length };
    return { bytes, start: Number(content[1]), total: Number(content[2]) };
  }
}

// The published arrays are packed with zstd; zarrita's own decoder is a wasm module of 240 kB.
zarr.registry.set("zstd", async () => ({
  kind: "bytes_to_bytes",
  fromConfig: () => ({
    kind: "bytes_to_bytes",
    encode(): never {
      throw new Error("a report writes nothing");
    },
    decode: (bytes: Uint8Array) => decompress(bytes),
  }),
}) as any);

/** The maps of a page's members from the cluster's `atlas.zarr` at `url`, and from `instances.zarr` beside it. */
export async function mapsFromZarr(url: string, members: Member[]): Promise<void> {
  const others = members.flatMap((member) => member.further.map((one) => one.row));
  const beside = url.replace(/atlas\.zarr$/, "instances.zarr");
  const [first, further] = await Promise.all([fieldsFromZarr(url, members.map((member) => member.row)), others.length ? fieldsFromZarr(beside, others) : null]);
  setMaps(members, first);
  if (further) setFurtherMaps(members, further);
}

async function fieldsFromZarr(url: string, rows: readonly number[]): Promise<MapFields> {
  const read = async (name: string): Promise<Field[]> => {
    const root = zarr.root(new ShardStore(url) as any);
    const array = await zarr.open.v3(root.resolve(`maps/${name}`), { kind: "array" });
    if (String(array.dtype) === "float16" && typeof (globalThis as any).Float16Array === "undefined")
      throw new Error("this browser knows no float16");
    return Promise.all(rows.map(async (row) => {
      const chunk = await zarr.get(array as any, [row, ...Array(array.shape.length - 1).fill(null)]);
      const [side, , channels] = [chunk.shape[0], chunk.shape[1], chunk.shape[2] ?? 1];
      return { values: Float32Array.from(chunk.data as any), side, channels };
    }));
  };
  return Promise.all([read("forward"), read("forward_confidence"), read("backward"), read("backward_confidence")]);
}

const codecs = { ZSTD: (bytes: Uint8Array) => decompress(bytes) };

/** A Parquet file at a URL, read by ranges. */
export class RemoteTable {
  private constructor(
    private readonly file: AsyncBuffer,
    private readonly metadata: Awaited<ReturnType<typeof parquetMetadataAsync>>,
  ) {}

  static async open(url: string): Promise<RemoteTable> {
    const end = await ranged(url, `bytes=-${READ_AHEAD}`);
    const bytes = await end.arrayBuffer();
    const content = /(\d+)-\d+\/(\d+)/.exec(end.headers.get("Content-Range") ?? "");
    const start = content ? Number(content[1]) : 0;
    const total = content ? Number(content[2]) : bytes.byteLength;
    const file: AsyncBuffer = {
      byteLength: total,
      async slice(from, to = total) {
        if (from >= start) return bytes.slice(from - start, to - start);
        const part = await ranged(url, `bytes=${from}-${to - 1}`);
        const got = await part.arrayBuffer();
        // A server without ranges sends everything.
        return part.status === 200 ? got.slice(from, to) : got;
      },
    };
    return new RemoteTable(file, await parquetMetadataAsync(file, { initialFetchSize: Math.min(READ_AHEAD, total) }));
  }

  get rows(): number {
    return Number(this.metadata.num_rows);
  }

  /** First row, and the row after the last, of the row group that a row is in. */
  groupOf(row: number): [number, number] {
    let start = 0;
    for (const group of this.metadata.row_groups) {
      const end = start + Number(group.num_rows);
      if (row < end) return [start, end];
      start = end;
    }
    return [start, this.rows];
  }

  /** Rows of some columns, column by column. */
  async columns(names: readonly string[], start: number, end: number): Promise<{ [name: string]: ArrayLike<unknown> }> {
    const parts: { [name: string]: { at: number; data: ArrayLike<unknown> }[] } = {};
    await parquetRead({
      file: this.file,
      metadata: this.metadata,
      columns: [...names],
      rowStart: start,
      rowEnd: end,
      compressors: codecs as any,
      onChunk: (chunk: any) => (parts[chunk.columnName] ??= []).push({ at: chunk.rowStart, data: chunk.columnData }),
    });
    const out: { [name: string]: ArrayLike<unknown> } = {};
    for (const name of names) {
      const values: unknown[] = new Array(end - start);
      for (const { at, data } of parts[name] ?? [])
        for (let i = 0; i < data.length; i++) {
          const k = at + i - start;
          if (k >= 0 && k < values.length) values[k] = data[i];
        }
      out[name] = values;
    }
    return out;
  }
}
