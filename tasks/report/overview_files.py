"""The files of the overview: the map of all images as Parquet and as scripts, the index of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from congeal.report.cluster_page import PAGE, in_order
from congeal.report.data_scripts import column, script, share_column
from congeal.report.embedding_map import stratified
from congeal.report.thumbnail_sheets import SMALL
from congeal.results.cluster_report import MemberRow
from tasks.report.image_places import Places
from tasks.report.owner_columns import OwnerColumn, owner_column
from tasks.report.published_rows import PublishedRows, buckets

SAMPLE = 200_000  # images that a page shows; of more, a sample stratified by cluster
ROW_GROUP = 50_000
FITS, OUTLIER, LOOSE = 0, 1, 2  # the column status
NONE = 0xFFFF_FFFF
METRICS = ("confidence", "residual", "cycle_error", "coverage")
BINS = 32
SHARES = ("coverage", "confidence")  # 0 to 1; the other figures begin at 0, too
ABOUT = {
    "residual": ("", "how far an image's features are from its atlas"),
    "cycle_error": ("atlas units", "from the atlas to the image and back: how far from where it began"),
    "coverage": ("share", "share of the atlas that an image covers"),
    "confidence": ("share", "mean confidence of an image's map over the object"),
}
_COLUMNS = {
    "image_id": (pa.string(), "the image"),
    "uri": (pa.string(), "path relative to the source"),
    "x": (pa.float32(), "place in the map, 0 to 1, right"),
    "y": (pa.float32(), "place in the map, 0 to 1, down"),
    "cluster": (pa.int32(), "position of the cluster in the report's index; -1: none"),
    "status": (pa.int8(), "0: fits its atlas; 1: does not; 2: has no cluster"),
    "confidence": (pa.float32(), ABOUT["confidence"][1]),
    "residual": (pa.float32(), ABOUT["residual"][1]),
    "cycle_error": (pa.float32(), ABOUT["cycle_error"][1]),
    "coverage": (pa.float32(), ABOUT["coverage"][1]),
    "sheet": (pa.int32(), "position of the sheet of thumbnails in the report's index; -1: none"),
    "cell": (pa.int32(), "cell of that sheet; in a cluster also the position within its page"),
}
MAP = pa.schema(
    [pa.field(name, kind, metadata={"description": about}) for name, (kind, about) in _COLUMNS.items()],
    metadata={
        b"congeal.table": b"map",
        b"congeal.description": b"Where every image is in the map of the report, and how well it fits.",
        b"congeal.schema_version": b"1",
    },
)


@dataclass(frozen=True)
class MapRows:
    """A row an image, in the order of the table, the first `sample` of them the stratified sample.

    own: the columns of the collection's owner, in that order, too.
    """

    table: pa.Table
    sample: int
    own: tuple[OwnerColumn, ...] = ()


@dataclass(frozen=True)
class Sheets:
    """Small thumbnails: paths from the report's folder; columns of cells; cluster and page, or -1."""

    path: list[str]
    columns: list[int]
    cluster: list[int]
    page: list[int]

    @property
    def facts(self) -> dict[str, Any]:
        """As the index has them."""
        return {"cell": SMALL, **vars(self)}


def map_rows(
    rows: PublishedRows,
    places: Places,
    sheets: Sheets,
    confidences: Mapping[str, Sequence[float]],
    seed: int,
) -> MapRows:
    """All images that have a place, with their thumbnails and figures. confidences: by cluster."""
    first = {
        (cluster, page): at
        for at, (cluster, page) in enumerate(zip(sheets.cluster, sheets.page, strict=True))
    }
    found: list[tuple[Any, ...]] = []
    owner = {row.image_id: -1 for row in rows.loose}
    for number, cluster in enumerate(rows.clusters):
        if not cluster.has_atlas:
            owner |= {row.image_id: number for row in cluster.members}
            continue
        sure = confidences.get(cluster.cluster_id, ())
        for at, row in enumerate(in_order(cluster.members)):
            sheet = first.get((number, at // PAGE), -1)
            status = OUTLIER if row.outlier else FITS
            found.append((row, number, status, sure[at] if at < len(sure) else None, sheet, at % PAGE))
    for page, bucket in enumerate(loose_buckets(rows.without_page)):
        sheet = first.get((-1, page), -1)
        found += [(row, owner[row.image_id], LOOSE, None, sheet, at) for at, row in enumerate(bucket)]
    found = [one for one in found if one[0].image_id in places.by_id]
    shown = in_sample_order(_table(found, places), seed)
    return replace(shown, own=_own(shown.table["image_id"], rows.own))


def _own(image_ids: pa.ChunkedArray, own: pa.Table) -> tuple[OwnerColumn, ...]:
    if own.num_columns < 2 or not len(image_ids):
        return ()
    at = pc.index_in(image_ids, value_set=own["image_id"])
    return tuple(owner_column(name, own[name].take(at)) for name in own.column_names if name != "image_id")


def loose_buckets(rows: Sequence[MemberRow]) -> list[list[MemberRow]]:
    """Images without a page of a cluster, as they share sheets."""
    from tasks.report.page_units import LOOSE as MOST

    return [[rows[at] for at in bucket] for bucket in buckets([row.image_id for row in rows], MOST)]


def in_sample_order(table: pa.Table, seed: int) -> MapRows:
    """The rows of a table as MAP has them, those of the sample first."""
    chosen = stratified(table["cluster"].to_numpy(), min(SAMPLE, table.num_rows), seed)
    rest = np.setdiff1d(np.arange(table.num_rows), chosen, assume_unique=True)
    order = np.concatenate([chosen, rest])
    return MapRows(table.take(pa.array(order)).cast(MAP), len(chosen))


def map_files(rows: MapRows) -> dict[str, bytes]:
    """map.parquet with all rows; map.js and names.js with the sample."""
    sink = pa.BufferOutputStream()
    repeated = ["cluster", "status", "sheet"]
    table = rows.table
    for name, own in _own_names(rows):
        about = {"description": f"the owner's column {own.name}, by the report's index"}
        codes = pa.array(own.codes.astype(np.int32))
        table = table.append_column(pa.field(name, pa.int32(), metadata=about), codes)
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", use_dictionary=repeated, write_page_index=True
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
    some = rows.table.slice(0, rows.sample)

    def whole(name: str, kind: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
        values = some[name].to_numpy().astype(np.int64)
        return np.where(values < 0, NONE, values).astype(kind)

    columns: dict[str, Any] = {
        name: column(np.rint(some[name].to_numpy().clip(0, 1) * 65_535).astype(np.uint16))
        for name in ("x", "y")
    }
    columns |= {
        "cluster": column(whole("cluster", np.uint32)),
        "status": column(whole("status", np.uint8)),
        "sheet": column(whole("sheet", np.uint32)),
        "cell": column(whole("cell", np.uint16)),
    }
    columns |= {name: share_column(_floats(some, name)) for name in METRICS}
    columns |= {name: column(own.codes[: rows.sample]) for name, own in _own_names(rows)}
    return {
        "map.parquet": bytes(sink.getvalue()),
        "map.js": script("map", {"rows": rows.sample, "columns": columns}),
        "names.js": script("names", {"uri": some["uri"].to_pylist()}),
    }


def own_facts(rows: MapRows) -> list[dict[str, Any]]:
    """The owner's columns as the index has them, each with the name of its column in the map's files."""
    return [{"column": name, **own.facts} for name, own in _own_names(rows)]


def _own_names(rows: MapRows) -> list[tuple[str, OwnerColumn]]:
    # Names that somebody else has chosen might be those of the map's own columns.
    return [(f"own_{number}", own) for number, own in enumerate(rows.own)]


def histograms(table: pa.Table) -> dict[str, Any]:
    """How the figures are spread, of images that fit and of those that do not."""
    found: dict[str, Any] = {}
    status = table["status"].to_numpy()
    for name in METRICS:
        values = _floats(table, name)
        known = np.isfinite(values)
        unit, about = ABOUT[name]
        high = 1.0 if name in SHARES or not known.any() else float(values[known].max())
        edges = np.linspace(0.0, high or 1.0, BINS + 1)
        found[name] = {
            "edges": [round(float(edge), 6) for edge in edges],
            "fits": np.histogram(values[known & (status == FITS)], edges)[0].tolist(),
            "outliers": np.histogram(values[known & (status == OUTLIER)], edges)[0].tolist(),
            "unit": unit,
            "about": about,
        }
    return found


def _table(found: Sequence[tuple[Any, ...]], places: Places) -> pa.Table:
    members = [one[0] for one in found]
    at = [places.by_id[row.image_id] for row in members]
    columns: dict[str, Any] = {
        "image_id": [row.image_id for row in members],
        "uri": [row.uri for row in members],
        "x": [x for x, _ in at],
        "y": [y for _, y in at],
        "cluster": [one[1] for one in found],
        "status": [one[2] for one in found],
        "confidence": [one[3] for one in found],
        **{name: [getattr(row, name) for row in members] for name in ("residual", "cycle_error", "coverage")},
        "sheet": [one[4] for one in found],
        "cell": [one[5] for one in found],
    }
    return pa.table({name: columns[name] for name in MAP.names}, schema=MAP)


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), np.float64)
