/** Pointing at one picture and seeing the counterparts on all: hover, click, drag a box, or the arrow keys. */
import { category } from "../draw/colour.ts";
import type { Place } from "../geometry/frames.ts";
import type { Member } from "../data/members.ts";
import { VISIBLE, fromAtlas, toAtlas } from "../geometry/maps.ts";
import { MemberStage } from "./member_stage.ts";
import type { AtlasStage, Drawing, Outlined, Pointed } from "./stage.ts";

type AnyStage = MemberStage | AtlasStage;

const DRAG = 5; // pixels that a pointer moves before a click becomes a box
const STEP = 1 / 32; // of the picture, an arrow key's
const MOST_PINS = 12;
const MOST_AREAS = 12;
const BOX_STEPS = 10;
const PATH_STEP = 0.03; // halves of a picture between corners of an outline that is drawn freely
export const HOVER = "#ffd23f";

/** Something else that may be done with a pointer on a picture, tried first. Gives true if it took the event. */
export interface Tool {
  down(stage: AnyStage, at: Place): boolean;
  move(stage: AnyStage, at: Place): void;
  up(): void;
  /** A key is pressed on a picture, its cursor at a place. Gives where the cursor is then, or null if the key is not its own. */
  key(stage: AnyStage, event: KeyboardEvent, at: Place): Place | null;
  /** The keyboard goes elsewhere. */
  leave(stage: AnyStage): void;
  /** The pointer is over a place, with nothing pressed. */
  over(stage: AnyStage, at: Place): void;
  draw(stage: AnyStage, drawing: Drawing): void;
}

export type Shape = "box" | "outline";

export class Pointing {
  readonly pins: Pointed[] = [];
  readonly areas: Outlined[] = [];
  /** What a drag marks. */
  shape: Shape = "box";
  tool: Tool | null = null;
  private hover: Pointed | null = null;
  private dragged: Outlined | null = null;
  private stages: AnyStage[] = [];
  private frame = 0;
  private readonly seen: IntersectionObserver;
  private readonly byElement = new Map<Element, AnyStage>();
  private made = 0;

  constructor(
    private readonly changed: () => void,
    private readonly appeared: (stage: AnyStage) => void,
  ) {
    this.seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const stage = this.byElement.get(entry.target);
          if (!stage) continue;
          stage.visible = entry.isIntersecting;
          if (stage.visible) this.appeared(stage);
        }
        this.redraw();
      },
      { rootMargin: "100px" },
    );
  }

  /** Listen on these pictures instead of those before. */
  watch(stages: readonly AnyStage[]): void {
    this.seen.disconnect();
    this.byElement.clear();
    this.stages = [...stages];
    for (const stage of stages) {
      this.byElement.set(stage.element, stage);
      this.seen.observe(stage.element);
      if (!stage.element.dataset.watched) this.listen(stage);
      stage.element.dataset.watched = "yes";
    }
  }

  close(): void {
    this.seen.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Draw all marks in the next frame. */
  redraw(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.drawNow();
    });
  }

  /** Counterparts of a pixel of a member on all members, as they are drawn. */
  counterparts(members: readonly Member[], position: number, x: number, y: number): { image: string; x: number; y: number; confidence: number; instance?: number }[] {
    const source = members[position];
    if (!source?.maps) return [];
    let at = toAtlas(source.maps, x, y);
    for (const { maps } of source.further) {
      const other = maps && toAtlas(maps, x, y);
      if (other && other.confidence > at.confidence) at = other;
    }
    return members.flatMap((member) =>
      [{ number: 0, maps: member.maps }, ...member.further].flatMap(({ number, maps }) => {
        if (!maps) return [];
        const found = fromAtlas(maps, at);
        return [{ image: member.id, x: found.x, y: found.y, confidence: found.confidence, ...(number && { instance: number }) }];
      }),
    );
  }

  drawNow(): void {
    const points = this.hover ? [...this.pins, this.hover] : this.pins;
    const outlines = this.dragged ? [...this.areas, this.dragged] : this.areas;
    for (const stage of this.stages)
      if (stage.visible) stage.drawMarks(points, outlines, this.tool ? (drawing) => this.tool?.draw(stage, drawing) : undefined);
  }

  /** Point at a place of a picture, as a pointer over it does; null: at nothing. */
  point(stage: AnyStage, at: Place | null): void {
    const found = at && stage.pointedAt(at[0], at[1]);
    this.hover = found ? { ...found, colour: HOVER, large: true } : null;
    this.redraw();
  }

  pin(stage: AnyStage, at: Place): void {
    const near = this.pins.findIndex((pin) => {
      const found = stage.places(pin);
      return found && Math.hypot(found.place[0] - at[0], found.place[1] - at[1]) < 0.06;
    });
    if (near >= 0) this.pins.splice(near, 1);
    else {
      const found = stage.pointedAt(at[0], at[1]);
      if (!found) return;
      if (this.pins.length >= MOST_PINS) this.pins.shift();
      this.pins.push({ ...found, colour: category(this.made++), name: `point ${this.made}` });
    }
    this.changed();
    this.redraw();
  }

  unpin(index: number): void {
    this.pins.splice(index, 1);
    this.changed();
    this.redraw();
  }

  removeArea(index: number): void {
    this.areas.splice(index, 1);
    this.changed();
    this.redraw();
  }

  clear(): void {
    this.pins.length = 0;
    this.areas.length = 0;
    this.changed();
    this.redraw();
  }

  /** On how many members of those shown a pin is seen. */
  seenOn(pin: Pointed): { seen: number; of: number } {
    const members = new Map<string, boolean>();
    for (const stage of this.stages)
      if (stage instanceof MemberStage && stage.member.maps && !members.has(stage.member.id))
        members.set(stage.member.id, (stage.places(pin)?.confidence ?? 0) >= VISIBLE);
    return { seen: [...members.values()].filter(Boolean).length, of: members.size };
  }

  private box(stage: AnyStage, from: Place, to: Place): Outlined | null {
    const corners: Place[] = [from, [to[0], from[1]], to, [from[0], to[1]]];
    const path: Place[] = [];
    for (let i = 0; i < 4; i++) {
      const [a, b] = [corners[i], corners[(i + 1) % 4]];
      for (let k = 0; k < BOX_STEPS; k++) {
        const t = k / BOX_STEPS;
        path.push([a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]);
      }
    }
    return this.area(stage, path, stage instanceof MemberStage && stage.isPlain);
  }

  /** What lies within a path over a picture; what of it lies beyond the picture is left out. */
  private area(stage: AnyStage, path: readonly Place[], upright = false): Outlined | null {
    const found = path.flatMap(([u, v]) => stage.pointedAt(u, v) ?? []);
    if (found.length < 3) return null;
    const ring = found.flatMap(({ origin }): Place[] => (origin ? [[origin.x, origin.y]] : []));
    const origin = stage instanceof MemberStage ? { origin: { member: stage.member, ring } } : {};
    return { corners: found.map(({ at }) => at), colour: category(this.made), upright, ...origin };
  }

  private listen(stage: AnyStage): void {
    const element = stage.element;
    let start: Place | null = null;
    let boxing = false;
    let taken = false;
    let downX = 0;
    let downY = 0;
    let path: Place[] = [];
    let cursor: Place = [0, 0];
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      start = stage.placeOf(event);
      path = [start];
      [downX, downY] = [event.clientX, event.clientY];
      taken = this.tool?.down(stage, start) ?? false;
      if (taken || event.pointerType !== "touch") element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      const at = stage.placeOf(event);
      cursor = at;
      if (start && taken) {
        this.tool?.move(stage, at);
        this.redraw();
        return;
      }
      if (start && event.pointerType !== "touch" && Math.hypot(event.clientX - downX, event.clientY - downY) > DRAG) boxing = true;
      if (start && boxing) {
        const [u, v] = path[path.length - 1];
        if (Math.hypot(at[0] - u, at[1] - v) > PATH_STEP) path.push(at);
        this.dragged = this.shape === "box" ? this.box(stage, start, at) : this.area(stage, path);
        this.hover = null;
        this.redraw();
      } else {
        this.tool?.over(stage, at);
        this.point(stage, at);
      }
    });
    const end = (event: PointerEvent): void => {
      if (!start) return;
      if (taken) this.tool?.up();
      else if (boxing) {
        if (this.dragged) {
          this.made++;
          this.areas.push({ ...this.dragged, name: `area ${this.made}` });
          if (this.areas.length > MOST_AREAS) this.areas.shift();
        }
        this.dragged = null;
        this.changed();
      } else if (event.type === "pointerup") this.pin(stage, stage.placeOf(event));
      start = null;
      boxing = taken = false;
      this.redraw();
    };
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
    element.addEventListener("pointerleave", () => this.point(stage, null));
    element.addEventListener("blur", () => {
      this.tool?.leave(stage);
      this.point(stage, null);
    });
    element.addEventListener("keydown", (event) => {
      const taken = this.tool?.key(stage, event, cursor);
      if (taken) {
        cursor = taken;
        this.point(stage, cursor);
        event.preventDefault();
        return;
      }
      const moves: { [key: string]: Place } = {
        ArrowLeft: [-STEP, 0],
        ArrowRight: [STEP, 0],
        ArrowUp: [0, -STEP],
        ArrowDown: [0, STEP],
      };
      const move = moves[event.key];
      if (move) {
        const clamped = (x: number): number => Math.min(1, Math.max(-1, x));
        cursor = [clamped(cursor[0] + move[0]), clamped(cursor[1] + move[1])];
        this.point(stage, cursor);
      } else if (event.key === " ") this.pin(stage, cursor);
      else if (event.key === "Escape") {
        this.hover = null;
        this.clear();
      } else return;
      event.preventDefault();
    });
  }
}
