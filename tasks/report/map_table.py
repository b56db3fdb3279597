"""The rows of the report's map, brought into its order in a temporary file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.report.cluster_page import PAGE, in_order
from congeal.report.embedding_map import stratified
from congeal.report.thumbnail_sheets import SMALL
from infra.storage.location import Location
from tasks.execution.duckdb_workspace import create_in_steps, insert, load, read_into, stream
from tasks.report import image_places
from tasks.report.owner_columns import OwnerColumn, owner_column
from tasks.report.page_units import LOOSE as LOOSE_IMAGES
from tasks.report.published_rows import PublishedRows

SAMPLE = 200_000  # images that a page shows; of more, a sample stratified by cluster
FITS, OUTLIER, LOOSE, EXCLUDED = 0, 1, 2, 3  # the column status
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
    "status": (pa.int8(), "0: fits its atlas; 1: does not; 2: has no cluster; 3: its owner has excluded it"),
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
_PLACES = ("x", "y")
_FOUND = pa.schema([pa.field("found_at", pa.int64()), *(field for field in MAP if field.name not in _PLACES)])
_BATCH = 8_192  # rows


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


@dataclass(frozen=True)
class MapRows:
    """A row an image, in the table `mapped` of a connection, the first `sample` of them the sample.

    rows: how many. own: the columns of the collection's owner, in that order, too.
    """

    connection: duckdb.DuckDBPyConnection
    rows: int
    sample: int
    own: tuple[OwnerColumn, ...] = ()

    def parts(self, most: int) -> Iterator[pa.Table]:
        """All rows in their order, with the columns of MAP, so many at a time."""
        waiting: list[pa.RecordBatch] = []
        for batch in stream(self.connection, f"SELECT {', '.join(MAP.names)} FROM mapped"):  # noqa: S608 - our own names
            waiting.append(batch)
            while sum(one.num_rows for one in waiting) >= most:
                whole = pa.Table.from_batches(waiting)
                yield _as_map(whole.slice(0, most))
                waiting = whole.slice(most).to_batches()
        if waiting:
            yield _as_map(pa.Table.from_batches(waiting))

    def some(self) -> pa.Table:
        """The sample."""
        query = f"SELECT {', '.join(MAP.names)} FROM mapped LIMIT {self.sample}"  # noqa: S608 - our own names
        return _table(stream(self.connection, query), MAP)

    def figures(self, name: str) -> Iterator[tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]]:
        """Status and value [n] of all rows of which a figure is known, a batch at a time."""
        query = f"SELECT status, {name} FROM mapped WHERE {name} IS NOT NULL AND isfinite({name})"  # noqa: S608 - our own names
        for batch in stream(self.connection, query):
            yield np.asarray(batch["status"]), np.asarray(batch[name]).astype(np.float64)


def map_rows(
    published: PublishedRows,
    places: Location,
    sheets: Sheets,
    confidences: Mapping[str, Sequence[float]],
    seed: int,
) -> MapRows:
    """All images that have a place, with their thumbnails and figures.

    places: the table of places. confidences: of members in the order of their page, by cluster.
    """
    connection = published.connection
    connection.execute("DROP TABLE IF EXISTS found")
    read_into(connection, "found", _FOUND.empty_table().to_reader())
    at = 0
    for part in _batches(_found(published, sheets, confidences)):
        columns = [list(range(at, at + len(part))), *map(list, zip(*part, strict=True))]
        insert(connection, "found", pa.table(dict(zip(_FOUND.names, columns, strict=True)), schema=_FOUND))
        at += len(part)
    connection.execute(
        f"UPDATE found SET status = {EXCLUDED} WHERE status = {LOOSE} AND image_id IN "  # noqa: S608 - our own names
        "(SELECT image_id FROM images WHERE excluded)"
    )
    load(connection, "places", [places], image_places.SCHEMA, "image_id, x, y")
    create_in_steps(
        connection,
        "placed",
        "SELECT found.*, x, y FROM found JOIN places USING (image_id)",
        "FROM {step} ORDER BY found_at",
        "SELECT *, row_number() OVER () - 1 AS placed_at FROM {step}",
    )
    count, sample = _rank(connection, seed)
    create_in_steps(
        connection,
        "mapped",
        "FROM placed JOIN ranks USING (placed_at)",
        "FROM {step} ORDER BY rank",
    )
    for done in ("found", "places", "placed", "ranks"):
        connection.execute(f"DROP TABLE {done}")
    return MapRows(connection, count, sample, _own(published) if count else ())


def _found(
    published: PublishedRows, sheets: Sheets, confidences: Mapping[str, Sequence[float]]
) -> Iterator[tuple[Any, ...]]:
    """Of every image what the map says but for its place: the columns of _FOUND without the first."""
    first = {
        (cluster, page): at
        for at, (cluster, page) in enumerate(zip(sheets.cluster, sheets.page, strict=True))
    }
    for number, cluster in enumerate(published.clusters()):
        if not cluster.has_atlas:
            continue
        sure = confidences.get(cluster.cluster_id, ())
        for at, row in enumerate(in_order(cluster.members)):
            sheet, status = first.get((number, at // PAGE), -1), OUTLIER if row.outlier else FITS
            figures = float(sure[at]) if at < len(sure) else None, row.residual, row.cycle_error, row.coverage
            yield row.image_id, row.uri, number, status, *figures, sheet, at % PAGE
    for page, bucket in enumerate(published.without_page(LOOSE_IMAGES)):
        sheet = first.get((-1, page), -1)
        for at, (number, row) in enumerate(bucket):
            figures = None, row.residual, row.cycle_error, row.coverage
            yield row.image_id, row.uri, number, LOOSE, *figures, sheet, at


def _batches(found: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    part: list[tuple[Any, ...]] = []
    for row in found:
        part.append(row)
        if len(part) == _BATCH:
            yield part
            part = []
    if part:
        yield part


def _rank(connection: duckdb.DuckDBPyConnection, seed: int) -> tuple[int, int]:
    """Number the rows of the table `placed`, those of the sample first; how many, and how many of these."""
    clusters = _table(stream(connection, "SELECT cluster FROM placed"), pa.schema([MAP.field("cluster")]))
    groups = clusters["cluster"].to_numpy()
    count = len(groups)
    chosen = stratified(groups, min(SAMPLE, count), seed)
    others = np.ones(count, np.bool_)
    others[chosen] = False
    placed_at = np.concatenate([chosen.astype(np.int32), np.flatnonzero(others).astype(np.int32)])
    ranks = pa.table({"placed_at": placed_at, "rank": np.arange(count, dtype=np.int32)})
    read_into(connection, "ranks", ranks.to_reader(_BATCH))
    return count, len(chosen)


def _own(published: PublishedRows) -> tuple[OwnerColumn, ...]:
    found = []
    for at, field in enumerate(published.own):
        query = f"SELECT c{at} FROM mapped LEFT JOIN own USING (image_id) ORDER BY rank"  # noqa: S608 - our own names
        column = _table(stream(published.connection, query), pa.schema([(f"c{at}", field.type)]))
        found.append(owner_column(field.name, column[f"c{at}"]))
    return tuple(found)


def _table(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    found = [
        pa.Table.from_batches([batch]).cast(pa.schema([(f.name, f.type) for f in schema]))
        for batch in batches
    ]
    return pa.concat_tables(found).replace_schema_metadata(schema.metadata) if found else schema.empty_table()


def _as_map(table: pa.Table) -> pa.Table:
    return table.combine_chunks().cast(MAP)
