/** What can be done about a cluster that is not as it should be: the commands, ready to be copied. */
import type { Cluster } from "../data/report.ts";
import type { Index } from "../data/types.ts";
import { nameOf } from "../ui/cluster_name.ts";
import { commandLine, correction, place } from "../ui/commands.ts";
import { append, h } from "../ui/dom.ts";

/** Open the commands of the cluster that is shown, and bring them into view. */
export function showCommands(): void {
  const commands = document.querySelector<HTMLDetailsElement>("details.correct");
  if (!commands) return;
  commands.open = true;
  commands.scrollIntoView({ block: "start" });
  commands.querySelector("summary")?.focus({ preventScroll: true });
}

/** They are made when they are first looked at: a page is to be there soon. */
export function clusterCommands(index: Index, cluster: Cluster): HTMLElement {
  const fill = (): void => {
    if (details.open && details.childElementCount === 1) append(details, ...commandsOf(index, cluster));
  };
  const details: HTMLDetailsElement = h("details", { class: "listing correct", on: { toggle: fill } }, h("summary", {}, "Correct this cluster"));
  return details;
}

function commandsOf(index: Index, { script, number }: Cluster): (HTMLElement | null)[] {
  const c = index.clusters;
  const called = nameOf(c, number) ?? script.id;
  const medoid = typeof script.facts.medoid_image_id === "string" ? script.facts.medoid_image_id : "IMAGE";
  const line = (about: string, action: string, names: string[], options: string[] = []): HTMLElement => commandLine(about, () => correction(index, action, names, options));
  return [
    h("p", { class: "hint" }, "Each records a correction; the next run applies it, or the command itself with --run at its end. Images are chosen by the boxes beside their names."),
    line("Call it something", "name", [called, "NAME"]),
    line("Two kinds in one: the smaller half becomes a cluster of its own", "split", [called]),
    c.id.length > 1 ? line("One kind in two: bring another cluster here", "merge", [called, "OTHER"]) : null,
    line("Lay the atlas as the thing lies in one image", "pin", [called], ["--reference", medoid]),
    line("What has been corrected, and whether a run has applied it", "list", []),
    c.not_aligned?.[number] && index.stronger ? commandLine("Try a backbone that tells more, in another destination", () => `congeal run ${place(index.source)} OTHER-DEST --set features.backbone=${index.stronger}`) : null,
    commandLine("Apply them", () => `congeal run ${place(index.source)} ${place(index.destination)}`),
  ];
}
