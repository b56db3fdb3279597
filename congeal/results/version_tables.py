"""Two versions of a destination side by side, in tables of a file: memory does not grow with images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from congeal.results.published_version import Published
from congeal.results.schema.rows import ClusterRow
from infra.compute.duckdb_workspace import (
    create_in_steps,
    planning_connection,
    read_into,
    rows,
    scalar,
    scratch,
)
from infra.compute.temporary_folders import temporary_folder

# An image that both versions have, and one that only one of them has.
_BOTH, _COME, _GONE = (
    "was_uri IS NOT NULL AND now_uri IS NOT NULL",
    "was_uri IS NULL",
    "now_uri IS NULL",
)
_MOVED = f"{_BOTH} AND was_cluster IS DISTINCT FROM now_cluster"


class SharedCluster(NamedTuple):
    """A cluster of both versions that is not the same: places of its rows; images that joined and left."""

    was_at: int
    now_at: int
    joined: int
    left: int


@dataclass(frozen=True)
class VersionTables:
    """The sound images and the clusters of an earlier and a later version.

    was, now: tables of clusters, as published. connection: with `images`, a row an image of either version by
    its id (path and cluster in both, null where it is not there), and the clusters, `clusters_was`,
    `clusters_now` and `changed`.
    """

    connection: duckdb.DuckDBPyConnection
    was: pa.Table
    now: pa.Table

    def images(self) -> tuple[int, int]:
        """How many there are before and after."""
        return self._count("SELECT count(was_uri) FROM images"), self._count(
            "SELECT count(now_uri) FROM images"
        )

    def come(self, most: int | None) -> tuple[int, list[str]]:
        """How many are new, and the paths of the first."""
        return self._named("now_uri", _COME, "now_uri", most)

    def gone(self, most: int | None) -> tuple[int, list[str]]:
        """How many have gone, and the paths of the first."""
        return self._named("was_uri", _GONE, "was_uri", most)

    def renamed(self, most: int | None) -> tuple[int, list[tuple[str, str, str]]]:
        """How many have another path; id, path before and after of the first."""
        return self._found("image_id, was_uri, now_uri", f"{_BOTH} AND was_uri <> now_uri", "now_uri", most)

    def moved(self, most: int | None) -> tuple[int, list[tuple[str, str, str | None, str | None]]]:
        """How many have another cluster; id, path, cluster before and after of the first."""
        return self._found("image_id, now_uri, was_cluster, now_cluster", _MOVED, "now_uri", most)

    def new(self, most: int | None) -> tuple[int, list[int]]:
        """How many clusters only `now` has, and the places of the first."""
        return self._of_one("clusters_now", "clusters_was", most)

    def lost(self, most: int | None) -> tuple[int, list[int]]:
        """How many clusters only `was` has, and the places of the first."""
        return self._of_one("clusters_was", "clusters_now", most)

    def in_both(self) -> int:
        """How many clusters both versions have."""
        return self._count("SELECT count(*) FROM clusters_was JOIN clusters_now USING (cluster_id)")

    def changed(self, most: int | None) -> tuple[int, list[SharedCluster]]:
        """How many of them have another atlas, other images or another name, and the first by their ids."""
        found = rows(self.connection, f"FROM changed ORDER BY cluster_id {_limit(most)}")
        listed = [SharedCluster(*facts) for _, *facts in found]
        return self._count("SELECT count(*) FROM changed"), listed

    def largest(self, most: int | None) -> frozenset[int]:
        """Places in `now` of the largest of these, or of all."""
        order = "ORDER BY n_images DESC, cluster_id"
        query = f"SELECT now_at FROM changed JOIN clusters_now USING (cluster_id) {order} {_limit(most)}"  # noqa: S608 - our own names
        return frozenset(at for (at,) in rows(self.connection, query))

    def shared(self, cluster: str) -> set[str]:
        """The ids of the images that are in a cluster in both versions."""
        asked = "SELECT image_id FROM images WHERE now_cluster = ? AND was_cluster = now_cluster"
        return {image for (image,) in self.connection.execute(asked, [cluster]).fetchall()}

    def _count(self, query: str) -> int:
        return int(scalar(self.connection, query))

    def _found(self, columns: str, which: str, order: str, most: int | None) -> tuple[int, list[Any]]:
        query = f"SELECT {columns} FROM images WHERE {which} ORDER BY {order} {_limit(most)}"  # noqa: S608 - our own names
        listed = list(rows(self.connection, query))
        if most is None or len(listed) < most:
            return len(listed), listed
        return self._count(f"SELECT count(*) FROM images WHERE {which}"), listed  # noqa: S608 - our own names

    def _named(self, column: str, which: str, order: str, most: int | None) -> tuple[int, list[str]]:
        count, found = self._found(column, which, order, most)
        return count, [uri for (uri,) in found]

    def _of_one(self, there: str, other: str, most: int | None) -> tuple[int, list[int]]:
        which = f"FROM {there} t ANTI JOIN {other} o USING (cluster_id)"
        query = f"SELECT t.at {which} ORDER BY t.cluster_id {_limit(most)}"
        listed = [at for (at,) in rows(self.connection, query)]
        return self._count(f"SELECT count(*) {which}"), listed


def row_of(clusters: pa.Table, at: int) -> ClusterRow:
    """A row of `was` or `now`."""
    (found,) = clusters.slice(at, 1).to_pylist()
    row: ClusterRow = found
    return row


def _limit(most: int | None) -> str:
    return "" if most is None else f"LIMIT {most}"


@contextmanager
def version_tables(before: Published, after: Published) -> Iterator[VersionTables]:
    """Read both into a temporary file, which goes at the end. Raises UserError if there is no room for it."""
    with (
        _arrows_own_memory(),
        temporary_folder("diff") as home,
        closing(planning_connection(home)) as connection,
        scratch(connection, ()),
    ):
        for name, version in (("was", before), ("now", after)):
            found = version.tables.batches("images", ["image_id", "uri", "cluster_id", "status"])
            read_into(connection, f"{name}_images", found)
        create_in_steps(
            connection,
            "images",
            "SELECT image_id, w.uri AS was_uri, n.uri AS now_uri, w.cluster_id AS was_cluster, "
            "n.cluster_id AS now_cluster FROM (FROM was_images WHERE status = 'ok') w "
            "FULL JOIN (FROM now_images WHERE status = 'ok') n USING (image_id)",
            "FROM {step} ORDER BY now_cluster, image_id",  # those of one cluster are then found at once
        )
        for name in ("was", "now"):
            connection.execute(f"DROP TABLE {name}_images")
        was, now = (
            _clusters(connection, name, of)
            for name, of in (("clusters_was", before), ("clusters_now", after))
        )
        _changed(connection)
        yield VersionTables(connection, was, now)


@contextmanager
def _arrows_own_memory() -> Iterator[None]:
    """Where Arrow takes memory from is as before at the end: the process may be a user's program."""
    pool = pa.default_memory_pool()
    try:
        yield
    finally:
        pa.set_memory_pool(pool)


def _changed(connection: duckdb.DuckDBPyConnection) -> None:
    """The clusters of both versions that are not the same, and how many images have joined and left each."""
    for table, column, count in (
        ("arrivals", "now_cluster", "joined"),
        ("departures", "was_cluster", "gone"),
    ):
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {column} AS cluster_id, count(*) AS {count} FROM images "  # noqa: S608 - our own names
            f"WHERE {column} IS NOT NULL AND was_cluster IS DISTINCT FROM now_cluster GROUP BY 1"
        )
    connection.execute(
        "CREATE TABLE changed AS SELECT n.cluster_id, w.at AS was_at, n.at AS now_at, coalesce(joined, 0), "
        "coalesce(gone, 0) FROM clusters_now n JOIN clusters_was w USING (cluster_id) "
        "LEFT JOIN arrivals a USING (cluster_id) LEFT JOIN departures d USING (cluster_id) "
        "WHERE w.atlas_unit IS DISTINCT FROM n.atlas_unit OR w.name IS DISTINCT FROM n.name "
        "OR joined > 0 OR gone > 0"
    )


def _clusters(connection: duckdb.DuckDBPyConnection, name: str, version: Published) -> pa.Table:
    table = version.tables.dataset("clusters").to_table()
    places = pa.array(range(table.num_rows), pa.int32())
    some = table.select(["cluster_id", "atlas_unit", "name", "n_images"]).append_column("at", places)
    read_into(connection, name, some.to_reader())
    return table
