"""The table of all images: the catalog with each image's cluster and features, and what failed since.

Here it is decided, once, which images are outliers: those without a cluster, and those that do
not fit their cluster's atlas. The counts of a publication, and so what a run, `status` and a collection say,
are counted from this table; `clusters.n_outliers` and `alignments.outlier` are its second kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from congeal.results.schema.dictionary import dictionary_text
from congeal.results.schema.instances import FIRST_IN_SQL, FURTHER, INSTANCE, OF_SEVERAL
from congeal.results.schema.own_fields import own_fields
from congeal.results.schema.parquet_files import encode_table
from congeal.results.schema.tables import ALIGNMENTS
from infra.ledger.commits import Marker, digest, sealed
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.catalog_slices import CATALOG
from tasks.catalog.catalog_stage import Catalog
from tasks.catalog.own_unit import OwnFile
from tasks.clusters.clusters_stage import MEMBERS, Clusters
from tasks.execution import stage_versions
from tasks.execution.duckdb_workspace import insert, load, scalar, stream, workspace
from tasks.execution.stage_runner import Run, StageResult, Unit, Work, address
from tasks.features.features_stage import Features
from tasks.index.own_join import join

STAGE = stage_versions.INDEX
VERSION = stage_versions.VERSIONS[STAGE]


@dataclass(frozen=True, slots=True)
class ImagesPayload:
    """What the table is joined from.

    Attributes:
        catalog, members, alignments: Parquet files.
        failed: why images of the catalog have no features, by id.
        own: files of the columns of the collection's owner.
        unread: those of them that could not be read that time, and may be the next.
    """

    catalog: Location
    members: Location
    failed: Mapping[str, str]
    unread: frozenset[str]
    alignments: tuple[Location, ...]
    own: tuple[OwnFile, ...] = ()


def images_unit(
    run: Run, catalog: Catalog, made: Features, clusters: Clusters, tables: StageResult
) -> Unit[ImagesPayload]:
    """The one unit that holds the table. tables: the units that hold the table of alignments."""
    here = digest(STAGE, "images", VERSION, length=16)
    shards = [[entry.unit, entry.identity] for entry in made.shards]
    aligned = [[entry.scope, entry.unit, entry.content] for entry in tables.units]
    name = digest(here, catalog.identity, clusters.identity, shards, aligned)
    if catalog.own_identity is not None:
        name = digest(name, catalog.own_identity)
    return Unit(
        address(run.destination, STAGE, VERSION, here, name),
        ImagesPayload(
            catalog=catalog.images,
            members=clusters.members,
            failed={
                image_id: reason for shard in made.shards for image_id, reason in shard.facts.failed.items()
            },
            unread=frozenset(image_id for shard in made.shards for image_id in shard.facts.unread),
            alignments=tuple(
                run.destination / f"stages/{STAGE}" / "/".join(part) / "alignments.parquet"
                for part in aligned
            ),
            own=catalog.own,
        ),
        items=catalog.ok + catalog.failed + catalog.duplicate,
    )


def make_images(unit: Unit[ImagesPayload]) -> Marker:
    """Join catalog, members and failures, out of core, sorted by uri."""
    work = Work(unit)
    with workspace() as connection:
        load(connection, "catalog", [unit.payload.catalog], CATALOG)
        load(connection, "members", [unit.payload.members], MEMBERS)
        aligned = list(in_threads(sealed, unit.payload.alignments))
        load(connection, "aligned", aligned, ALIGNMENTS, f"image_id, outlier, {INSTANCE}")
        connection.execute(f"CREATE VIEW alignments AS FROM aligned WHERE {FIRST_IN_SQL}")
        connection.execute("CREATE TABLE faults (image_id VARCHAR, reason VARCHAR, unread BOOLEAN)")
        _insert_faults(connection, unit)
        connection.execute(
            """CREATE TABLE images AS
            SELECT c.image_id, c.uri, c.bytes, c.etag, c.width, c.height, c.format,
                   CASE WHEN c.status = 'ok' AND m.image_id IS NULL THEN 'failed' ELSE c.status END AS status,
                   CASE WHEN c.status = 'ok' AND m.image_id IS NULL THEN coalesce(f.reason, 'has no features')
                        ELSE c.error END AS error,
                   m.cluster_id,
                   CASE WHEN m.image_id IS NOT NULL
                             AND m.role IS DISTINCT FROM 'excluded'
                        THEN m.cluster_id IS NULL OR coalesce(a.outlier, false) END AS outlier,
                   CASE WHEN m.image_id IS NOT NULL
                        THEN m.role IS NOT DISTINCT FROM 'excluded' END AS excluded,
                   m.features_unit, m.features_row,
                   c.unread OR (c.status = 'ok' AND m.image_id IS NULL AND coalesce(f.unread, false))
                       AS unread
            FROM catalog c
            LEFT JOIN members m ON c.image_id = m.image_id AND c.status <> 'failed'
            LEFT JOIN alignments a ON a.image_id = m.image_id
            LEFT JOIN faults f ON c.image_id = f.image_id"""
        )
        counts = {
            status: scalar(connection, f"SELECT count(*) FROM images WHERE status = '{status}'")  # noqa: S608
            for status in ("ok", "failed", "duplicate")
        }
        outliers = "SELECT count(*) FROM images WHERE outlier AND status = 'ok'"
        counts["outliers"] = scalar(connection, outliers)
        counts["misfits"] = scalar(connection, f"{outliers} AND cluster_id IS NOT NULL")
        excluded = scalar(connection, "SELECT count(*) FROM images WHERE excluded AND status = 'ok'")
        if excluded:
            counts["excluded"] = excluded
        counts |= _several(connection)
        counts["unread"] = scalar(connection, "SELECT count(*) FROM images WHERE unread")
        joined = join(connection, unit.payload.own)
        found = stream(connection, f"SELECT {joined.columns} FROM images i {joined.joins} ORDER BY i.uri")  # noqa: S608
        named = (pa.RecordBatch.from_arrays(batch.columns, joined.schema.names) for batch in found)
        encoded = encode_table(named, joined.schema)
    own = own_fields(joined.schema)
    outputs = {"images.parquet": encoded, "dictionary.md": dictionary_text(own).encode()}
    rows = {"images": sum(counts[status] for status in ("ok", "failed", "duplicate"))}
    record: dict[str, Any] = {"counts": counts, "rows": rows}
    return work.commit(outputs, record | ({"own": joined.facts} if own else {}))


def _several(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many further instances there are, and in how many images; nothing where there is none."""
    further = f"FROM aligned WHERE {INSTANCE} > 0"
    found = scalar(connection, f"SELECT count(*) {further}")
    images = scalar(connection, f"SELECT count(DISTINCT image_id) {further}")
    return {FURTHER: found, OF_SEVERAL: images} if found else {}


def _insert_faults(connection: duckdb.DuckDBPyConnection, unit: Unit[ImagesPayload]) -> None:
    reasons = unit.payload.failed
    table = {
        "image_id": pa.array(list(reasons), pa.string()),
        "reason": pa.array(list(reasons.values()), pa.string()),
        "unread": pa.array([image_id in unit.payload.unread for image_id in reasons], pa.bool_()),
    }
    insert(connection, "faults", pa.table(table))
