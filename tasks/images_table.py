"""The table of all images: the catalog with each image's cluster and features, and what failed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from infra.commits import Marker, digest
from infra.dictionary import dictionary_text
from infra.tables import IMAGES, encode_table
from tasks import features as features_stage
from tasks import versions
from tasks.catalog import CATALOG, Catalog
from tasks.clusters import MEMBERS, Clusters
from tasks.features import Features
from tasks.spool import insert, load, scalar, stream, workspace
from tasks.stage import Run, Unit, Work, address, read_markers

STAGE = versions.INDEX
VERSION = versions.VERSIONS[STAGE]


def images_unit(run: Run, catalog: Catalog, made: Features, clusters: Clusters) -> Unit:
    """The one unit that holds the table."""
    here = digest(STAGE, "images", VERSION, length=16)
    shards = [[entry.unit, entry.content] for entry in made.shards]
    return Unit(
        address(
            run.destination, STAGE, VERSION, here, digest(here, catalog.identity, clusters.identity, shards)
        ),
        {
            "destination": run.destination,
            "catalog": catalog.images,
            "members": clusters.members,
            "features": made.scope,
            "shards": tuple(unit for unit, _ in shards),
        },
        items=catalog.ok + catalog.failed + catalog.duplicate,
    )


def make_images(unit: Unit) -> Marker:
    """Join catalog, members and failures, out of core, sorted by uri."""
    work = Work(unit)
    with workspace() as connection:
        load(connection, "catalog", [unit.payload["catalog"]], CATALOG)
        load(connection, "members", [unit.payload["members"]], MEMBERS)
        connection.execute("CREATE TABLE faults (image_id VARCHAR, reason VARCHAR)")
        _insert_faults(connection, unit)
        connection.execute(
            """CREATE TABLE images AS
            SELECT c.image_id, c.uri, c.bytes, c.etag, c.width, c.height, c.format,
                   CASE WHEN c.status = 'ok' AND m.image_id IS NULL THEN 'failed' ELSE c.status END AS status,
                   CASE WHEN c.status = 'ok' AND m.image_id IS NULL THEN coalesce(f.reason, 'has no features')
                        ELSE c.error END AS error,
                   m.cluster_id, m.outlier, m.features_unit, m.features_row, c.unread
            FROM catalog c
            LEFT JOIN members m ON c.image_id = m.image_id AND c.status <> 'failed'
            LEFT JOIN faults f ON c.image_id = f.image_id"""
        )
        counts = {
            status: scalar(connection, f"SELECT count(*) FROM images WHERE status = '{status}'")  # noqa: S608
            for status in ("ok", "failed", "duplicate")
        }
        counts["outliers"] = scalar(connection, "SELECT count(*) FROM images WHERE outlier AND status = 'ok'")
        counts["unread"] = scalar(connection, "SELECT count(*) FROM images WHERE unread")
        columns = ", ".join(IMAGES.names)
        encoded = encode_table(stream(connection, f"SELECT {columns} FROM images ORDER BY uri"), IMAGES)  # noqa: S608
    outputs = {"images.parquet": encoded, "dictionary.md": dictionary_text().encode()}
    rows = {"images": sum(counts[status] for status in ("ok", "failed", "duplicate"))}
    return work.commit(outputs, {"counts": counts, "rows": rows})


def _insert_faults(connection: Any, unit: Unit) -> None:
    places = [
        address(
            unit.payload["destination"],
            features_stage.STAGE,
            features_stage.VERSION,
            unit.payload["features"],
            name,
        )
        for name in unit.payload["shards"]
    ]
    reasons: dict[str, str] = {}
    for marker in read_markers(places):
        if marker is not None:
            reasons |= marker.record["failed"]
    table: Mapping[str, Any] = {
        "image_id": pa.array(list(reasons), pa.string()),
        "reason": pa.array(list(reasons.values()), pa.string()),
    }
    insert(connection, "faults", pa.table(table))
