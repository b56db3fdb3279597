/** The page of a report: the address says what is shown, the scripts beside it hold the data. */
import "./style.css";
import { Report } from "./data/report.ts";
import { inline } from "./data/scripts.ts";
import { append, h } from "./ui/dom.ts";
import { type View, messageOf, problem } from "./ui/page.ts";
import { aboutView } from "./views/about.ts";
import { changesView } from "./views/changes.ts";
import { ClusterView, clusterView } from "./views/cluster.ts";
import { overviewView } from "./views/overview.ts";
import { ProblemsView, problemsView } from "./views/problems.ts";
import { qualityView } from "./views/quality.ts";

const FORMAT = 1;
const root = document.getElementById("app") ?? document.body.appendChild(h("div", { id: "app" }));
const main = h("main", { id: "main", tabindex: -1 });
let current: View | null = null;
let asked = 0;

function parts(): string[] {
  return location.hash.replace(/^#\/?/, "").split("/");
}

const whole = (text: string | undefined): number | null => (text !== undefined && /^\d+$/.test(text) ? Number(text) : null);

async function viewOf(report: Report): Promise<View> {
  const [kind, id, page, position] = parts();
  if (kind === "cluster" && id) return clusterView(report, id, whole(page) ?? 0, whole(position));
  if (kind === "changes") return changesView(report);
  if (kind === "quality") return qualityView(report);
  if (kind === "problems") return problemsView(report, id);
  if (kind === "about") return aboutView(report);
  return overviewView(report);
}

async function show(report: Report): Promise<void> {
  const [kind, id, page, position] = parts();
  if (kind === "cluster" && current instanceof ClusterView && current.moveTo(id, whole(page) ?? 0, whole(position))) return;
  if (kind === "problems" && current instanceof ProblemsView) return current.show(id);
  const mine = ++asked;
  main.setAttribute("aria-busy", "true");
  let view: View;
  try {
    view = await viewOf(report);
  } catch (error) {
    view = { element: h("div", {}, h("h1", {}, "Not to be shown"), problem(messageOf(error))), title: "Not to be shown" };
  }
  if (mine !== asked) {
    view.close?.();
    return;
  }
  const first = current === null;
  current?.close?.();
  current = view;
  (globalThis as { congealView?: View }).congealView = view;
  main.replaceChildren(view.element);
  main.removeAttribute("aria-busy");
  document.title = `${view.title} – ${report.index.title}`;
  for (const link of document.querySelectorAll("header.bar a")) {
    const here = link.getAttribute("href") === `#/${kind ?? ""}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!first) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

/** Light or dark for this visit; otherwise as the system says. (Reading a browser's storage blocks a page for 0.2 s.) */
function themeButton(): HTMLElement {
  return h(
    "button",
    {
      type: "button",
      class: "quiet theme",
      "aria-label": "Light or dark",
      title: "Light or dark",
      on: {
        click: () => {
          const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
          document.documentElement.dataset.theme = dark ? "light" : "dark";
        },
      },
    },
    "◐",
  );
}

function start(): void {
  const report = Report.held();
  if (!report) {
    root.append(problem('The data of this report is missing: copy the whole folder, or make it again with "congeal report DEST".'));
    return;
  }
  if (report.index.format !== FORMAT) {
    root.append(problem(`This report has format ${report.index.format}, its page knows ${FORMAT}: make it again with "congeal report DEST".`));
    return;
  }
  const started = inline()?.start;
  if (started && !location.hash) location.hash = started;
  addEventListener("hashchange", () => void show(report));
  // First of all: what it needs is on its way while the rest is built.
  void show(report);
  const { index } = report;
  append(
    root,
    h("a", { class: "skip", href: "#main", on: { click: (event: Event) => {
      event.preventDefault();
      main.focus();
    } } }, "Skip to content"),
    h(
      "header",
      { class: "bar" },
      h("a", { class: "brand", href: "#/" }, "Congeal"),
      h("nav", { "aria-label": "Report" }, h("a", { href: "#/" }, "Overview"), index.changes ? h("a", { href: "#/changes" }, "Changes") : null, h("a", { href: "#/quality" }, "Quality"), h("a", { href: "#/problems" }, "What to check"), h("a", { href: "#/about" }, "The run")),
      themeButton(),
    ),
    main,
    h("footer", {}, `${index.title}. Made by Congeal ${index.code_version}; nothing on this page is sent anywhere.`),
  );
}

start();
