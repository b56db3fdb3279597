/** Points and areas that were marked on pictures, as labels of the images that they were marked on, or of all. */
import type { Member } from "./members.ts";
import type { Label, LabelPoint } from "./labels.ts";
import type { Outlined, Pointed } from "../ui/stage.ts";
import { type AtlasPlace, fromAtlas } from "../geometry/maps.ts";

const POINTS = "points"; // the category of all points that are kept
const FAINT = 0.15; // an area that is carried with less confidence is not there

interface Found {
  readonly x: number;
  readonly y: number;
  readonly confidence: number;
}

/** Where a place of the atlas is on a member: of several things of the kind, on the first. */
function carried(at: AtlasPlace, member: Member): Found | null {
  if (!member.maps) return null;
  const { x, y, confidence } = fromAtlas(member.maps, at);
  return confidence > 0 ? { x, y, confidence } : null;
}

function pointOn(pin: Pointed, member: Member): Found | null {
  const { origin } = pin;
  if (origin?.member === member) return { x: origin.x, y: origin.y, confidence: 1 };
  return carried(pin.at, member);
}

/** The member that something marked on the atlas is surest on. */
function surest(members: readonly Member[], on: (member: Member) => number): Member | null {
  let best: Member | null = null;
  let most = 0;
  for (const member of members) {
    const sure = on(member);
    if (sure > most) [best, most] = [member, sure];
  }
  return best;
}

/** Names that are told apart: a second one of a name gets a number. */
function apart(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let k = 2; taken.has(free); k++) free = `${name} ${k}`;
    taken.add(free);
    return free;
  });
}

function ringOn(area: Outlined, member: Member): { ring: number[]; confidence: number } | null {
  if (area.origin?.member === member) return { ring: area.origin.ring.flat(), confidence: 1 };
  const found = area.corners.flatMap((at) => carried(at, member) ?? []);
  if (found.length < 3) return null;
  const confidence = found.reduce((sum, one) => sum + one.confidence, 0) / area.corners.length;
  return confidence < FAINT ? null : { ring: found.flatMap(({ x, y }) => [x, y]), confidence };
}

function areaLabel(area: Outlined, member: Member): Label | null {
  const found = ringOn(area, member);
  if (!found) return null;
  const { ring, confidence } = found;
  const { uri, width, height } = member;
  const label = { uri, width, height, category: area.name ?? "area", confidence, keypoints: [] };
  const upright = area.upright && area.origin?.member === member;
  return { ...label, bbox: box(ring), outline: upright ? null : [ring] };
}

function box(ring: readonly number[]): [number, number, number, number] {
  const x = ring.filter((_, k) => k % 2 === 0);
  const y = ring.filter((_, k) => k % 2 === 1);
  const [left, top] = [Math.min(...x), Math.min(...y)];
  return [left, top, Math.max(...x) - left, Math.max(...y) - top];
}

/** What was marked, on the images that it was marked on; what was marked on the atlas, on the image that shows it surest. */
export function marked(pins: readonly Pointed[], areas: readonly Outlined[], members: readonly Member[]): Label[] {
  const names = apart(pins.map((pin) => pin.name ?? "point"));
  const homes = pins.map((pin) => pin.origin?.member ?? surest(members, (member) => carried(pin.at, member)?.confidence ?? 0));
  const labels = [...new Set(homes)].flatMap((member) => (member ? [pointsLabel(pins, names, member, (k) => homes[k] === member)] : []));
  for (const area of areas) {
    const member = area.origin?.member ?? surest(members, (one) => ringOn(area, one)?.confidence ?? 0);
    const label = member && areaLabel(area, member);
    if (label) labels.push(label);
  }
  return labels;
}

/** The same on all of these members that fit, with its confidence. */
export function everywhere(pins: readonly Pointed[], areas: readonly Outlined[], members: readonly Member[]): Label[] {
  const names = apart(pins.map((pin) => pin.name ?? "point"));
  return members.filter((member) => !member.outlier).flatMap((member) => {
    const points = pins.length ? [pointsLabel(pins, names, member, () => true)] : [];
    return [...points.filter((label) => label.keypoints.some(({ x }) => x !== null)), ...areas.flatMap((area) => areaLabel(area, member) ?? [])];
  });
}

function pointsLabel(pins: readonly Pointed[], names: readonly string[], member: Member, here: (k: number) => boolean): Label {
  const { uri, width, height } = member;
  const keypoints: LabelPoint[] = pins.map((pin, k) => {
    const found = here(k) ? pointOn(pin, member) : null;
    return { name: names[k], x: found?.x ?? null, y: found?.y ?? null, confidence: found?.confidence ?? 0 };
  });
  const known = keypoints.filter(({ x }) => x !== null);
  const confidence = known.length ? known.reduce((sum, { confidence: sure }) => sum + sure, 0) / known.length : 0;
  return { uri, width, height, category: POINTS, confidence, keypoints };
}

