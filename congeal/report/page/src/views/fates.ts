/** What has become of all files of the collection: how many are aligned, doubtful, left over, unreadable. */
import type { Index } from "../data/types.ts";
import { h } from "../ui/dom.ts";
import { count, counted, percent } from "../ui/numbers.ts";
import { type Section, placeOf } from "./problem_sections.ts";
import { standing } from "./statuses.ts";

interface Fate {
  readonly kind: string;
  readonly files: number;
  readonly name: string;
  readonly about: string;
  readonly section: Section | null;
}

export interface Tally {
  /** Clusters that are aligned, doubtful, not aligned. */
  readonly clusters: { readonly aligned: number; readonly doubtful: number; readonly unaligned: number };
  /** Images that fit a cluster that is aligned, or doubtful; of a cluster that is not aligned; that do not fit; without a cluster. */
  readonly images: { readonly aligned: number; readonly doubtful: number; readonly unaligned: number; readonly misfits: number; readonly loose: number };
}

export function tally(index: Index): Tally {
  const clusters = { aligned: 0, doubtful: 0, unaligned: 0 };
  const images = { aligned: 0, doubtful: 0, unaligned: 0, misfits: 0, loose: index.counts.ok };
  const c = index.clusters;
  c.id.forEach((_, k) => {
    const kind = standing(index, k);
    const out = kind === "unaligned" ? 0 : c.n_outliers[k];
    clusters[kind]++;
    images[kind] += c.n_images[k] - out;
    images.misfits += out;
    images.loose -= c.n_images[k];
  });
  images.loose = Math.max(0, images.loose);
  return { clusters, images };
}

function fatesOf(index: Index): Fate[] {
  const { clusters, images } = tally(index);
  const sets = (n: number): string => counted(n, "cluster");
  return [
    { kind: "aligned", files: images.aligned, name: `aligned, in ${sets(clusters.aligned)}`, about: "points on one of them have counterparts on the others", section: null },
    { kind: "doubtful", files: images.doubtful, name: `in ${clusters.doubtful === 1 ? "a doubtful cluster" : `${count(clusters.doubtful)} doubtful clusters`}`, about: "matching does not bear the maps out: look before you rely on them", section: "clusters" },
    { kind: "unaligned", files: images.unaligned, name: `in ${sets(clusters.unaligned)} that ${clusters.unaligned === 1 ? "is" : "are"} not aligned`, about: "nothing corresponds there", section: "clusters" },
    { kind: "misfits", files: images.misfits, name: "do not fit their cluster", about: "outliers: they have a cluster, but not its atlas", section: "misfits" },
    { kind: "loose", files: images.loose, name: "in no cluster", about: "outliers: too few others look like them, or their owner has left them out", section: "loose" },
    { kind: "failed", files: index.counts.failed, name: "could not be read", about: "each with the reason", section: "failed" },
    { kind: "duplicates", files: index.counts.duplicate, name: index.counts.duplicate === 1 ? "is a duplicate" : "are duplicates", about: "byte for byte another file; counted once", section: "duplicates" },
  ];
}

/** A bar of all files by what became of them, each part named beneath it and leading to its list. */
export function fates(index: Index): HTMLElement | null {
  const total = index.counts.images;
  const found = fatesOf(index).filter((fate) => fate.files > 0);
  if (!found.length || !total) return null;
  const bar = h("div", { class: "fate-bar", "aria-hidden": "true" });
  for (const { kind, files, name } of found) {
    const part = h("span", { class: `fate ${kind}`, title: `${count(files)} ${name}` });
    part.style.flexGrow = String(files);
    bar.append(part);
  }
  const entries = found.map(({ kind, files, name, about, section }) => {
    const inner = [h("span", { class: `key ${kind}`, "aria-hidden": "true" }), h("strong", {}, count(files)), ` ${name}`];
    return h("li", { title: `${percent(files / total)} of the files: ${about}` }, section ? h("a", { href: placeOf(section) }, ...inner) : h("span", {}, ...inner));
  });
  return h("section", { class: "fates", "aria-label": "What has become of the files" }, bar, h("ul", {}, ...entries));
}
