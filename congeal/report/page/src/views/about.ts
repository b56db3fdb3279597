/** Settings, versions and times of the run. */
import type { Report } from "../data/report.ts";
import { copyButton, h } from "../ui/dom.ts";
import { count, duration, visible } from "../ui/numbers.ts";
import { type View, facts } from "../ui/page.ts";

export function aboutView(report: Report): View {
  const { index } = report;
  const element = h(
    "div",
    { class: "about" },
    h("header", { class: "view-head" }, h("h1", {}, "The run")),
    facts([
      ["Source", visible(index.source)],
      ["Destination", visible(index.destination)],
      ["Version", String(index.version)],
      ["Published", when(index.created)],
      ["Report made", when(index.made)],
      ["Congeal", index.code_version],
      ["Backbone", index.backbone],
      ["Its weights", index.weights_fingerprint.slice(0, 16)],
    ]),
    h("h2", {}, "Stages"),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Stages" }, stages(report)),
    h("h2", {}, "Settings"),
    h("div", { class: "row" }, copyButton("Copy as JSON", () => JSON.stringify(index.settings, null, 2))),
    settings(index.settings),
  );
  return { element, title: "The run" };
}

function when(iso: string | null): string {
  if (!iso) return "–";
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function stages(report: Report): HTMLElement {
  const head = ["Stage", "Units", "Computing", "From", "To", "Memory at most", "Read", "Written", "Requests", "Machine"];
  const rows = report.index.stages.map((stage) => {
    const memory = stage.peak_memory_bytes ? `${(stage.peak_memory_bytes / 2 ** 30).toFixed(1)} GiB` : "–";
    const where = [stage.host, stage.platform, stage.python && `Python ${stage.python}`].filter(Boolean).join(", ");
    const moved = [stage.read_bytes, stage.written_bytes].map(megabytes);
    const asked = stage.requests ? count(stage.requests) : "–";
    const times = [duration(stage.seconds), when(stage.started), when(stage.ended)];
    return [stage.stage, count(stage.units), ...times, memory, ...moved, asked, where];
  });
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((text) => h("td", {}, text))))),
  );
}

function megabytes(bytes: number | undefined): string {
  return bytes ? `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} MB` : "–";
}

function settings(value: unknown): HTMLElement {
  const sections = h("div", { class: "settings" });
  for (const [name, part] of Object.entries((value ?? {}) as object)) {
    const nested = part !== null && typeof part === "object" && !Array.isArray(part);
    const pairs = nested ? Object.entries(part as object) : [[name, part]];
    sections.append(
      h(
        "section",
        {},
        h("h3", {}, name),
        h("dl", { class: "pairs" }, ...pairs.flatMap(([key, entry]) => [h("dt", {}, String(key)), h("dd", {}, visible(typeof entry === "string" ? entry : JSON.stringify(entry)))])),
      ),
    );
  }
  return sections;
}
