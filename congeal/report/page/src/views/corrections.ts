/** What was propagated, over the members: looked through by doubt, corrected by dragging, exported again. */
import type { AnnotationItem, AnnotationsScript, Index } from "../data/types.ts";
import { type Label, coco, tps } from "../data/labels.ts";
import { bytesOf } from "../data/packed.ts";
import type { Member } from "../data/members.ts";
import { category } from "../draw/colour.ts";
import { drawPoint } from "../draw/marks.ts";
import type { Picture } from "../draw/raster.ts";
import { type Place, type Size, clamp, side, toFrame } from "../geometry/frames.ts";
import { VISIBLE } from "../geometry/maps.ts";
import { download, h, toggle } from "../ui/dom.ts";
import { counted, percent } from "../ui/numbers.ts";
import type { Pointing, Tool } from "../ui/pointing.ts";
import { MemberStage } from "../ui/member_stage.ts";
import type { Drawing } from "../ui/stage.ts";

const HINT = "Drag a point to where it belongs; or with the keyboard N, Enter, arrows, Enter.";
const NUDGE = 1 / 128; // of a picture, an arrow key's while a point is held; four times that with Shift
const ARROWS: { readonly [key: string]: Place } = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GRIP = 0.07; // of half a picture: how near a point is taken

interface Point {
  readonly name: string;
  x: number | null;
  y: number | null;
  confidence: number;
  /** Set by hand: in the file that was given, or here. */
  marked: boolean;
  moved: boolean;
}

interface Item {
  readonly member: Member;
  readonly source: AnnotationItem;
  readonly points: Point[];
  /** Made when it is first drawn. */
  mask: Picture | null;
  touched: boolean;
}

interface Held {
  readonly item: Item;
  readonly point: Point;
  readonly stage: MemberStage;
}

/** Corrections outlive the page that they were made on. */
const touched = new Map<string, Item>();

export class Corrections implements Tool {
  readonly element: HTMLElement;
  shown = true;
  private readonly items = new Map<Member, Item[]>();
  private held: Held | null = null;
  /** Of a point that is moved by keys: what it was before. */
  private before: Point | null = null;
  private readonly state = h("span", { role: "status" });
  private readonly pointName = h("span", { class: "hint one-line" }, HINT);

  constructor(
    annotations: AnnotationsScript,
    private readonly index: Index,
    members: readonly Member[],
    page: number,
    pointing: Pointing,
    rearrange: () => void,
  ) {
    for (const member of members) {
      const found = annotations.pages[page]?.[member.position] ?? [];
      this.items.set(member, found.map((source) => this.itemOf(member, source)));
    }
    pointing.tool = this;
    this.element = h(
      "section",
      { class: "corrections", "aria-label": "Labels" },
      toggle("Labels", true, (on) => {
        this.shown = on;
        pointing.tool = on ? this : null;
        rearrange();
      }),
      this.pointName,
      this.state,
      h("button", { type: "button", on: { click: () => this.save("coco") } }, "Export COCO"),
      h("button", { type: "button", on: { click: () => this.save("tps") } }, "Export TPS"),
    );
    this.tell();
  }

  /** The least sure first. */
  sort(members: Member[]): void {
    const doubt = (member: Member): number => {
      const points = (this.items.get(member) ?? []).flatMap((item) => item.points);
      return points.length ? Math.min(...points.map((p) => (p.x === null ? 0 : p.confidence))) : 2;
    };
    const doubts = new Map(members.map((member) => [member, doubt(member)]));
    members.sort((a, b) => (doubts.get(a) ?? 2) - (doubts.get(b) ?? 2));
  }

  down(stage: unknown, at: Place): boolean {
    this.held = this.nearest(stage, at);
    return this.held !== null;
  }

  over(stage: unknown, at: Place): void {
    const found = this.nearest(stage, at);
    this.pointName.textContent = found
      ? `${found.item.source.category}: ${found.point.name}, ${found.point.marked ? "by hand" : `${percent(found.point.confidence)} sure`}`
      : HINT;
  }

  /** N goes from point to point, Enter takes one and lets it go, arrows move it, Escape puts it back. */
  key(stage: unknown, event: KeyboardEvent, at: Place): Place | null {
    if (!(stage instanceof MemberStage)) return null;
    const held = this.held?.stage === stage ? this.held : null;
    if (held) return this.keyWhileHeld(held, event, at);
    if (event.key === "Enter") {
      if (!this.down(stage, at) || !this.held) return null;
      this.before = { ...this.held.point };
      this.pointName.textContent = `${this.held.point.name} is held: arrows move it, Enter lets it go, Escape puts it back.`;
      return at;
    }
    if (event.key.toLowerCase() !== "n" || event.ctrlKey || event.metaKey || event.altKey) return null;
    const drawn = this.pointsOn(stage);
    if (!drawn.length) return null;
    // The one after the point under the cursor, or the first.
    const now = drawn.findIndex(({ place }) => Math.hypot(place[0] - at[0], place[1] - at[1]) < 1e-6);
    const next = drawn[(now + 1) % drawn.length].place;
    this.over(stage, next);
    return next;
  }

  private keyWhileHeld(held: Held, event: KeyboardEvent, at: Place): Place | null {
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = (event.shiftKey ? 4 : 1) * NUDGE;
      const to: Place = [clamp(at[0] + arrow[0] * step, -1, 1), clamp(at[1] + arrow[1] * step, -1, 1)];
      this.move(held.stage, to);
      return to;
    }
    if (event.key === "Escape" && this.before) {
      Object.assign(held.point, this.before);
      held.item.touched = held.item.points.some((point) => point.moved);
      if (!held.item.touched) touched.delete(keyOf(held.item.member, held.item.source));
    } else if (event.key !== "Enter") return null;
    this.before = null;
    this.up();
    const place = this.drawn(held.stage, held.point) ?? at;
    this.over(held.stage, place);
    return place;
  }

  /** A point that is held by keys is let go where it is. */
  leave(stage: unknown): void {
    if (!this.before || this.held?.stage !== stage) return;
    this.before = null;
    this.up();
  }

  private nearest(stage: unknown, at: Place): Held | null {
    if (!(stage instanceof MemberStage)) return null;
    let best = GRIP;
    let found = null;
    for (const { item, point, place } of this.pointsOn(stage)) {
      const distance = Math.hypot(place[0] - at[0], place[1] - at[1]);
      if (distance < best) {
        best = distance;
        found = { item, point, stage };
      }
    }
    return found;
  }

  private pointsOn(stage: MemberStage): { item: Item; point: Point; place: Place }[] {
    return (this.items.get(stage.member) ?? []).flatMap((item) =>
      item.points.flatMap((point) => {
        const place = this.drawn(stage, point);
        return place ? [{ item, point, place }] : [];
      }),
    );
  }

  move(stage: unknown, at: Place): void {
    if (!this.held || stage !== this.held.stage) return;
    const pixel = this.held.stage.pixelAt(at[0], at[1]);
    if (!pixel) return;
    const { item, point } = this.held;
    point.x = clamp(pixel[0], -0.5, item.member.width - 0.5);
    point.y = clamp(pixel[1], -0.5, item.member.height - 0.5);
    point.confidence = 1;
    point.marked = point.moved = true;
    item.touched = true;
    touched.set(keyOf(item.member, item.source), item);
  }

  up(): void {
    this.held = null;
    this.tell();
  }

  draw(stage: unknown, { context, size, ratio }: Drawing): void {
    if (!(stage instanceof MemberStage)) return;
    for (const item of this.items.get(stage.member) ?? []) {
      if (item.source.mask) stage.lay((item.mask ??= maskPicture(item.member, item.source.mask)), context, size);
      for (const ring of item.source.outline ?? []) this.drawRing(stage, ring, context, size, ratio);
      item.points.forEach((point, k) => {
        const drawn = this.drawn(stage, point);
        if (!drawn) return;
        drawPoint(
          context,
          {
            x: ((drawn[0] + 1) / 2) * size,
            y: ((drawn[1] + 1) / 2) * size,
            colour: category(k),
            opacity: Math.max(0.35, point.confidence),
            seen: point.confidence >= VISIBLE,
            large: point.moved,
          },
          ratio,
        );
      });
    }
  }

  private drawRing(stage: MemberStage, ring: readonly number[], context: CanvasRenderingContext2D, size: number, ratio: number): void {
    context.beginPath();
    for (let k = 0; k < ring.length; k += 2) {
      const at = stage.drawnPixel(ring[k], ring[k + 1]) ?? toFrame(stage.member, ring[k], ring[k + 1]);
      context.lineTo(((at[0] + 1) / 2) * size, ((at[1] + 1) / 2) * size);
    }
    context.closePath();
    context.fillStyle = "rgb(86 180 233 / 0.12)";
    context.fill();
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = "rgb(86 180 233)";
    context.stroke();
  }

  private drawn(stage: MemberStage, point: Point): Place | null {
    return point.x === null || point.y === null ? null : stage.drawnPixel(point.x, point.y);
  }

  private itemOf(member: Member, source: AnnotationItem): Item {
    const known = touched.get(keyOf(member, source));
    if (known) return { ...known, member };
    const points = (source.keypoints ?? []).map(([name, x, y, confidence, , marked]) => ({
      name,
      x,
      y,
      confidence: marked ? 1 : confidence,
      marked: Boolean(marked),
      moved: false,
    }));
    return { member, source, points, mask: null, touched: false };
  }

  private tell(): void {
    const sure = [...this.items.values()].flat().flatMap((item) => item.points.map((point) => point.confidence));
    const mean = sure.length ? sure.reduce((a, b) => a + b, 0) / sure.length : NaN;
    this.state.textContent = touched.size ? `${counted(touched.size, "label")} corrected` : `mean confidence ${percent(mean)}`;
  }

  /** What was marked by hand on these members, and all that was corrected in this session of the page. */
  private labels(): Label[] {
    const wanted = new Set<Item>(touched.values());
    for (const items of this.items.values())
      for (const item of items) if (item.source.marked && !touched.has(keyOf(item.member, item.source))) wanted.add(item);
    const corrected = new Set([...touched.keys()]);
    return [...wanted]
      .filter((item) => item.points.length > 0 || item.source.bbox || item.source.outline)
      .map((item) => ({
        uri: item.member.uri,
        width: item.member.width,
        height: item.member.height,
        category: item.source.category,
        confidence: corrected.has(keyOf(item.member, item.source)) || item.source.marked ? 1 : item.source.confidence,
        keypoints: item.points,
        // What was carried besides is not taken for marked by hand.
        bbox: item.source.marked ? item.source.bbox : null,
        outline: item.source.marked ? item.source.outline : null,
      }));
  }

  private save(format: "coco" | "tps"): void {
    const labels = this.labels();
    if (!labels.length) {
      this.state.textContent = "Nothing to export: no point was moved, and none here was marked by hand";
      return;
    }
    if (format === "coco") download("corrections.json", coco(labels, `Corrections of version ${this.index.version}`), "application/json");
    else {
      const { text, leftOut } = tps(labels);
      download("corrections.tps", text);
      if (leftOut) this.state.textContent = `${counted(leftOut, "image")} with a line break in the name left out: export COCO instead`;
    }
  }
}

function keyOf(member: Member, item: AnnotationItem): string {
  return `${member.id}/${item.category}/${item.instance}`;
}

const MASK_SIDE = 192;
const MASK_COLOUR = [86, 180, 233];
const MASK_ALPHA = 0.45;

/** A mask as a picture of the image's frame. */
function maskPicture(size: Size, mask: { readonly width: number; readonly height: number; readonly data: string }): Picture {
  const bytes = bytesOf(mask.data);
  const data = new Uint8ClampedArray(MASK_SIDE * MASK_SIDE * 4);
  const [red, green, blue] = MASK_COLOUR;
  // Columns of the mask for those of the frame, and rows alike.
  const cells = (length: number, across: number): Int32Array =>
    Int32Array.from({ length: MASK_SIDE }, (_, k) => {
      const part = (((k + 0.5) / MASK_SIDE - 0.5) * side(size)) / length + 0.5;
      return part < 0 || part >= 1 ? -1 : Math.floor(part * across);
    });
  const columns = cells(size.width, mask.width);
  const rows = cells(size.height, mask.height);
  for (let row = 0, k = 0; row < MASK_SIDE; row++)
    for (let column = 0; column < MASK_SIDE; column++, k += 4) {
      data[k] = red;
      data[k + 1] = green;
      data[k + 2] = blue;
      if (rows[row] >= 0 && columns[column] >= 0) data[k + 3] = MASK_ALPHA * bytes[rows[row] * mask.width + columns[column]];
    }
  return { data, side: MASK_SIDE };
}
