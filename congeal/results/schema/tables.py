"""The tables: Parquet with explicit, versioned schemas that say what every column means.

SCHEMA_VERSION is raised by hand whenever a reader of the old version could be wrong about the new one: a
column that goes, is renamed, or changes its type, its unit or its meaning, and also a new column. An older
congeal refuses a newer version in one sentence; a newer one reads an older version, see
`congeal.results.schema.history`. How rows are encoded, cut into files and sorted is not part of it: any
Parquet reader follows that by itself.
"""

from __future__ import annotations

import pyarrow as pa

from congeal.results.schema.field_ids import field_id
from congeal.results.schema.table_names import TABLE_NAMES

SCHEMA_VERSION = 7
COORDINATES = (
    "x, y: pixels of the original image after EXIF orientation, x right, y down, (0, 0) the centre of the "
    "top-left pixel. u, v: atlas coordinates, the square [-1, 1]^2, u right, v down, cell centres as torch's "
    "align_corners=False."
)

_TEXT = pa.string()
_CATEGORY = pa.dictionary(pa.int32(), pa.string())
_INSTANCE = (
    "which of the things of the kind in the image: 0 is the one that the set was aligned by, 1, 2, … are "
    "further ones; null in tables of schema version 6 and before, which know none but the first"
)


def _schema(
    table: str, description: str, order: tuple[str, ...], *columns: tuple[str, pa.DataType, str]
) -> pa.Schema:
    fields = [
        pa.field(name, kind, metadata={"description": about, "PARQUET:field_id": str(field_id(table, name))})
        for name, kind, about in columns
    ]
    facts = {
        b"congeal.table": table.encode(),
        b"congeal.description": description.encode(),
        b"congeal.sorted_by": ", ".join(order).encode(),
        b"congeal.schema_version": str(SCHEMA_VERSION).encode(),
        b"congeal.coordinates": COORDINATES.encode(),
    }
    return pa.schema(fields, metadata=facts)


IMAGES = _schema(
    "images",
    "One row an object of the source that is called like an image. Several rows may share an image_id: the "
    "same bytes under several names. After these columns come those of the collection's owner, if there are "
    "any.",
    ("uri",),
    ("image_id", _TEXT, "first 32 hex digits of the SHA-256 of the bytes; null if they could not be read"),
    ("uri", _TEXT, "path relative to the source; a whole URL if it lies outside the first place of it"),
    ("bytes", pa.int64(), "size of the object"),
    ("etag", _TEXT, "the store's entity tag; the MD5 of the bytes where the store has none"),
    ("width", pa.int32(), "pixels, after EXIF orientation"),
    ("height", pa.int32(), "pixels, after EXIF orientation"),
    ("format", _TEXT, "file format, such as JPEG"),
    ("status", _CATEGORY, "ok, failed or duplicate"),
    ("error", _TEXT, "why the image failed"),
    (
        "cluster_id",
        _TEXT,
        "cluster of the image; null if it failed, or is of no kind that enough show",
    ),
    (
        "outlier",
        pa.bool_(),
        "true if the image has no cluster, or does not fit its cluster's atlas (alignments.outlier); null if "
        "it failed or is excluded. A duplicate has its image's value",
    ),
    (
        "excluded",
        pa.bool_(),
        "true if the collection's owner has excluded the image, so that it has no cluster; null if it failed",
    ),
    ("features_unit", _TEXT, "unit that holds the features, scope/unit"),
    ("features_row", pa.int32(), "row of the features in their unit"),
)

CLUSTERS = _schema(
    "clusters",
    "One row a set of images that show the same kind of thing, and that share one atlas.",
    ("cluster_id",),
    ("cluster_id", _TEXT, "digest of the images that founded it; it keeps it as they come and go"),
    ("name", _TEXT, "what the collection's owner calls it (see docs/corrections.md); null without a name"),
    (
        "status",
        _TEXT,
        "ok; single: one image; nothing-in-common: nothing that its images share was found; collapsed: what "
        "came out is no alignment. In these two every confidence is 0. failed: there is no atlas, see error",
    ),
    ("error", _TEXT, "why there is no atlas; null if there is one"),
    ("n_images", pa.int32(), "images in the cluster"),
    ("n_members", pa.int32(), "images that built the atlas"),
    ("n_outliers", pa.int32(), "images that do not fit the atlas, as alignments.outlier"),
    ("n_new", pa.int32(), "images that came after the atlas was built"),
    ("medoid_image_id", _TEXT, "the image nearest to all others"),
    (
        "deformation",
        _TEXT,
        "what the maps have beyond a pose: rigid: nothing, they move, turn, scale and mirror, so that what "
        "is carried by them is a copy of one shape; flow: a smooth flow; guided: matching, cell by cell",
    ),
    (
        "maps_from",
        _TEXT,
        "direct: the direct solver; networks: mapping networks (alignment.method=neural); direct-better: "
        "networks were trained, and the direct maps kept, since free matches bear them out better; "
        "direct-diverged: the training went wrong twice, and the direct maps stay; direct-untrained: too "
        "little in common to train on; null if there are no maps, or it is not known",
    ),
    (
        "fixed_camera",
        pa.bool_(),
        "true if the images are frames of a fixed camera: then what moves is aligned, and the scene, which "
        "stays in its place, is taken for background; null if it is not known",
    ),
    (
        "match_agreement",
        pa.float32(),
        "share of plain matches between the images' features, there and back, that the maps agree with, 0 to "
        "1; a cluster whose maps are rigid or flow and that is under 0.67 is doubtful: look at it "
        "before you rely on it; null if it is not known",
    ),
    ("residual", pa.float32(), "median residual of the images that fit"),
    ("cycle_error", pa.float32(), "median cycle error of the images that fit, atlas units"),
    ("fold_fraction", pa.float32(), "median share of the map that is folded, of the images that fit, 0 to 1"),
    ("coverage", pa.float32(), "median share of the atlas that an image covers, of those that fit, 0 to 1"),
    (
        "confidence",
        pa.float32(),
        "median, over the images that fit, of a map's mean confidence on the object, 0 to 1",
    ),
    (
        "margin",
        pa.float32(),
        "how far the chosen facings (mirrored or not) are ahead of the opposite ones, -1 to 1; near 0 the "
        "things look the same in a mirror",
    ),
    ("drift", pa.float32(), "median residual of newcomers over that of the images before; null without any"),
    ("backbone", _TEXT, "timm name"),
    ("weights_fingerprint", _TEXT, "digest of the backbone's weights"),
    ("atlas_unit", _TEXT, "unit that holds the atlas, scope/unit"),
)

ALIGNMENTS = _schema(
    "alignments",
    "One row an image that has a cluster: its pose, its quality, whether it fits. Where an image shows "
    "several of the kind and they were looked for (alignment.instances_max), one row an instance.",
    ("cluster_id", "image_id", "instance_id"),
    ("image_id", _TEXT, "the image"),
    ("cluster_id", _TEXT, "its cluster"),
    ("instance_id", pa.int32(), _INSTANCE),
    ("role", _TEXT, "member: built the atlas; fitted: fitted to it then; newcomer: fitted to it since"),
    ("mirrored", pa.bool_(), "true if the image shows the mirrored atlas"),
    ("rotation", pa.float32(), "of the similarity from atlas to frame, radians"),
    ("scale", pa.float32(), "of the similarity from atlas to frame"),
    ("translation_u", pa.float32(), "of the similarity from atlas to frame, frame units"),
    ("translation_v", pa.float32(), "of the similarity from atlas to frame, frame units"),
    ("residual", pa.float32(), "how far the features are from the atlas"),
    (
        "cycle_error",
        pa.float32(),
        "from the atlas to the image by the map maps/forward and back by maps/backward: mean distance, in "
        "atlas units (half the atlas' side), between where a cell began and where it ends, over the cells "
        "whose saliency is more than 0.3 and that lie in the image's square frame; null if there are none",
    ),
    ("fold_fraction", pa.float32(), "share of the map that is folded, 0 to 1"),
    ("coverage", pa.float32(), "share of the atlas that the image covers, 0 to 1"),
    ("outlier", pa.bool_(), "true if the image does not fit the atlas"),
    ("outlier_reason", _TEXT, "why it does not"),
)

CORRESPONDENCES = _schema(
    "correspondences",
    "One row for every salient point of an atlas in every image of its cluster: where the point is there. "
    "Images with several instances have their rows for each.",
    ("cluster_id", "image_id", "instance_id", "point_id"),
    ("cluster_id", _TEXT, "the cluster"),
    ("point_id", pa.int32(), "point of the atlas: row * lattice + column"),
    ("u", pa.float32(), "atlas coordinate, right"),
    ("v", pa.float32(), "atlas coordinate, down"),
    ("image_id", _TEXT, "the image"),
    ("instance_id", pa.int32(), _INSTANCE),
    ("x", pa.float32(), "pixels of the original image, right"),
    ("y", pa.float32(), "pixels of the original image, down"),
    ("confidence", pa.float32(), "0 to 1"),
    ("visible", pa.bool_(), "true if the point is seen in the image"),
)

TABLES = dict(zip(TABLE_NAMES, (IMAGES, CLUSTERS, ALIGNMENTS, CORRESPONDENCES), strict=True))
