/** What the scripts of a report hold, as Python writes them (`congeal/report`). Columns are arrays of one length. */
import type { OwnFacts } from "./own_columns.ts";

export interface Index {
  readonly format: number;
  readonly title: string;
  readonly source: string;
  readonly destination: string;
  readonly version: number;
  readonly created: string;
  readonly code_version: string;
  readonly made: string;
  readonly base: string | null;
  readonly counts: {
    readonly images: number;
    readonly ok: number;
    readonly failed: number;
    readonly duplicate: number;
    readonly clusters: number;
    readonly failed_clusters: number;
    readonly outliers: number;
  };
  readonly settings: unknown;
  readonly backbone: string;
  readonly weights_fingerprint: string;
  /** A backbone that tells more; null if none is known, absent in reports of earlier versions. */
  readonly stronger?: string | null;
  readonly stages: readonly Stage[];
  readonly map: MapFacts | null;
  readonly sheets: Sheets;
  readonly wall: { readonly cell: number; readonly path: readonly string[] };
  readonly clusters: ClusterColumns;
  readonly failures: Listing;
  readonly duplicates: Listing;
  readonly quality: Quality;
  readonly annotations: AnnotationFacts | null;
  /** Since the version before; absent in reports of earlier versions, null if there is none. */
  readonly changes?: ChangesFacts | null;
  readonly notes: readonly string[];
}

type ImageKinds = "come" | "gone" | "renamed" | "other_cluster";

export interface ChangesFacts {
  readonly script: string;
  readonly before: number;
  readonly images: { readonly [kind in ImageKinds]: number };
  readonly clusters: { readonly new: number; readonly gone: number; readonly changed: number; readonly unchanged: number };
}

export interface FigureChange {
  readonly before: number | null;
  readonly after: number | null;
  readonly better: boolean | null;
}

export interface NamedCluster {
  readonly cluster_id: string;
  readonly name: string | null;
  readonly n_images: number;
}

export interface ClusterChange extends NamedCluster {
  readonly name_before: string | null;
  readonly n_images_before: number;
  readonly joined: number;
  readonly left: number;
  readonly solved_anew: boolean;
  readonly points: { readonly images: number; readonly points: number; readonly median: number; readonly p90: number; readonly frame_moved: number; readonly same_frame: boolean } | null;
  readonly figures: { readonly [name: string]: FigureChange };
}

export interface ChangesScript {
  readonly before: number;
  readonly after: number;
  readonly images: {
    readonly before: number;
    readonly after: number;
    readonly counts: { readonly [kind in ImageKinds]: number };
    readonly come: readonly string[];
    readonly gone: readonly string[];
    readonly renamed: readonly (readonly [string, string])[];
    readonly other_cluster: readonly (readonly [string, string | null, string | null])[];
  };
  readonly new: readonly NamedCluster[];
  readonly gone: readonly NamedCluster[];
  readonly changed: readonly ClusterChange[];
  readonly counts: ChangesFacts["clusters"];
  readonly figures: { readonly [name: string]: FigureChange };
  readonly notes: readonly string[];
}

export interface Stage {
  readonly stage: string;
  readonly units: number;
  readonly seconds: number;
  readonly started: string | null;
  readonly ended: string | null;
  readonly peak_memory_bytes: number | null;
  /** Out of stores and into them, and how often they were asked; absent in reports from before it was counted. */
  readonly read_bytes?: number;
  readonly written_bytes?: number;
  readonly requests?: number;
  readonly timings: { readonly [phase: string]: number };
  readonly host: string | null;
  readonly python: string | null;
  readonly platform: string | null;
}

export interface MapFacts {
  readonly script: string | null;
  readonly names: string | null;
  readonly parquet: string | null;
  readonly rows: number;
  readonly sample: number;
  readonly method: string;
  readonly fitted: number;
  readonly placed: number;
  readonly seed: number;
  readonly note: string | null;
  /** Columns of the collection's owner; absent in reports of earlier versions. */
  readonly own?: readonly OwnFacts[];
}

export interface Sheets {
  readonly cell: number;
  readonly path: readonly string[];
  readonly columns: readonly number[];
  readonly cluster: readonly number[];
  readonly page: readonly number[];
}

type Numbers = readonly (number | null)[];

export interface ClusterColumns {
  readonly id: readonly string[];
  /** What its owner calls each; absent in reports of earlier versions. */
  readonly name?: readonly (string | null)[];
  readonly status: readonly string[];
  readonly error: readonly (string | null)[];
  readonly n_images: readonly number[];
  readonly n_members: readonly number[];
  readonly n_outliers: readonly number[];
  readonly n_new: Numbers;
  readonly deformation: readonly (string | null)[];
  readonly residual: Numbers;
  readonly cycle_error: Numbers;
  readonly fold_fraction: Numbers;
  readonly coverage: Numbers;
  readonly confidence: Numbers;
  readonly margin: Numbers;
  readonly drift: Numbers;
  readonly doubt: Numbers;
  /** Maps that matching does not bear out, and none to speak of; absent in reports of earlier versions. */
  readonly doubtful?: readonly boolean[];
  readonly not_aligned?: readonly boolean[];
  readonly seconds: Numbers;
  readonly device: readonly (string | null)[];
  readonly script: readonly (string | null)[];
  readonly wall_sheet: readonly number[];
  readonly wall_before: readonly number[];
  readonly wall_after: readonly number[];
  readonly wall_columns: readonly number[];
  readonly annotations?: readonly (string | null)[];
  /** What its owner says of its images; absent in reports of earlier versions. */
  readonly own?: readonly (string | null)[];
}

export interface Listing {
  readonly total: number;
  readonly rows: readonly (readonly [string, string])[];
}

export interface Histogram {
  readonly edges: readonly number[];
  readonly fits: readonly number[];
  readonly outliers: readonly number[];
  readonly unit: string;
  readonly about: string;
}

export interface CalibrationBin {
  readonly low: number;
  readonly high: number;
  readonly n: number;
  readonly confidence: number | null;
  readonly right: number | null;
}

export interface Calibration {
  readonly bins: readonly CalibrationBin[];
  readonly threshold: string;
  readonly points: number;
  readonly images: number;
}

export interface Quality {
  readonly histograms: { readonly [name: string]: Histogram };
  readonly calibration: Calibration | null;
  readonly drift: readonly (readonly [number, number | null, number | null] | { cluster: number; drift: number; n_new: number })[];
}

export interface AnnotationFacts {
  readonly file: string;
  readonly categories: readonly string[];
  readonly instances: number;
  readonly images: number;
}

export interface Packed {
  readonly shape: readonly [number, number, number, number];
  readonly lo: readonly number[];
  readonly step: readonly number[];
  readonly data: string;
}

export interface ClusterScript {
  readonly id: string;
  readonly facts: { readonly [column: string]: unknown };
  readonly images: {
    readonly average_before: string | null;
    readonly average_after: string | null;
    readonly colours: string | null;
    readonly size: number;
  };
  readonly atlas: { readonly side: number; readonly saliency: Packed; readonly confidence: Packed };
  readonly page_size: number;
  readonly total: number;
  readonly pages: readonly PageFacts[];
  readonly cell: number;
  readonly outliers: readonly (readonly [number, number, string, string | null])[];
  readonly zarr: string | null;
  /** How many further things of the kind were found, and in how many images; absent where there is none. */
  readonly several?: readonly [number, number];
  readonly copies: readonly (readonly [string, string])[];
}

export interface PageFacts {
  readonly script: string;
  readonly maps: string;
  readonly small: string;
  readonly count: number;
  readonly columns: number;
}

export interface MemberColumns {
  readonly image_id: readonly string[];
  readonly uri: readonly string[];
  readonly width: readonly number[];
  readonly height: readonly number[];
  readonly row: readonly number[];
  readonly role: readonly (string | null)[];
  readonly mirrored: readonly boolean[];
  readonly rotation: Numbers;
  readonly scale: Numbers;
  readonly translation_u: Numbers;
  readonly translation_v: Numbers;
  readonly residual: Numbers;
  readonly cycle_error: Numbers;
  readonly fold_fraction: Numbers;
  readonly coverage: Numbers;
  readonly confidence: Numbers;
  readonly outlier: readonly boolean[];
  readonly outlier_reason: readonly (string | null)[];
  readonly shown: readonly boolean[];
  /** Number, row in `instances.zarr` and mean confidence of further things of the kind; absent where there is none. */
  readonly further?: readonly (readonly (readonly [number, number, number])[])[];
  readonly neighbours: readonly (readonly (readonly [number, number])[])[];
}

export interface MembersScript {
  readonly rows: MemberColumns;
  /** WebP, base64: a page opened from disk may not read the pixels of an image file. */
  readonly sheet: string;
}

export interface PackedMaps {
  readonly forward: Packed;
  readonly forward_confidence: Packed;
  readonly backward: Packed;
  readonly backward_confidence: Packed;
}

export interface MapsScript extends PackedMaps {
  /** Of further things of the kind, member by member. */
  readonly further?: PackedMaps;
}

/** What the owner of the collection says of a cluster's images: a text or null a column, by image. */
export interface OwnScript {
  readonly cluster: string;
  readonly columns: readonly string[];
  readonly images: { readonly [id: string]: readonly (string | null)[] };
}

export interface AnnotationItem {
  readonly category: string;
  readonly instance: number;
  readonly marked: boolean;
  readonly confidence: number;
  /** name, x, y, confidence, visible, marked; x is null where it is not known. */
  readonly keypoints: readonly (readonly [string, number | null, number | null, number, number, number])[] | null;
  /** Rings [x0, y0, x1, y1, …] in pixels. */
  readonly outline: readonly (readonly number[])[] | null;
  readonly mask?: { readonly width: number; readonly height: number; readonly data: string } | null;
  readonly bbox: readonly [number, number, number, number] | null;
}

export interface AnnotationsScript {
  readonly cluster: string;
  readonly pages: readonly (readonly (readonly AnnotationItem[])[])[];
}
