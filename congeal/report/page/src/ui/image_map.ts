/** All images by likeness: dots from afar, thumbnails from near. Zoom, pan, point, lasso. */
import { type View, drawDots, inPolygon } from "../draw/dots.ts";
import { declutter, scattered } from "../draw/declutter.ts";
import { drawLasso, drawRing } from "../draw/marks.ts";
import { packed } from "../draw/colour.ts";
import type { MapPoints } from "../data/map_points.ts";
import type { SheetCache } from "./sheets.ts";
import { h } from "./dom.ts";

const NEAR = 10; // pixels within which a dot is meant
const MOST_THUMBS = 4000; // images in view beyond which all are dots
const SMALLEST = 26; // side of a thumbnail in CSS pixels
const CROWDED = 0.5; // share of the images in view that should show as pictures
const MANY = 60_000; // dots that are drawn at one pixel a pixel
const STEP = 60;
const ZOOM_STEP = 1.5;
const FAINT = 0x30; // alpha of what is not singled out

export interface MapEvents {
  hover(row: number, x: number, y: number): void;
  choose(row: number): void;
  lasso(rows: number[]): void;
}

export class ImageMap {
  readonly canvas: HTMLCanvasElement;
  lassoing = false;
  thumbs = true;
  /** Times of the last frames, milliseconds. */
  readonly frames: number[] = [];
  private readonly view: View = { centreX: 0.5, centreY: 0.5, scale: 1 };
  private fitted = 1;
  private colours: Uint32Array;
  private shown: Uint32Array;
  private ratio = 1;
  private frame = 0;
  private image: ImageData | null = null;
  private polygon: number[] = [];
  private chosen: Set<number> | null = null;
  private pointed = -1;
  private moved = false;
  private readonly resized: ResizeObserver;
  private readonly order: Uint32Array;

  constructor(
    private readonly points: MapPoints,
    private readonly sheets: SheetCache,
    private readonly events: MapEvents,
  ) {
    this.canvas = h("canvas", { class: "map", tabindex: 0, role: "img" });
    this.colours = new Uint32Array(points.rows).fill(packed("#0072b2"));
    this.shown = this.colours;
    this.order = scattered(points.rows);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.canvas);
    this.listen();
    sheets.arrived = () => this.draw();
  }

  close(): void {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  colour(colours: Uint32Array): void {
    this.colours = colours;
    this.single(null);
  }

  /** Make all dots faint but these; null: none is singled out. */
  single(rows: Set<number> | null): void {
    this.chosen = rows;
    if (!rows) this.shown = this.colours;
    else this.shown = this.colours.map((colour, k) => (rows.has(k) || colour === 0 ? colour : ((FAINT << 24) | (colour & 0xffffff)) >>> 0));
    this.draw();
  }

  draw(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const start = performance.now();
      this.paint();
      this.frames.push(performance.now() - start);
      if (this.frames.length > 240) this.frames.shift();
    });
  }

  /** Move by parts of the width and height, for keys and for measuring. */
  pan(x: number, y: number): void {
    this.view.centreX += x / this.view.scale;
    this.view.centreY += y / this.view.scale;
    this.draw();
  }

  zoom(factor: number, x = this.canvas.width / 2, y = this.canvas.height / 2): void {
    const [placeX, placeY] = this.placeOf(x, y);
    const scale = Math.min(Math.max(this.view.scale * factor, this.fitted * 0.5), this.fitted * 4000);
    this.view.scale = scale;
    this.view.centreX = placeX - (x - this.canvas.width / 2) / scale;
    this.view.centreY = placeY - (y - this.canvas.height / 2) / scale;
    this.draw();
  }

  reset(): void {
    const { x, y, rows } = this.points;
    let [left, right, top, bottom] = [1, 0, 1, 0];
    for (let k = 0; k < rows; k++) {
      if (x[k] < left) left = x[k];
      if (x[k] > right) right = x[k];
      if (y[k] < top) top = y[k];
      if (y[k] > bottom) bottom = y[k];
    }
    if (right < left) [left, right, top, bottom] = [0, 1, 0, 1];
    const margin = rows < 200 ? 1.25 : 1.12; // pictures of few images are large
    this.view.centreX = (left + right) / 2;
    this.view.centreY = (top + bottom) / 2;
    this.fitted = Math.min(this.canvas.width / ((right - left || 1) * margin), this.canvas.height / ((bottom - top || 1) * margin));
    this.view.scale = this.fitted;
    this.draw();
  }

  private resize(): void {
    this.ratio = this.points.rows > MANY ? 1 : Math.min(2, globalThis.devicePixelRatio || 1);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * this.ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * this.ratio));
    if (width === this.canvas.width && height === this.canvas.height && this.image) return;
    const before = this.image ? this.canvas.width : 0;
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = new ImageData(width, height);
    if (before && this.moved) {
      this.view.scale *= width / before;
      this.draw();
    } else this.reset();
  }

  private placeOf(x: number, y: number): [number, number] {
    const { centreX, centreY, scale } = this.view;
    return [centreX + (x - this.canvas.width / 2) / scale, centreY + (y - this.canvas.height / 2) / scale];
  }

  private pixelOf(row: number): [number, number] {
    const { centreX, centreY, scale } = this.view;
    return [(this.points.x[row] - centreX) * scale + this.canvas.width / 2, (this.points.y[row] - centreY) * scale + this.canvas.height / 2];
  }

  private paint(): void {
    const context = this.canvas.getContext("2d");
    if (!context || !this.image) return;
    const { width, height } = this.canvas;
    const { x, y, rows } = this.points;
    const pixels = new Uint32Array(this.image.data.buffer);
    pixels.fill(0);
    const radius = (rows > MANY ? 1 : rows > 5000 ? 1.8 : 3) * this.ratio;
    const grown = Math.min(2.2, 1 + Math.log2(Math.max(1, this.view.scale / this.fitted)) / 5);
    const seen = drawDots({ x, y, colours: this.shown }, this.view, radius * grown, pixels, width, height);
    context.putImageData(this.image, 0, 0);
    if (this.thumbs && seen <= MOST_THUMBS) this.paintThumbs(context, seen);
    if (this.pointed >= 0) drawRing(context, ...this.pixelOf(this.pointed), this.ratio);
    if (this.polygon.length > 2) drawLasso(context, this.polygon, this.ratio);
  }

  private paintThumbs(context: CanvasRenderingContext2D, seen: number): void {
    let size = Math.round((26 + 54 * (1 - Math.log(Math.max(2, seen)) / Math.log(MOST_THUMBS))) * this.ratio);
    const place = (): number[] =>
      declutter(this.points, this.order, this.shown, this.view, size, this.canvas.width, this.canvas.height, this.chosen ? FAINT : 0);
    let placed = place();
    // Where images crowd, smaller pictures show more of them.
    while (placed.length / 3 < CROWDED * seen && size > SMALLEST * this.ratio) {
      size = Math.round(size * 0.8);
      placed = place();
    }
    const border = Math.max(1, Math.round(1.5 * this.ratio));
    for (let k = 0; k < placed.length; k += 3) {
      const [row, px, py] = [placed[k], placed[k + 1], placed[k + 2]];
      const cell = this.sheets.cell(this.points.sheet[row], this.points.cell[row]);
      if (!cell) continue;
      const colour = this.shown[row];
      context.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
      context.fillRect(px - size / 2 - border, py - size / 2 - border, size + 2 * border, size + 2 * border);
      context.drawImage(cell.picture, cell.x, cell.y, cell.side, cell.side, px - size / 2, py - size / 2, size, size);
    }
  }

  /** The row nearest to a pixel of the canvas, -1: none is near. */
  nearest(px: number, py: number): number {
    const [placeX, placeY] = this.placeOf(px, py);
    const { x, y, rows } = this.points;
    let best = ((NEAR * this.ratio) / this.view.scale) ** 2;
    let found = -1;
    for (let k = 0; k < rows; k++) {
      const distance = (x[k] - placeX) ** 2 + (y[k] - placeY) ** 2;
      if (distance < best && this.colours[k] !== 0) {
        best = distance;
        found = k;
      }
    }
    return found;
  }

  private pixelsOf(event: MouseEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
  }

  private listen(): void {
    const { canvas } = this;
    const down = new Map<number, [number, number]>();
    let travelled = 0;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      down.set(event.pointerId, this.pixelsOf(event));
      travelled = 0;
      if (this.lassoing || event.shiftKey) this.polygon = [...this.pixelsOf(event)];
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = this.pixelsOf(event);
      const before = down.get(event.pointerId);
      if (!before) {
        this.point(this.nearest(...at), event);
        return;
      }
      travelled += Math.abs(at[0] - before[0]) + Math.abs(at[1] - before[1]);
      down.set(event.pointerId, at);
      if (down.size === 2) {
        const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
        const is = Math.hypot(at[0] - other[0], at[1] - other[1]);
        if (was > 0) this.zoom(is / was, (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
        this.polygon = [];
      } else if (this.polygon.length) {
        this.polygon.push(...at);
        this.draw();
      } else {
        this.moved = true;
        this.pan(before[0] - at[0], before[1] - at[1]);
      }
    });
    const up = (event: PointerEvent): void => {
      const was = down.delete(event.pointerId);
      if (this.polygon.length) this.endLasso();
      else if (was && travelled < 6 && event.type === "pointerup") {
        const row = this.nearest(...this.pixelsOf(event));
        if (row >= 0) this.events.choose(row);
      }
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", (event) => this.point(-1, event));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.moved = true;
        this.zoom(2 ** (-event.deltaY / (event.deltaMode ? 12 : 300)), ...this.pixelsOf(event));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const acts: { [key: string]: () => void } = {
        ArrowLeft: () => this.pan(-STEP, 0),
        ArrowRight: () => this.pan(STEP, 0),
        ArrowUp: () => this.pan(0, -STEP),
        ArrowDown: () => this.pan(0, STEP),
        "+": () => this.zoom(ZOOM_STEP),
        "=": () => this.zoom(ZOOM_STEP),
        "-": () => this.zoom(1 / ZOOM_STEP),
        "0": () => this.reset(),
        Enter: () => this.chooseMiddle(),
      };
      const act = acts[event.key];
      if (!act) return;
      this.moved = event.key !== "0";
      act();
      event.preventDefault();
    });
  }

  private chooseMiddle(): void {
    const row = this.nearest(this.canvas.width / 2, this.canvas.height / 2);
    if (row >= 0) this.events.choose(row);
  }

  private point(row: number, event: MouseEvent): void {
    const box = this.canvas.getBoundingClientRect();
    if (row !== this.pointed) {
      this.pointed = row;
      this.draw();
    }
    this.events.hover(row, event.clientX - box.left, event.clientY - box.top);
  }

  private endLasso(): void {
    const places: number[] = [];
    for (let k = 0; k < this.polygon.length; k += 2) places.push(...this.placeOf(this.polygon[k], this.polygon[k + 1]));
    this.polygon = [];
    const rows: number[] = [];
    if (places.length > 6)
      for (let k = 0; k < this.points.rows; k++)
        if (this.colours[k] !== 0 && inPolygon(places, this.points.x[k], this.points.y[k])) rows.push(k);
    this.single(rows.length ? new Set(rows) : null);
    this.events.lasso(rows);
  }
}
