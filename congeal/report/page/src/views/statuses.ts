/** Statuses of clusters in words. */
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
