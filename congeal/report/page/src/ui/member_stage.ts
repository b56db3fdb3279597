/** A member's picture at some point of its way into the atlas frame, with what is laid over it. */
import { category, sequential } from "../draw/colour.ts";
import { drawOutline, drawNumber } from "../draw/marks.ts";
import { type Picture, drawThrough } from "../draw/raster.ts";
import type { Member } from "../data/members.ts";
import { type Field, interpolate } from "../geometry/fields.ts";
import { type Place, inside, toFrame, toPixels } from "../geometry/frames.ts";
import { type Maps, fromAtlas, toAtlas } from "../geometry/maps.ts";
import { outlineOf } from "../geometry/outline.ts";
import { type Mesh, drawnAt, lookUp, morphMesh } from "../geometry/morph.ts";
import { h } from "./dom.ts";
import { type Placed, type Pointed, Stage } from "./stage.ts";

export interface Overlays {
  readonly confidence: boolean;
  readonly saliency: boolean;
  readonly mask: boolean;
  readonly grid: boolean;
}

export const NO_OVERLAYS: Overlays = { confidence: false, saliency: false, mask: false, grid: false };

/** Saliency from which a cell counts as the object (as where cycle errors are measured). */
const OBJECT = 0.3;

export class MemberStage extends Stage {
  private readonly canvas: HTMLCanvasElement;
  private mesh: Mesh | null = null;
  private t = -1;
  private shade: HTMLCanvasElement | null = null;
  private shadeKey = "";
  private readonly layers = new WeakMap<Picture, { t: number; canvas: HTMLCanvasElement }>();
  overlays: Overlays = NO_OVERLAYS;
  /** Of which thing of the kind the grid is drawn; and whether all are drawn around and numbered. */
  instance = 0;
  numbered = false;

  constructor(
    readonly member: Member,
    private readonly saliency: Field | null,
    label: string,
  ) {
    super(label, true);
    const side = member.picture?.side ?? 192;
    this.canvas = h("canvas", { width: side, height: side, "aria-hidden": "true" });
    this.element.append(this.canvas, this.marks);
    if (!member.picture) this.element.append(h("span", { class: "missing" }, "no preview"));
  }

  /** Draw the picture at `t`: 0 as it is, 1 in the atlas frame. */
  show(t: number): void {
    const { maps, picture, pose } = this.member;
    const at = maps ? t : 0;
    if (at === this.t) return;
    this.t = at;
    this.mesh = maps && at > 0 ? morphMesh(maps, pose, at) : null;
    if (!picture) return;
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const { side } = picture;
    let image: ImageData;
    if (this.mesh) {
      image = context.createImageData(side, side);
      drawThrough(this.mesh, picture, { data: image.data, side });
    } else image = new ImageData(picture.data, side, side);
    context.putImageData(image, 0, 0);
  }

  /** Whether the picture is shown as it is. */
  get isPlain(): boolean {
    return this.mesh === null;
  }

  /** The pixel of the original that is drawn at (u, v); null beyond the image. */
  pixelAt(u: number, v: number): Place | null {
    const [a, b] = this.mesh ? lookUp(this.mesh, u, v) : [u, v];
    const [x, y] = toPixels(this.member, a, b);
    return inside(this.member, x, y) ? [x, y] : null;
  }

  /** Lay a picture of the frame (RGBA, square) over this one, moved as it is. */
  lay(picture: Picture, context: CanvasRenderingContext2D, size: number): void {
    let laid = this.layers.get(picture);
    if (!laid || laid.t !== this.t) {
      const { side } = picture;
      const canvas = laid?.canvas ?? h("canvas", { width: side, height: side });
      const image = new ImageData(side, side);
      if (this.mesh) drawThrough(this.mesh, picture, { data: image.data, side });
      else image.data.set(picture.data);
      canvas.getContext("2d")?.putImageData(image, 0, 0);
      laid = { t: this.t, canvas };
      this.layers.set(picture, laid);
    }
    context.drawImage(laid.canvas, 0, 0, size, size);
  }

  /** Where a pixel of the original is drawn. */
  drawnPixel(x: number, y: number, guess?: Place): Place | null {
    const [a, b] = toFrame(this.member, x, y);
    if (!this.mesh) return [a, b];
    const maps = this.member.maps;
    let start = guess;
    if (!start && maps) {
      const there = toAtlas(maps, x, y);
      start = [a + this.t * (there.u - a), b + this.t * (there.v - b)];
    }
    return drawnAt(this.mesh, a, b, start ?? [a, b]);
  }

  pointedAt(u: number, v: number): Omit<Pointed, "colour"> | null {
    const pixel = this.pixelAt(u, v);
    if (!pixel || !this.member.maps) return null;
    // Of several, the thing whose map knows the pixel best.
    let [at, instance] = [toAtlas(this.member.maps, ...pixel), 0];
    for (const { number, maps } of this.member.further) {
      const other = maps && toAtlas(maps, ...pixel);
      if (other && other.confidence > at.confidence) [at, instance] = [other, number];
    }
    return { at, origin: { member: this.member, x: pixel[0], y: pixel[1], instance } };
  }

  places(pointed: Pointed): Placed | null {
    return this.placed(pointed, this.member.maps, 0);
  }

  protected override placings(): readonly ((pointed: Pointed) => Placed | null)[] {
    const { maps, further } = this.member;
    return [{ number: 0, maps }, ...further].map((one) => (pointed) => this.placed(pointed, one.maps, one.number));
  }

  private placed(pointed: Pointed, maps: Maps | null, number: number): Placed | null {
    if (!maps) return null;
    const origin = pointed.origin;
    if (origin?.member === this.member && (origin.instance ?? 0) === number) {
      const place = this.drawnPixel(origin.x, origin.y);
      return place && { place, confidence: 1 };
    }
    const found = fromAtlas(maps, pointed.at);
    if (found.confidence === 0) return null;
    if (this.t === 1 && number === 0) return { place: [pointed.at.u, pointed.at.v], confidence: found.confidence };
    const [a, b] = toFrame(this.member, found.x, found.y);
    const guess: Place = [a + this.t * (pointed.at.u - a), b + this.t * (pointed.at.v - b)];
    const place = this.drawnPixel(found.x, found.y, guess);
    return place && { place, confidence: found.confidence };
  }

  protected covered(): boolean {
    const { confidence, saliency, mask, grid } = this.overlays;
    return confidence || saliency || mask || grid || this.numbered;
  }

  protected underlay(context: CanvasRenderingContext2D, size: number): void {
    const { confidence, saliency, mask, grid } = this.overlays;
    if (confidence || saliency || mask) {
      const shade = this.shaded();
      if (shade) {
        context.imageSmoothingEnabled = true;
        context.imageSmoothingQuality = "high";
        // The corners of the mesh are the centres of the shade's pixels.
        const step = size / (shade.width - 1);
        context.drawImage(shade, -step / 2, -step / 2, size + step, size + step);
      }
    }
    if (grid) this.drawGrid(context, size);
    if (this.numbered) this.drawNumbers(context, size);
  }

  /** A line around each thing of the kind, and its number. */
  private drawNumbers(context: CanvasRenderingContext2D, size: number): void {
    if (!this.saliency) return;
    const { corners, middle } = outlineOf(this.saliency);
    const { maps, further } = this.member;
    const ratio = size / Math.max(1, this.element.clientWidth);
    const at = (of: Maps, [u, v]: Place): Place | null => {
      const place = this.gridPlace(of, u, v);
      return place && [((place[0] + 1) / 2) * size, ((place[1] + 1) / 2) * size];
    };
    for (const one of [{ number: 0, maps }, ...further]) {
      const of = one.maps;
      if (!of) continue;
      const line = corners.flatMap((corner) => at(of, corner) ?? []);
      drawOutline(context, line, category(one.number), 1, ratio);
      const label = at(of, middle);
      if (label) drawNumber(context, label[0], label[1], String(one.number), category(one.number), ratio);
    }
  }

  /** Confidence or saliency as colours, or what is no object covered; a pixel for each corner of the mesh. */
  private shaded(): HTMLCanvasElement | null {
    const { maps } = this.member;
    if (!maps) return null;
    const { confidence, saliency, mask } = this.overlays;
    const key = `${this.t}/${confidence}/${saliency}/${mask}`;
    if (this.shade && this.shadeKey === key) return this.shade;
    const { places, cells } = this.mesh ?? morphMesh(maps, this.member.pose, 0);
    const n = cells + 1;
    const canvas = this.shade ?? h("canvas", { width: n, height: n });
    const context = canvas.getContext("2d");
    if (!context) return null;
    const image = context.createImageData(n, n);
    const dark = getComputedStyle(this.element).colorScheme === "dark";
    const paper = dark ? 24 : 250;
    for (let k = 0; k < n * n; k++) {
      const x = places[2 * k];
      const y = places[2 * k + 1];
      if (!inside(this.member, ...toPixels(this.member, x, y))) continue;
      const u = interpolate(maps.backward, x, y, 0);
      const v = interpolate(maps.backward, x, y, 1);
      const salient = this.saliency ? Math.max(0, interpolate(this.saliency, u, v)) : 1;
      const o = 4 * k;
      let rgb: readonly number[] = [paper, paper, paper];
      let alpha = 0;
      if (confidence) {
        rgb = sequential(interpolate(maps.backwardConfidence, x, y));
        alpha = 170;
      } else if (saliency) {
        rgb = sequential(salient);
        alpha = 170;
      }
      if (mask) {
        const hidden = Math.min(1, Math.max(0, (OBJECT + 0.05 - salient) / 0.1));
        if (hidden > 0.5 || alpha === 0) {
          rgb = [paper, paper, paper];
          alpha = Math.round(235 * hidden);
        }
      }
      image.data.set([rgb[0], rgb[1], rgb[2], alpha], o);
    }
    context.putImageData(image, 0, 0);
    this.shade = canvas;
    this.shadeKey = key;
    return canvas;
  }

  /** The grid of the atlas as this picture shows it. */
  private drawGrid(context: CanvasRenderingContext2D, size: number): void {
    const chosen = this.member.further.find((one) => one.number === this.instance);
    const maps = chosen ? chosen.maps : this.member.maps;
    if (!maps) return;
    context.lineWidth = 1;
    context.strokeStyle = "rgb(255 255 255 / 0.75)";
    context.shadowColor = "rgb(0 0 0 / 0.8)";
    context.shadowBlur = 2;
    const lines = 12;
    const steps = 36;
    for (const across of [false, true])
      for (let i = 0; i <= lines; i++) {
        context.beginPath();
        let begun = false;
        for (let k = 0; k <= steps; k++) {
          const fixed = (2 * i) / lines - 1;
          const moving = (2 * k) / steps - 1;
          const [u, v] = across ? [moving, fixed] : [fixed, moving];
          const place: Place | null = this.t === 1 && !chosen ? [u, v] : this.gridPlace(maps, u, v);
          if (!place) {
            begun = false;
            continue;
          }
          const x = ((place[0] + 1) / 2) * size;
          const y = ((place[1] + 1) / 2) * size;
          if (begun) context.lineTo(x, y);
          else context.moveTo(x, y);
          begun = true;
        }
        context.stroke();
      }
    context.shadowBlur = 0;
  }

  private gridPlace(maps: Maps, u: number, v: number): Place | null {
    const x = interpolate(maps.forward, u, v, 0);
    const y = interpolate(maps.forward, u, v, 1);
    const [a, b] = toFrame(this.member, x, y);
    return this.t === 0 ? [a, b] : this.drawnPixel(x, y, [a + this.t * (u - a), b + this.t * (v - b)]);
  }
}
