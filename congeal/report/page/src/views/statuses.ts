/** Statuses of clusters in words. */
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

const NOT_BORNE_OUT: StatusText = {
  short: "not borne out",
  text: "Matching does not bear its maps out: look at points on several images before you rely on them",
  doubtful: true,
};

/** What there is to say of a cluster: also that its maps are not borne out, and which features may show more of it. */
export function clusterStatus(index: Index, k: number): StatusText {
  const c = index.clusters;
  const status = statusText(c.status[k]);
  if (c.doubtful?.[k]) return NOT_BORNE_OUT;
  if (!c.not_aligned?.[k] || !index.stronger) return status;
  return { ...status, text: `${status.text}. The backbone ${index.backbone} does not show it; ${index.stronger} may: run the images to another destination with --set features.backbone=${index.stronger}` };
}
