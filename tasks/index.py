"""The tables that analysts read: a unit is a bucket of clusters; a last one makes the table of all images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.arrays import open_group
from infra.commits import Marker, digest
from infra.errors import UserError
from infra.settings import IndexSettings, Settings
from infra.storage import Location
from infra.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES, dataset, encode_table
from tasks import atlases as atlases_stage
from tasks import features as features_stage
from tasks import versions
from tasks.atlases import GROUP, Atlases
from tasks.catalog import CATALOG, Catalog
from tasks.clusters import MEMBERS, Clusters
from tasks.features import Features
from tasks.spool import insert, load, scalar, stream, workspace
from tasks.stage import (
    Run,
    StageResult,
    Unit,
    Work,
    address,
    batched,
    committed_marker,
    plan_units,
    read_markers,
    run_units,
)

STAGE = versions.INDEX
VERSION = versions.VERSIONS[STAGE]
SALIENT = 0.25  # a lattice point of less saliency lies on the background: it corresponds to nothing

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Index:
    """The finished stage, and how many images of each kind the final table has."""

    result: StageResult
    counts: dict[str, int]


class Points(NamedTuple):
    """The lattice points of an atlas that lie on what its images show. uv: float64 [k, 2]."""

    ids: npt.NDArray[np.int32]
    uv: npt.NDArray[np.float64]


def scope(settings: Settings) -> str:
    """Digest of what bears on the tables besides the atlases."""
    return digest(STAGE, VERSION, settings.index.lattice, length=16)


def stage(run: Run, catalog: Catalog, made: Features, clusters: Clusters, atlases: Atlases) -> Index:
    """The tables of every bucket of clusters, then the table of images."""
    here = scope(run.settings)
    contents = {entry.unit: entry.content for entry in atlases.result.units}
    payload = {
        "destination": run.destination,
        "index": run.settings.index,
        "atlases": atlases.scope,
        "backbone": made.weights.backbone,
        "weights": made.weights.fingerprint,
    }
    units = []
    for bucket in batched(sorted(atlases.units.items()), run.settings.index.clusters_per_unit):
        name = digest(
            here, atlases.scope, made.weights.backbone, [[c, unit, contents[unit]] for c, unit in bucket]
        )
        place = address(run.destination, STAGE, VERSION, here, name)
        units.append(Unit(place, {**payload, "clusters": bucket}, items=len(bucket)))
    buckets = run_units(plan_units(STAGE, here, units, run.progress), make_tables, run)
    images = _images_unit(run, catalog, made, clusters)
    final = run_units(
        plan_units(STAGE, images.address.scope, [images], run.progress),
        make_images,
        run,
        title="index, images",
    )
    return Index(buckets + final, committed_marker(images.address).record["counts"])


def make_tables(unit: Unit) -> Marker:
    """correspondences, alignments and clusters of one bucket, sorted by cluster and image."""
    work = Work(unit)
    settings: IndexSettings = unit.payload["index"]
    destination: Location = unit.payload["destination"]
    named: Sequence[tuple[str, str]] = unit.payload["clusters"]
    places = [
        address(destination, atlases_stage.STAGE, atlases_stage.VERSION, unit.payload["atlases"], name)
        for _, name in named
    ]
    markers = []
    for place, marker in zip(places, read_markers(places), strict=True):
        if marker is None:
            raise UserError(f"The atlas in {place.folder.url} vanished while it was used: run again.")
        markers.append((place.folder / marker.content, marker))
    with work.watch.phase("sample"):
        batches = (
            batch for folder, marker in markers for batch in _correspondences(folder, marker, settings)
        )
        correspondences = encode_table(batches, CORRESPONDENCES)
    with work.watch.phase("encode"):
        alignments = (
            batch
            for folder, _ in markers
            for batch in dataset([folder / "alignment.parquet"], ALIGNMENTS).to_batches()
        )
        outputs = {
            "correspondences.parquet": correspondences,
            "alignments.parquet": encode_table(alignments, ALIGNMENTS),
            "clusters.parquet": encode_table(_clusters(unit, [marker for _, marker in markers]), CLUSTERS),
        }
    # How long a cluster took, and where, is a fact of the run: it stays in the marker, out of the tables.
    record = {
        "made": {
            marker.record["cluster_id"]: {"seconds": marker.seconds, "device": marker.record["device"]}
            for _, marker in markers
        }
    }
    return work.commit(outputs, record)


def _clusters(unit: Unit, markers: Sequence[Marker]) -> pa.Table:
    facts: list[dict[str, Any]] = []
    for marker in markers:
        row = {name: marker.record[name] for name in CLUSTERS.names if name in marker.record}
        row["backbone"] = unit.payload["backbone"]
        row["weights_fingerprint"] = unit.payload["weights"]
        row["atlas_unit"] = f"{marker.scope}/{marker.unit}"
        facts.append(row)
    return pa.Table.from_pylist(facts, schema=CLUSTERS)


def _correspondences(folder: Location, marker: Marker, settings: IndexSettings) -> Iterator[pa.RecordBatch]:
    """One batch an image: the lattice points of its atlas, carried to its pixels."""
    from congeal.coordinates import Frame
    from congeal.transfer import VISIBLE, interpolate

    group: Any = open_group(folder / GROUP)
    points = lattice_points(np.asarray(group["atlas/saliency"][:]), settings.lattice)
    k = len(points.ids)
    ids, sizes = group.attrs["image_ids"], group.attrs["sizes"]
    forward, confidence = group["maps/forward"], group["maps/forward_confidence"]
    for position in sorted(range(len(ids)), key=lambda i: ids[i]):
        xy = interpolate(forward[position], points.uv)
        inside = Frame(*sizes[position]).inside(xy)
        sure = np.where(inside, np.clip(interpolate(confidence[position], points.uv), 0, 1), 0)
        columns = {
            "cluster_id": [marker.record["cluster_id"]] * k,
            "point_id": points.ids,
            "u": points.uv[:, 0],
            "v": points.uv[:, 1],
            "image_id": [ids[position]] * k,
            "x": xy[:, 0],
            "y": xy[:, 1],
            "confidence": sure,
            "visible": inside & (sure >= VISIBLE),
        }
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(columns.values(), CORRESPONDENCES, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=CORRESPONDENCES)


def lattice_points(saliency: Floats, lattice: int) -> Points:
    """The centres of lattice x lattice cells over the atlas that lie on something salient.

    saliency: [a, a] over [-1, 1]^2. A point's id is row * lattice + column, whichever others are there. Where
    nothing is salient, every point counts.
    """
    from congeal.coordinates import cell_centres
    from congeal.transfer import interpolate

    uv = cell_centres(lattice).reshape(-1, 2).astype(np.float64)
    at = interpolate(saliency, uv)
    kept = at >= SALIENT * max(float(np.nanmax(at, initial=0)), 1e-30)
    ids = np.arange(lattice * lattice, dtype=np.int32)
    return Points(ids[kept], uv[kept]) if kept.any() else Points(ids, uv)


def _images_unit(run: Run, catalog: Catalog, made: Features, clusters: Clusters) -> Unit:
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
    """The table of images: the catalog with each image's cluster and features, and what failed since."""
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
    return work.commit({"images.parquet": encoded}, {"counts": counts})


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
