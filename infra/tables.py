"""The tables: Parquet with explicit, versioned schemas that say what every column means.

SCHEMA_VERSION is raised by hand whenever a reader of the old version could be wrong about the new one: a
column that goes, is renamed, or changes its type, its unit or its meaning, and also a new column. An older
congeal refuses a newer version in one sentence; a newer one reads an older version, see
`infra.schema_history`. How rows are encoded, cut into files and sorted is not part of it: any Parquet reader
follows that by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from infra.commits import in_threads
from infra.errors import DamagedError
from infra.field_ids import field_id
from infra.schema_history import as_of, lacking
from infra.storage import Location

SCHEMA_VERSION = 3
ROW_GROUP = 65_536
COORDINATES = (
    "x, y: pixels of the original image after EXIF orientation, x right, y down, (0, 0) the centre of the "
    "top-left pixel. u, v: atlas coordinates, the square [-1, 1]^2, u right, v down, cell centres as torch's "
    "align_corners=False."
)

_TEXT = pa.string()
_CATEGORY = pa.dictionary(pa.int32(), pa.string())


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
    "same bytes under several names.",
    ("uri",),
    ("image_id", _TEXT, "first 32 hex digits of the SHA-256 of the bytes; null if they could not be read"),
    ("uri", _TEXT, "path relative to the source"),
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
        "it failed. A duplicate has its image's value",
    ),
    ("features_unit", _TEXT, "unit that holds the features, scope/unit"),
    ("features_row", pa.int32(), "row of the features in their unit"),
)

CLUSTERS = _schema(
    "clusters",
    "One row a set of images that show the same kind of thing, and that share one atlas.",
    ("cluster_id",),
    ("cluster_id", _TEXT, "digest of the images that founded it; it keeps it as they come and go"),
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
    ("residual", pa.float32(), "median residual of the images that fit"),
    ("cycle_error", pa.float32(), "median cycle error of the images that fit, atlas units"),
    ("fold_fraction", pa.float32(), "median share of the map that is folded, of the images that fit, 0 to 1"),
    ("coverage", pa.float32(), "median share of the atlas that an image covers, of those that fit, 0 to 1"),
    ("confidence", pa.float32(), "median confidence of the images that fit, 0 to 1"),
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
    "One row an image that has a cluster: its pose, its quality, whether it fits.",
    ("cluster_id", "image_id"),
    ("image_id", _TEXT, "the image"),
    ("cluster_id", _TEXT, "its cluster"),
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
    "One row for every salient point of an atlas in every image of its cluster: where the point is there.",
    ("cluster_id", "image_id", "point_id"),
    ("cluster_id", _TEXT, "the cluster"),
    ("point_id", pa.int32(), "point of the atlas: row * lattice + column"),
    ("u", pa.float32(), "atlas coordinate, right"),
    ("v", pa.float32(), "atlas coordinate, down"),
    ("image_id", _TEXT, "the image"),
    ("x", pa.float32(), "pixels of the original image, right"),
    ("y", pa.float32(), "pixels of the original image, down"),
    ("confidence", pa.float32(), "0 to 1"),
    ("visible", pa.bool_(), "true if the point is seen in the image"),
)

TABLES = {
    "images": IMAGES,
    "clusters": CLUSTERS,
    "alignments": ALIGNMENTS,
    "correspondences": CORRESPONDENCES,
}

# Few values that repeat, and measurements whose bytes compress better apart.
_REPEATED = ("point_id", "u", "v")
_SPLIT = ("x", "y", "confidence")
# In row groups that are not sorted by it, a reader finds an image without reading its column.
_SOUGHT = {"correspondences": "image_id", "alignments": "image_id", "images": "image_id"}


def encode_table(table: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema) -> bytes:
    """Parquet bytes of ``table`` with exactly the columns of ``schema``, in its order.

    The rows come sorted as the schema says. The same rows give the same bytes, however they are cut into
    batches; beside these, memory holds one row group. Raises ``ValueError`` for a missing or extra column and
    ``pa.ArrowInvalid`` for a value that does not fit its column.
    """
    batches = table.to_batches(max_chunksize=ROW_GROUP) if isinstance(table, pa.Table) else table
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **_layout(schema)) as writer:
        for group in _row_groups(_cast(batch, schema) for batch in batches):
            writer.write_table(group, row_group_size=ROW_GROUP)
    return bytes(sink.getvalue())


def _layout(schema: pa.Schema) -> dict[str, Any]:
    facts = schema.metadata or {}
    table = facts.get(b"congeal.table", b"").decode()
    order = [name for name in facts.get(b"congeal.sorted_by", b"").decode().split(", ") if name]
    repeated = [
        field.name
        for field in schema
        if field.type in (_TEXT, _CATEGORY) or (table == "correspondences" and field.name in _REPEATED)
    ]
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": repeated, "write_page_index": True}
    if table == "correspondences":
        options["use_byte_stream_split"] = list(_SPLIT)
    if order:
        ordering = [(name, "ascending") for name in order]
        options["sorting_columns"] = pq.SortingColumn.from_ordering(schema, ordering)
    if table in _SOUGHT:
        # As many values as a row group can have, but for correspondences, where an image has many rows.
        values = ROW_GROUP // 64 if table == "correspondences" else ROW_GROUP
        options["bloom_filter_options"] = {_SOUGHT[table]: {"ndv": values, "fpp": 0.01}}
    return options


def dataset(locations: Sequence[Location], schema: pa.Schema) -> pyarrow.dataset.Dataset:
    """One dataset over Parquet files of the same schema; those of an older version lack what is new (null).

    Its schema says what the columns mean in the oldest of the files (`infra.schema_history`). Raises
    ``DamagedError`` for a file that is no Parquet, of another table, or of a newer schema version.
    """
    if not locations:
        return pyarrow.dataset.dataset(schema.empty_table())
    oldest = min(in_threads(lambda location: _check(location, schema), list(locations)))
    if oldest < int(schema.metadata[b"congeal.schema_version"]):
        schema = as_of(schema, oldest)
    filesystem, _ = locations[0].arrow_filesystem()
    paths = [location.arrow_filesystem()[1] for location in locations]
    return pyarrow.dataset.dataset(paths, schema=schema, filesystem=filesystem, format="parquet")


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    table = pa.Table.from_batches([batch])
    missing = [name for name in schema.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in schema.names]
    if missing or extra:
        raise ValueError(f"columns do not fit the schema: missing {missing}, extra {extra}")
    return table.select(schema.names).cast(schema)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Cut a stream of tables anew, so that every row group but the last is full."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROW_GROUP:
            whole = _joined(waiting)
            yield _joined([whole.slice(0, ROW_GROUP)])
            waiting = [whole.slice(ROW_GROUP)]
            rows -= ROW_GROUP
    if rows:
        yield _joined(waiting)


def _joined(tables: list[pa.Table]) -> pa.Table:
    # One chunk a column and one dictionary: how rows were cut before must not show in the bytes.
    table = pa.concat_tables(tables).combine_chunks()
    columns = [
        column.cast(_TEXT).combine_chunks().dictionary_encode().cast(_CATEGORY)
        if pa.types.is_dictionary(column.type)
        else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _check(location: Location, schema: pa.Schema) -> int:
    """The schema version of a file; ``DamagedError`` if it is not what its name says."""
    try:
        with location.open() as file:
            found = pq.read_schema(file)
    except pa.ArrowInvalid as fault:
        raise DamagedError(f"{location} is no Parquet file: run congeal again to write it anew.") from fault
    facts = found.metadata or {}
    expected = schema.metadata[b"congeal.table"]
    if facts.get(b"congeal.table") != expected:
        raise DamagedError(f"{location} does not hold the table {expected.decode()}: run congeal again.")
    version = facts.get(b"congeal.schema_version", b"")
    if not version.isdigit() or int(version) > int(schema.metadata[b"congeal.schema_version"]):
        raise DamagedError(f"{location} has the newer schema version {version.decode()}: upgrade congeal.")
    missing = lacking(expected.decode(), int(version))
    if not found.equals(pa.schema([field for field in schema if field.name not in missing])):
        raise DamagedError(f"{location} has not the columns of {expected.decode()}: run congeal again.")
    return int(version)
