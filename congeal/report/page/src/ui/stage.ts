/** A picture with marks over it; the atlas as such a picture. */
import { drawOutline, drawPoint } from "../draw/marks.ts";
import type { Place } from "../geometry/frames.ts";
import { type AtlasPlace, VISIBLE } from "../geometry/maps.ts";
import type { Member } from "../data/members.ts";
import { h } from "./dom.ts";

/** A place that was pointed at, and where. */
export interface Pointed {
  readonly at: AtlasPlace;
  readonly colour: string;
  /** The member and the pixel that it was pointed at; absent on the atlas. */
  readonly origin?: { readonly member: Member; readonly x: number; readonly y: number; readonly instance?: number };
  readonly large?: boolean;
  /** What it is called by who marked it. */
  name?: string;
}

/** Where something is drawn, and how sure that is. */
export interface Placed {
  readonly place: Place;
  readonly confidence: number;
}

export interface Outlined {
  readonly corners: readonly AtlasPlace[];
  readonly colour: string;
  /** The member that it was drawn on, and its corners there, pixels; absent on the atlas. */
  readonly origin?: { readonly member: Member; readonly ring: readonly Place[] };
  /** A box along the sides of the image. */
  readonly upright?: boolean;
  name?: string;
}

/** What all stages share: an element of its own size with a layer for marks. */
export abstract class Stage {
  readonly element: HTMLElement;
  protected readonly marks: HTMLCanvasElement;
  visible = false;
  private drawn = false;

  constructor(label: string, focusable: boolean) {
    this.marks = h("canvas", { class: "marks", "aria-hidden": "true" });
    this.element = h("div", { class: "stage", role: focusable ? "button" : "img", "aria-label": label, tabindex: focusable ? 0 : null });
  }

  /** Where (u, v) of what is drawn lies in the atlas; null: nowhere. */
  abstract pointedAt(u: number, v: number): Omit<Pointed, "colour"> | null;
  abstract places(pointed: Pointed): Placed | null;
  /** The same, for each thing of the kind that is shown. */
  protected placings(): readonly ((pointed: Pointed) => Placed | null)[] {
    return [(pointed) => this.places(pointed)];
  }
  /** Whether something lies under the marks. */
  protected abstract covered(): boolean;
  protected abstract underlay(context: CanvasRenderingContext2D, size: number): void;

  /** A pointer's position on the element as (u, v) in [-1, 1]². */
  placeOf(event: { clientX: number; clientY: number }): Place {
    const box = this.element.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 2 - 1, ((event.clientY - box.top) / box.height) * 2 - 1];
  }

  drawMarks(points: readonly Pointed[], outlines: readonly Outlined[], extra?: (draw: Drawing) => void): void {
    const empty = !points.length && !outlines.length && !extra && !this.covered();
    // A canvas that nothing was ever drawn on costs nothing.
    if (empty && !this.drawn) return;
    this.drawn = !empty;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const size = Math.round(this.element.clientWidth * ratio);
    if (size === 0) return;
    if (this.marks.width !== size) this.marks.width = this.marks.height = size;
    const context = this.marks.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, size, size);
    this.underlay(context, size);
    for (const outline of outlines) for (const placing of this.placings()) {
      const line: number[] = [];
      let sure = 0;
      for (const at of outline.corners) {
        const found = placing({ at, colour: "" });
        if (!found) continue;
        line.push(((found.place[0] + 1) / 2) * size, ((found.place[1] + 1) / 2) * size);
        sure += found.confidence;
      }
      drawOutline(context, line, outline.colour, Math.max(0.15, sure / outline.corners.length), ratio);
    }
    extra?.({ context, size, ratio });
    for (const pointed of points) for (const placing of this.placings()) {
      const found = placing(pointed);
      if (!found) continue;
      drawPoint(
        context,
        {
          x: ((found.place[0] + 1) / 2) * size,
          y: ((found.place[1] + 1) / 2) * size,
          colour: pointed.colour,
          opacity: found.confidence,
          seen: found.confidence >= VISIBLE,
          large: pointed.large,
        },
        ratio,
      );
    }
  }
}

export interface Drawing {
  readonly context: CanvasRenderingContext2D;
  readonly size: number;
  readonly ratio: number;
}

/** The atlas: pictures laid over each other, and marks. */
export class AtlasStage extends Stage {
  constructor(label: string, pictures: readonly HTMLElement[]) {
    super(label, true);
    this.element.classList.add("atlas-stage");
    this.element.append(...pictures, this.marks);
  }

  pointedAt(u: number, v: number): Omit<Pointed, "colour"> | null {
    return Math.abs(u) > 1 || Math.abs(v) > 1 ? null : { at: { u, v, confidence: 1 } };
  }

  places(pointed: Pointed): Placed | null {
    const { u, v, confidence } = pointed.at;
    return { place: [u, v], confidence };
  }

  protected covered(): boolean {
    return false;
  }

  protected underlay(): void {}
}
