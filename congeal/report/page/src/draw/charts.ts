/** Small charts as SVG: histograms and a calibration curve, each with its numbers as text. */
import type { CalibrationBin, Histogram } from "../data/types.ts";

const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 460;
const HEIGHT = 220;
const LEFT = 46;
const BOTTOM = 30;
const TOP = 12;
const RIGHT = 12;

function element(tag: string, attributes: { [name: string]: string | number }, text?: string): SVGElement {
  const made = document.createElementNS(NAMESPACE, tag) as SVGElement;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

function canvas(label: string): SVGElement {
  return element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" });
}

function axis(svg: SVGElement, ticks: readonly (readonly [number, string])[], across: boolean): void {
  for (const [at, text] of ticks)
    if (across) svg.append(element("text", { x: at, y: HEIGHT - BOTTOM + 18, "text-anchor": "middle", class: "tick" }, text));
    else {
      svg.append(element("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, class: "rule" }));
      svg.append(element("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end", class: "tick" }, text));
    }
}

/** Steps of 1, 2 or 5 that divide a range into about four. */
export function steps(high: number): number[] {
  if (!(high > 0)) return [0];
  const raw = high / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw) ?? raw;
  const out: number[] = [];
  for (let at = 0; at <= high * 1.0001; at += step) out.push(at);
  return out;
}

function short(value: number): string {
  return Math.abs(value) >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(2)));
}

/** Bars of those that fit, with those that do not on top. */
export function histogram(name: string, data: Histogram): SVGElement {
  const { edges, fits, outliers } = data;
  const most = Math.max(1, ...fits.map((n, k) => n + outliers[k]));
  const all = fits.reduce((a, b) => a + b, 0);
  const odd = outliers.reduce((a, b) => a + b, 0);
  const svg = canvas(`${name}: histogram of ${all} images that fit and ${odd} that do not, from ${short(edges[0])} to ${short(edges[edges.length - 1])}`);
  const x = (value: number): number => LEFT + ((value - edges[0]) / (edges[edges.length - 1] - edges[0] || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (n: number): number => HEIGHT - BOTTOM - (n / most) * (HEIGHT - BOTTOM - TOP);
  axis(svg, steps(most).filter((n) => Number.isInteger(n)).map((n) => [y(n), short(n)] as const), false);
  const span = edges[edges.length - 1] - edges[0];
  axis(svg, steps(span).map((v) => [x(edges[0] + v), short(edges[0] + v)] as const), true);
  fits.forEach((n, k) => {
    const left = x(edges[k]) + 0.5;
    const width = Math.max(0.5, x(edges[k + 1]) - x(edges[k]) - 1);
    const bar = (from: number, to: number, kind: string): void => {
      if (to === from) return;
      const rect = element("rect", { x: left, width, y: y(to), height: y(from) - y(to), class: kind });
      rect.append(element("title", {}, `${short(edges[k])} to ${short(edges[k + 1])}: ${n} fit, ${outliers[k]} do not`));
      svg.append(rect);
    };
    bar(0, n, "bar fits");
    bar(n, n + outliers[k], "bar outliers");
  });
  return svg;
}

/** How often points are right, by the confidence that they were carried with. */
export function calibrationCurve(bins: readonly CalibrationBin[]): SVGElement {
  const known = bins.filter((bin) => bin.n > 0 && bin.right !== null && bin.confidence !== null);
  const svg = canvas(`Calibration: ${known.map((bin) => `confidence ${short(bin.confidence ?? 0)}, right ${short(bin.right ?? 0)}`).join("; ")}`);
  const x = (value: number): number => LEFT + value * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  axis(svg, ticks.map((v) => [y(v), short(v)] as const), false);
  axis(svg, ticks.map((v) => [x(v), short(v)] as const), true);
  svg.append(element("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "ideal" }));
  svg.append(element("polyline", { points: known.map((bin) => `${x(bin.confidence ?? 0)},${y(bin.right ?? 0)}`).join(" "), class: "curve" }));
  const most = Math.max(1, ...known.map((bin) => bin.n));
  for (const bin of known) {
    const dot = element("circle", { cx: x(bin.confidence ?? 0), cy: y(bin.right ?? 0), r: 3 + 5 * Math.sqrt(bin.n / most), class: "dot" });
    dot.append(element("title", {}, `confidence ${short(bin.low)} to ${short(bin.high)}: ${bin.n} points, ${Math.round(100 * (bin.right ?? 0))} % right`));
    svg.append(dot);
  }
  return svg;
}
