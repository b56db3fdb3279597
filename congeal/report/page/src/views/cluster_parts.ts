/** What stands around the members of a cluster. */
import type { Cluster } from "../data/report.ts";
import type { ClusterScript, Index } from "../data/types.ts";
import { clusterLabel } from "../ui/cluster_name.ts";
import { copyButton, h } from "../ui/dom.ts";
import { commandLine, correction, imageName } from "../ui/commands.ts";
import { count, counted, decimal, percent, visible } from "../ui/numbers.ts";
import { facts } from "../ui/page.ts";
import { showCommands } from "./cluster_commands.ts";
import { clusterStatus } from "./statuses.ts";

/** What the cluster is called, its numbers, and what can be copied. */
export function clusterHead(index: Index, cluster: Cluster): HTMLElement {
  const { script, number } = cluster;
  const c = index.clusters;
  const place = (n: number): string | null => (n >= 0 && n < c.id.length && c.script[n] ? `#/cluster/${c.id[n]}` : null);
  const link = (n: number, text: string, label: string): HTMLElement => {
    const href = place(n);
    return href ? h("a", { class: "step", href, "aria-label": label }, text) : h("span", { class: "step off", "aria-hidden": "true" }, text);
  };
  const status = clusterStatus(index, number);
  const quoted = `'${script.id}'`;
  return h(
    "header",
    { class: "view-head" },
    h("div", { class: "title-row" }, h("h1", {}, "Cluster ", clusterLabel(c, number)), h("span", { class: "steps" }, link(number - 1, "‹", "Cluster before"), link(number + 1, "›", "Next cluster"))),
    status.doubtful ? h("p", { class: "warning" }, `${status.text}. `, h("button", { type: "button", class: "quiet", on: { click: showCommands } }, "Correct this cluster")) : null,
    h("div", { class: "facts-row" }, explained([
      ["Images", count(c.n_images[number] ?? script.total), `${count(c.n_members[number] ?? 0)} of them made the atlas`],
      ["Do not fit", script.outliers.length ? h("button", { type: "button", class: "quiet figure", "aria-label": `${count(c.n_outliers[number])} do not fit: show them`, on: { click: showOutliers } }, count(c.n_outliers[number])) : count(c.n_outliers[number]), "images that nothing is carried to or from; they are named below the members"],
      ["Maps", c.deformation[number] ?? "–", "rigid: poses alone; flow: a smooth flow besides; guided: matched cell by cell"],
      ["Confidence", percent(c.confidence[number]), "how sure the maps are of what they say, on the object; from 50 % on a point counts as seen"],
      ["Agreement", percent(agreement(script)), "share of plain matches between the images' features that the maps agree with; under 67 % a cluster with rigid or flow maps is doubtful"],
      ["Cycle error", decimal(c.cycle_error[number]), "how far a point is from where it began after it went from the atlas to the image and back; half the atlas' side is 1. Thousandths are fine; it says nothing of whether the maps are right"],
      ["Residual", decimal(c.residual[number]), "how unlike the members and the atlas are: higher is worse; to be compared within one backbone"],
      ["Margin", decimal(c.margin[number], 2), "how surely it is known which images are mirrored, -1 to 1; near 0 the things look the same in a mirror, and left and right may be exchanged"],
      ...(script.facts.fixed_camera === true ? [["Camera", "fixed", "frames of a fixed camera: what moves is aligned, and the scene is taken for background"] as const] : []),
      ...(script.several ? [["Further instances", `${count(script.several[0])} in ${counted(script.several[1], "image", "images")}`, "things of the kind besides the first in their image, with maps of their own"] as const] : []),
    ]),
    h(
      "div",
      { class: "row" },
      copyButton("Copy row", () => JSON.stringify(script.facts, null, 2)),
      copyButton("Copy Python", () => `import congeal\n\nc = congeal.open(${JSON.stringify(index.destination)})\natlas = c.atlas(${JSON.stringify(script.id)})\n`),
      copyButton("Copy SQL", () => `SELECT * FROM members WHERE cluster_id = ${quoted} ORDER BY residual;`),
    )),
  );
}

function agreement({ facts: { match_agreement: found } }: ClusterScript): number | null {
  return typeof found === "number" ? found : null;
}

/** Figures, and what they mean for whoever asks. */
function explained(pairs: readonly (readonly [string, string | Node, string?])[]): HTMLElement {
  const told = pairs.flatMap(([name, , about]) => (about ? [h("dt", {}, name), h("dd", {}, about)] : []));
  return h("div", {}, facts(pairs), h("details", { class: "meaning" }, h("summary", {}, "What these numbers mean"), h("dl", { class: "pairs" }, ...told)));
}

function showOutliers(): void {
  document.querySelector(".listing.outliers-of")?.scrollIntoView({ block: "start" });
}

/** Those that do not fit, and why. */
export function outlierList(index: Index, { outliers, id }: ClusterScript): HTMLElement | null {
  if (!outliers.length) return null;
  const names = outliers.map(([, , uri]) => imageName(uri));
  return h(
    "section",
    { class: "listing outliers-of" },
    h("h2", {}, counted(outliers.length, "image does not fit", "images do not fit")),
    h("p", { class: "hint" }, "Nothing is carried to them or from them. Those that belong elsewhere are chosen by their boxes and moved; this leaves all of them out:"),
    commandLine("", () => correction(index, "exclude", names), `congeal clusters DEST exclude … (${counted(names.filter((name) => name !== null).length, "image")})`),
    h("ul", {}, ...outliers.map(([page, position, uri, reason]) => h("li", {}, h("a", { href: `#/cluster/${id}/${page}/${position}` }, visible(uri)), h("span", { class: "reason" }, reason ?? "no reason is recorded")))),
  );
}

/** Files that are the same as a member. */
export function copiesList({ copies }: ClusterScript): HTMLElement | null {
  if (!copies.length) return null;
  return h("details", { class: "listing" }, h("summary", {}, counted(copies.length, "file is a copy of a member", "files are copies of members")), h("ul", {}, ...copies.map(([copy, of]) => h("li", {}, visible(copy), h("span", { class: "reason" }, `is byte for byte ${visible(of)}`)))));
}
