/** A cluster as people call it: its owner's name for it, if there is one, beside its id. */
import type { ClusterColumns } from "../data/types.ts";
import { h } from "./dom.ts";

export function nameOf(clusters: ClusterColumns, k: number): string | null {
  // Reports of earlier versions know no names.
  return clusters.name?.[k] ?? null;
}

export function clusterLabel(clusters: ClusterColumns, k: number): HTMLElement {
  const name = nameOf(clusters, k);
  const id = h("code", {}, clusters.id[k]);
  return name === null ? id : h("span", { class: "called" }, h("bdi", {}, name), " ", id);
}
