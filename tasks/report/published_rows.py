"""What the published tables say, cluster by cluster, as the units of the report take it.

A row an image lies in a temporary file, never in memory: how much that is depends on the clusters, not on the
images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from congeal.alignment.outcomes import FAILED
from congeal.results.cluster_report import MemberRow
from congeal.results.outlier_counts import further_instances
from congeal.results.published_tables import SMALL_TABLES, PublishedTables
from congeal.results.schema.date_limits import within
from congeal.results.schema.instances import INSTANCE
from congeal.results.schema.own_fields import own_fields
from congeal.results.schema.tables import CLUSTERS
from infra.compute.temporary_folders import temporary_folder
from tasks.execution.duckdb_workspace import (
    create,
    create_in_steps,
    planning_connection,
    read_into,
    rows,
    scalar,
    scratch,
)

_IMAGES = ["image_id", "uri", "width", "height", "features_unit", "features_row"]
FURTHER = "further"
_ALIGNMENTS = [name for name in MemberRow._fields if name not in (*_IMAGES, FURTHER)]
_MEMBER = ", ".join(MemberRow._fields)
MOST = 1_000  # failures and duplicates that are named
_BATCH = 1_024  # clusters


@dataclass(frozen=True)
class ClusterRows:
    """A cluster and its members. copies: file, and the image that it is byte for byte."""

    facts: dict[str, Any]
    members: list[MemberRow]
    copies: list[tuple[str, str]]

    @property
    def cluster_id(self) -> str:
        """The cluster."""
        return str(self.facts["cluster_id"])

    @property
    def has_atlas(self) -> bool:
        """Whether there are maps to show."""
        return _has_atlas(self.facts)


class PublishedRows:
    """All that a report shows of the tables, read from a connection to a temporary file.

    Attributes:
        connection: with the tables `images`, `members`, `copies` and, if there are `own`, `own`.
        table: of the clusters, with the columns of `PublishedTables.clusters`, in its order.
        ids: of the clusters, in that order. atlases: their atlases' units, None for one without maps.
        sizes: how many members each has.
        own: the columns of the collection's owner; in the table `own` they are called c0, c1, …
        folder: a temporary one, for files that are too large for memory.
        notes: sentences on what is left out of them.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: pa.Table,
        own: Sequence[pa.Field],
        folder: Path,
        notes: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.notes = tuple(notes)
        self.connection = connection
        self.table = table
        self.own = tuple(own)
        self.ids: list[str] = table["cluster_id"].to_pylist()
        self.atlases = [row["atlas_unit"] if _has_atlas(row) else None for row in self.facts()]
        counted = connection.execute("SELECT number, count(*) FROM members GROUP BY number").fetchall()
        found = {number: count for number, count in counted if number is not None}
        self.sizes = [found.get(number, 0) for number in range(len(self.ids))]

    def facts(self) -> Iterator[dict[str, Any]]:
        """The rows of the table of clusters, in order."""
        for batch in self.table.to_batches(max_chunksize=_BATCH):
            yield from batch.to_pylist()

    def clusters(self) -> Iterator[ClusterRows]:
        """All clusters in the order of the table, their members by path; one is in memory at a time."""
        members = _InStep(self._rows(f"SELECT number, {_MEMBER} FROM members WHERE number IS NOT NULL"))  # noqa: S608 - our own names
        copies = _InStep(
            self._rows(
                "SELECT number, uri, same FROM copies WHERE number IS NOT NULL ORDER BY number, listed_at"
            )
        )
        for number, facts in enumerate(self.facts()):
            yield _cluster(facts, members.of(number), copies.of(number))

    def cluster(self, number: int) -> ClusterRows:
        """One of them."""
        (facts,) = self.table.slice(number, 1).to_pylist()
        members = self._rows(f"SELECT number, {_MEMBER} FROM members WHERE number = {number}")  # noqa: S608 - our own names
        copies = self._rows(
            f"SELECT number, uri, same FROM copies WHERE number = {number} ORDER BY listed_at"  # noqa: S608 - our own names
        )
        return _cluster(facts, [row[1:] for row in members], [row[1:] for row in copies])

    def without_page(self, most: int) -> Iterator[list[tuple[int, MemberRow]]]:
        """Images that no cluster's page shows, with the number of their cluster, which has failed; -1: none.

        They come by their ids, in lists of about ``most``, see `digits_of`.
        """
        count = int(scalar(self.connection, "SELECT count(*) FROM members WHERE NOT paged"))
        digits = digits_of(count, most)
        found = self._rows(
            f"SELECT coalesce(number, -1), {_MEMBER} FROM members WHERE NOT paged ORDER BY image_id"  # noqa: S608 - our own names
        )
        for _, group in groupby(found, key=lambda row: row[1][:digits]):
            yield [(row[0], MemberRow(*row[1:])) for row in group]

    def own_values(self) -> Iterator[tuple[int, list[list[Any]]]]:
        """What the owner says: a cluster's number; of each member, by path, its id and a value a column."""
        if not self.own:
            return
        cells = ", ".join(f"c{at}" for at in range(len(self.own)))
        found = self._rows(
            f"SELECT m.number, m.image_id, {cells} FROM members m JOIN own o USING (image_id) "  # noqa: S608 - our own names
            "WHERE m.number IS NOT NULL ORDER BY m.number, m.uri"
        )
        for number, group in groupby(found, key=itemgetter(0)):
            yield number, [list(row[1:]) for row in group]

    @property
    def failed(self) -> int:
        """How many images could not be used."""
        return int(scalar(self.connection, "SELECT count(*) FROM images WHERE status = 'failed'"))

    @property
    def failures(self) -> list[tuple[str, str]]:
        """The first of them, and why."""
        return list(
            self._rows(
                "SELECT uri, coalesce(error, '') FROM images WHERE status = 'failed' "  # noqa: S608 - our own names
                f"ORDER BY listed_at LIMIT {MOST}"
            )
        )

    @property
    def copied(self) -> int:
        """How many files are copies of others."""
        return int(scalar(self.connection, "SELECT count(*) FROM copies"))

    @property
    def duplicates(self) -> list[tuple[str, str]]:
        """The first of them, and the images that they are."""
        return list(self._rows(f"SELECT uri, same FROM copies ORDER BY listed_at LIMIT {MOST}"))  # noqa: S608 - our own names

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        return rows(self.connection, query)


@contextmanager
def published_rows(tables: PublishedTables) -> Iterator[PublishedRows]:
    """Read them into a temporary file, which goes at the end of the block.

    Raises UserError if there is no room for it.
    """
    with (
        temporary_folder("report") as home,
        closing(planning_connection(home)) as connection,
        scratch(connection, ()),
    ):
        yield _read(connection, tables, home)


def _read(connection: duckdb.DuckDBPyConnection, tables: PublishedTables, home: Path) -> PublishedRows:
    tables.fetch(*SMALL_TABLES)
    table = tables.clusters()
    _images(connection, tables)
    own = _own(connection, tables)
    numbers = pa.table(
        {
            "cluster_id": table["cluster_id"].cast(pa.string()),
            "number": pa.array(np.arange(table.num_rows, dtype=np.int32)),
            "maps": pa.array(
                [_has_atlas(row) for row in table.select(["status", "atlas_unit"]).to_pylist()], pa.bool_()
            ),
        }
    )
    read_into(connection, "numbers", numbers.to_reader())
    create(
        connection,
        "copies",
        "SELECT i.listed_at, i.uri, n.number, coalesce(o.uri, '') AS same FROM images i "
        "LEFT JOIN numbers n USING (cluster_id) "
        "LEFT JOIN images o ON o.image_id = i.image_id AND o.status = 'ok' WHERE i.status = 'duplicate'",
    )
    read_into(connection, "alignments", tables.batches("alignments", ["image_id", INSTANCE, *_ALIGNMENTS]))
    further = "SELECT NULL::VARCHAR AS image_id, 0 AS further WHERE false"
    if further_instances(tables.publication.counts)["found"]:
        further = (
            f"SELECT image_id, count(*) AS further FROM alignments WHERE {INSTANCE} > 0 GROUP BY image_id"  # noqa: S608 - our own names
        )
    measured = ", ".join(f"a.{name}" for name in _ALIGNMENTS)
    create_in_steps(
        connection,
        "members",
        f"SELECT n.number, coalesce(n.maps, false) AS paged, {', '.join(f'i.{name}' for name in _IMAGES)} "  # noqa: S608 - our own names
        "FROM images i LEFT JOIN numbers n USING (cluster_id) "
        "WHERE i.status = 'ok' AND (i.cluster_id IS NULL OR n.number IS NOT NULL)",
        f"SELECT s.*, {measured} FROM {{step}} s "  # noqa: S608 - our own names
        f"LEFT JOIN (FROM alignments WHERE coalesce({INSTANCE}, 0) = 0) a USING (image_id)",
        "SELECT s.*, coalesce(f.further, 0) AS further FROM {step} s "  # noqa: S608 - our own names
        f"LEFT JOIN ({further}) f USING (image_id)",
        "FROM {step} ORDER BY number, uri",
    )
    connection.execute("DROP TABLE alignments")
    return PublishedRows(connection, table, own, home, [note for note in (tables.note_on_dates,) if note])


def _images(connection: duckdb.DuckDBPyConnection, tables: PublishedTables) -> None:
    """The table of images, each with its place in the published order."""
    names = [*_IMAGES, "cluster_id", "status", "error", "excluded"]
    read_into(connection, "listed", tables.batches("images", names))
    create(connection, "images", "SELECT *, row_number() OVER () AS listed_at FROM listed")
    connection.execute("DROP TABLE listed")


def _own(connection: duckdb.DuckDBPyConnection, tables: PublishedTables) -> list[pa.Field]:
    fields = own_fields(tables.dataset("images").schema)
    if fields:
        found = tables.batches("images", ["status", "image_id", *(field.name for field in fields)])
        # Names that somebody else has chosen are no names of columns in a query.
        names = ["status", "image_id", *(f"c{at}" for at in range(len(fields)))]
        schema = pa.schema([field.with_name(name) for field, name in zip(found.schema, names, strict=True)])
        known = (within(pa.Table.from_batches([batch])).rename_columns(names) for batch in found)
        renamed = (batch for table in known for batch in table.cast(schema).to_batches())
        read_into(connection, "own", pa.RecordBatchReader.from_batches(schema, renamed))
        connection.execute("DELETE FROM own WHERE status <> 'ok'")
    return fields


def digits_of(count: int, most: int) -> int:
    """By how many of their first digits ``count`` names, hex digits each, are told apart into lists of about
    ``most``: so a name that comes or goes changes its own list alone, until they are all cut finer."""
    digits = 0
    while count > most * 16**digits:
        digits += 1
    return digits


def buckets(names: Sequence[str], most: int) -> Iterator[list[int]]:
    """Positions of names, hex digits each, cut where their first digits differ, see `digits_of`."""
    digits = digits_of(len(names), most)
    order = sorted(range(len(names)), key=lambda at: names[at])
    for _, group in groupby(order, key=lambda at: names[at][:digits]):
        yield list(group)


class _InStep:
    """Rows that come by the number in front of them, asked for by rising numbers."""

    def __init__(self, found: Iterator[tuple[Any, ...]]) -> None:
        self._groups = groupby(found, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, number: int) -> list[tuple[Any, ...]]:
        """The rest of the rows of this number."""
        if self._next is None or self._next[0] != number:
            return []
        found = [row[1:] for row in self._next[1]]
        self._next = next(self._groups, None)
        return found


def _cluster(
    facts: dict[str, Any], members: Sequence[tuple[Any, ...]], copies: Sequence[tuple[Any, ...]]
) -> ClusterRows:
    return ClusterRows(
        {name: facts.get(name) for name in CLUSTERS.names},
        [MemberRow(*row) for row in members],
        [(uri, same) for uri, same in copies],
    )


def _has_atlas(facts: dict[str, Any]) -> bool:
    return facts["status"] != FAILED and facts["atlas_unit"] is not None
