"""Sets that are known: the images of a folder, or those with the same value in a column of their owner's.

Each group is sorted, and grows, by itself, as a whole source is: as one set, or split by what its images
show. Who has no group belongs to no set. An image whose group has changed leaves its set, and comes to the
other one as a newcomer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.own_fields import own_fields
from congeal.settings import Settings
from tasks.catalog.catalog_slices import CATALOG
from tasks.catalog.listed_groups import COLUMN, FOLDER, SHOTS, by_own_columns
from tasks.catalog.own_columns import IMAGE_ID
from tasks.catalog.own_unit import OwnFile
from tasks.clusters.cluster_growth import Grown, grow
from tasks.clusters.cluster_roles import SINGLE, Floats, Rows, Sorting, sort, with_builders
from tasks.clusters.regrade import Regrade
from tasks.clusters.shots import shots_of
from tasks.corrections.corrections import NOWHERE, Placement
from tasks.execution.duckdb_workspace import load

if TYPE_CHECKING:
    import duckdb

    from infra.storage.location import Location

_NEW = {"cluster_id": None, "role": None, "rank": None, "distance": None, "known": False, "size": None}


def grouped(settings: Settings) -> bool:
    """Whether the groups are known."""
    return settings.clusters.method == FOLDER or by_own_columns(settings.clusters.method)


def groups_of(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    catalog: Location,
    own: Sequence[OwnFile],
    embeddings: Floats,
    kept: npt.NDArray[np.intp] | None = None,
) -> list[str | None]:
    """The group of images of the table `usable`, in its order; None for those without one.

    kept: positions of those that are asked for; None: all. embeddings: theirs, float32 [n, d], unit length.
    """
    load(connection, "named", [catalog], CATALOG, "image_id, uri, status")
    if settings.clusters.method == SHOTS:
        shots = shots_of(connection, own, embeddings, None if kept is None else kept.tolist())
        connection.execute("DROP TABLE named")
        return shots
    group = "regexp_extract(n.uri, '^(.*)/', 1)"
    joined = ""
    if settings.clusters.method != FOLDER:
        file, column = _column(own, settings.clusters.method.removeprefix(COLUMN).strip())
        connection.register("column_of", column)
        key = IMAGE_ID if file.key == IMAGE_ID else "uri"
        group, joined = "nullif(o.value, '')", f"LEFT JOIN column_of o ON o.key = n.{key}"
    # Several files may be one image; the catalog has chosen one of them.
    found = connection.sql(
        f"SELECT {group} FROM usable u JOIN named n ON n.image_id = u.image_id AND n.status = 'ok' {joined} "  # noqa: S608 - our own words
        "ORDER BY u.position"
    ).fetchall()
    connection.execute("DROP TABLE named")
    values = [value for (value,) in found]
    return values if kept is None else [values[at] for at in kept.tolist()]


def _column(own: Sequence[OwnFile], name: str) -> tuple[OwnFile, pa.Table]:
    for file in own:
        with file.place.open() as opened, pq.ParquetFile(opened) as table:
            for field in own_fields(table.schema_arrow):
                if field.name.lower() == name.lower():
                    values = table.read(columns=[file.key, field.name])
                    return file, pa.table(
                        {"key": values[file.key], "value": values[field.name].cast(pa.string())}
                    )
    raise ValueError(f"no column {name}")  # the survey has seen to it


def sort_groups(
    embeddings: Floats, groups: Sequence[str | None], settings: Settings, version: int
) -> Sorting:
    """The split within each group, as `tasks.clusters.cluster_roles.sort` has it of a whole collection."""
    labels = np.full(len(groups), -1, np.int32)
    distances = np.ones(len(groups), np.float32)
    medoids: list[int] = []
    inner = _within(settings)
    for positions in _positions(groups).values():
        if len(positions) < settings.clusters.smallest:
            continue
        found = sort(embeddings[positions], inner, version)
        inside = found.labels >= 0
        labels[positions[inside]] = found.labels[inside] + len(medoids)
        distances[positions] = found.distances
        medoids += positions[found.medoids].tolist()
    return Sorting(labels, np.array(medoids, np.int32), distances)


def grow_groups(
    embeddings: Floats,
    ids: pa.ChunkedArray,
    earlier: pa.Table,
    groups: Sequence[str | None],
    settings: Settings,
    regrade: Regrade,
    version: int,
    placement: Placement = NOWHERE,
) -> Grown:
    """Newcomers join, within their group, as `tasks.clusters.cluster_growth.grow` has it of a collection.

    placement: corrections, which `earlier` says already. An image that was moved to a set belongs to that
    set's group, and a group may have several sets if its owner has split one.
    """
    rows = Rows(len(groups))
    was = earlier.to_pylist()
    inner = _within(settings)
    moved = [image in placement.clusters for image in ids.to_pylist()]
    one_each = inner.clusters.method == SINGLE and not any(moved)
    homes = _homes(
        was, [None if away else group for group, away in zip(groups, moved, strict=True)], one_each
    )
    # Sets of none but moved images belong where those come from.
    homes = _homes(was, groups, one_each) | homes
    groups = [
        homes.get(row["cluster_id"], group) if away else group
        for row, group, away in zip(was, groups, moved, strict=True)
    ]
    joined = founded = 0
    for group, positions in _positions(groups).items():
        part = [
            row
            if homes.get(row["cluster_id"]) == group or (row["cluster_id"] is None and row["known"])
            else _NEW
            for row in (was[at] for at in positions.tolist())
        ]
        there = any(row["cluster_id"] is not None for row in part)
        if not there and len(positions) < settings.clusters.smallest:
            continue
        table = pa.Table.from_pylist(part, schema=earlier.schema)
        some = ids.take(pa.array(positions))
        found = grow(embeddings[positions], some, table, inner, regrade, version, placement.references)
        for at, position in enumerate(positions.tolist()):
            rows.cluster_ids[position] = found.rows.cluster_ids[at]
            rows.roles[position] = found.rows.roles[at]
            rows.ranks[position] = found.rows.ranks[at]
        rows.distances[positions] = found.rows.distances
        joined += found.joined
        founded += found.founded
    return Grown(rows, joined, founded)


def _within(settings: Settings) -> Settings:
    """The settings by which one group is sorted."""
    method = SINGLE if settings.clusters.split == "off" else "auto"
    settings = with_builders(settings)
    return settings.model_copy(update={"clusters": settings.clusters.model_copy(update={"method": method})})


def _positions(groups: Sequence[str | None]) -> dict[str, npt.NDArray[np.intp]]:
    """Which images each group has, in order of the groups' names."""
    found: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(groups):
        if group is not None:
            found[group].append(position)
    return {group: np.array(found[group], np.intp) for group in sorted(found)}


def _homes(was: Sequence[dict[str, Any]], groups: Sequence[str | None], one_each: bool) -> dict[str, str]:
    """The group that each earlier set belongs to: that of most of its images.

    one_each: of several sets of one group only the largest counts.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, group in zip(was, groups, strict=True):
        if row["cluster_id"] is not None and group is not None:
            counts[row["cluster_id"]][group] += 1
    homes = {
        name: min(found.items(), key=lambda one: (-one[1], one[0]))[0]
        for name, found in sorted(counts.items())
    }
    if not one_each:
        return homes
    largest: dict[str, str] = {}
    for name, group in homes.items():
        size = counts[name][group]
        if group not in largest or size > counts[largest[group]][group]:
            largest[group] = name
    return {name: group for group, name in largest.items()}
