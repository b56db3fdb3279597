/** Statuses of clusters in words: those that the tables and the summary of a run use. */
import type { Index } from "../data/types.ts";

interface StatusText {
  readonly short: string;
  readonly text: string;
  readonly doubtful: boolean;
}

const TEXTS: { readonly [status: string]: StatusText } = {
  ok: { short: "aligned", text: "Aligned", doubtful: false },
  single: { short: "one image", text: "One image: it is its own atlas", doubtful: false },
  "nothing-in-common": { short: "nothing in common", text: "Nothing that its images share was found: nothing corresponds here", doubtful: true },
  collapsed: { short: "collapsed", text: "What came out cannot be an alignment: nothing corresponds here", doubtful: true },
  failed: { short: "failed", text: "No atlas could be made", doubtful: true },
};

export function statusText(status: string): StatusText {
  return TEXTS[status] ?? { short: status, text: status, doubtful: status !== "ok" };
}

const DOUBTFUL: StatusText = {
  short: "doubtful",
  text: "Doubtful: matching does not bear its maps out. Look at points on several images before you rely on them",
  doubtful: true,
};

/** Whether points of a cluster correspond: yes, perhaps, no. */
export type Standing = "aligned" | "doubtful" | "unaligned";

export function standing(index: Index, k: number): Standing {
  const c = index.clusters;
  if (statusText(c.status[k]).doubtful) return "unaligned";
  return c.doubtful?.[k] ? "doubtful" : "aligned";
}

/** What there is to say of a cluster: also that its maps are not borne out, and which features may show more of it. */
export function clusterStatus(index: Index, k: number): StatusText {
  const c = index.clusters;
  const status = statusText(c.status[k]);
  if (c.doubtful?.[k]) return DOUBTFUL;
  if (!c.not_aligned?.[k] || !index.stronger) return status;
  return { ...status, text: `${status.text}. The backbone ${index.backbone} does not show it; ${index.stronger} may: run the images to another destination with --set features.backbone=${index.stronger}` };
}
