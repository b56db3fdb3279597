/** The members of a page of a cluster: facts, pictures and maps together. */
import type { Picture } from "../draw/raster.ts";
import type { Field } from "../geometry/fields.ts";
import type { Maps } from "../geometry/maps.ts";
import type { Pose } from "../geometry/morph.ts";
import { side } from "../geometry/frames.ts";
import { unpack, bytesOf } from "./packed.ts";
import type { ClusterScript, MapsScript, MemberColumns, MembersScript, PackedMaps } from "./types.ts";

/** A further thing of the kind in an image. */
export interface Further {
  readonly number: number;
  readonly row: number;
  readonly confidence: number;
  maps: Maps | null;
}

export interface Member {
  readonly page: number;
  readonly position: number;
  readonly id: string;
  readonly uri: string;
  readonly width: number;
  readonly height: number;
  readonly row: number;
  readonly role: string | null;
  readonly pose: Pose;
  readonly residual: number | null;
  readonly cycleError: number | null;
  readonly foldFraction: number | null;
  readonly coverage: number | null;
  readonly confidence: number | null;
  readonly outlier: boolean;
  readonly reason: string | null;
  readonly neighbours: readonly (readonly [number, number])[];
  readonly further: readonly Further[];
  /** The frame, clear where the image does not reach; null: there is no preview. */
  picture: Picture | null;
  maps: Maps | null;
}

export function membersOf(script: MembersScript, page: number): Member[] {
  const rows: MemberColumns = script.rows;
  return rows.image_id.map((id, k) => ({
    page,
    position: k,
    id,
    uri: rows.uri[k],
    width: rows.width[k],
    height: rows.height[k],
    row: rows.row[k],
    role: rows.role[k],
    pose: {
      mirrored: rows.mirrored[k],
      rotation: rows.rotation[k] ?? 0,
      scale: rows.scale[k] ?? 1,
      translation: [rows.translation_u[k] ?? 0, rows.translation_v[k] ?? 0],
    },
    residual: rows.residual[k],
    cycleError: rows.cycle_error[k],
    foldFraction: rows.fold_fraction[k],
    coverage: rows.coverage[k],
    confidence: rows.confidence[k],
    outlier: rows.outlier[k],
    reason: rows.outlier_reason[k],
    neighbours: rows.neighbours?.[k] ?? [],
    further: (rows.further?.[k] ?? []).map(([number, row, confidence]) => ({ number, row, confidence, maps: null })),
    picture: null,
    maps: null,
  }));
}

/** Cut the sheet of a page into the pictures of its members. */
export async function addPictures(members: Member[], script: MembersScript, cluster: ClusterScript, columns: number): Promise<void> {
  const cell = cluster.cell;
  const shown = script.rows.shown;
  if (!script.sheet || !shown.some(Boolean)) return;
  const bitmap = await createImageBitmap(new Blob([bytesOf(script.sheet)], { type: "image/webp" }));
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  for (const member of members) {
    const k = member.position;
    if (!shown[k]) continue;
    const data = context.getImageData((k % columns) * cell, Math.floor(k / columns) * cell, cell, cell).data;
    clearPadding(data, cell, member.width, member.height);
    member.picture = { data, side: cell };
  }
}

/** Make the edges that pad an image to a square transparent; their colours stay, for smooth borders. */
function clearPadding(data: Uint8ClampedArray, cell: number, width: number, height: number): void {
  const s = side({ width, height });
  const x = Math.round(((s - width) / 2 / s) * cell);
  const y = Math.round(((s - height) / 2 / s) * cell);
  for (let row = 0, i = 3; row < cell; row++)
    for (let column = 0; column < cell; column++, i += 4)
      if (column < x || column >= cell - x || row < y || row >= cell - y) data[i] = 0;
}

export function addMaps(members: Member[], script: MapsScript): void {
  setMaps(members, fieldsOf(script));
  if (script.further) setFurtherMaps(members, fieldsOf(script.further));
}

/** Fields of maps in an order: for each, its forward map, that map's confidence, and the same backward. */
export type MapFields = readonly [readonly Field[], readonly Field[], readonly Field[], readonly Field[]];

function fieldsOf(packed: PackedMaps): MapFields {
  return [unpack(packed.forward, true), unpack(packed.forward_confidence, false), unpack(packed.backward, true), unpack(packed.backward_confidence, false)];
}

export function setMaps(members: readonly Member[], fields: MapFields): void {
  members.forEach((member, k) => (member.maps = mapsAt(member, fields, k)));
}

/** The same of further things of the kind, member by member. */
export function setFurtherMaps(members: readonly Member[], fields: MapFields): void {
  let k = 0;
  for (const member of members) for (const one of member.further) one.maps = mapsAt(member, fields, k++);
}

function mapsAt(member: Member, [forward, forwardConfidence, backward, backwardConfidence]: MapFields, k: number): Maps {
  return { size: member, forward: forward[k], forwardConfidence: forwardConfidence[k], backward: backward[k], backwardConfidence: backwardConfidence[k] };
}
