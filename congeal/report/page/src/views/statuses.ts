/** Statuses of clusters in words. */
interface StatusText {
  readonly text: string;
  readonly doubtful: boolean;
}

const TEXTS: { readonly [status: string]: StatusText } = {
  ok: { text: "aligned", doubtful: false },
  single: { text: "one image: it is its own atlas", doubtful: false },
  "nothing-in-common": { text: "nothing that its images share was found: nothing corresponds here", doubtful: true },
  collapsed: { text: "what came out cannot be an alignment: nothing corresponds here", doubtful: true },
  failed: { text: "no atlas could be made", doubtful: true },
};

export function statusText(status: string): StatusText {
  return TEXTS[status] ?? { text: status, doubtful: status !== "ok" };
}
