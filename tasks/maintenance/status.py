"""What is done, missing and failed in a destination, per stage; also before anything is published."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow.dataset as pads

from congeal.alignment.outcomes import FAILED
from congeal.results.outlier_counts import (
    deformations,
    doubtful,
    fixed_cameras,
    further_instances,
    misfits,
    not_aligned,
    outliers,
)
from congeal.results.schema.parquet_files import dataset
from congeal.results.schema.tables import IMAGES
from infra.errors import DamagedError, UserError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.ledger.publications import check_layout, published, versions
from infra.storage.location import Location
from infra.storage.usage import Usage
from infra.threads import in_threads
from tasks.catalog.skipped_files import NOTHING, kept
from tasks.clusters.drift import drifting
from tasks.corrections.corrections import read_corrections
from tasks.execution.stage_versions import VERSIONS

MOST_FAILURES = 20


def status(destination: Location, version: str | None = None) -> dict[str, Any]:
    """Units per stage (done, missing, damaged), and the published images, clusters and failures.

    What is published counts, the current version or an older one; before that, every unit that a run has
    begun. Raises UserError if there is no destination of congeal's, or no such version.
    """
    if not check_layout(destination):
        raise UserError(
            f"{destination} is no destination of congeal's: `congeal run SOURCE {destination}` makes one."
        )
    publication = published(destination, version)
    stages, markers = [], {}
    for stage in VERSIONS:
        units = _begun(destination, stage) if publication is None else publication.units.get(stage, [])
        found = list(in_threads(partial(_look, destination, stage), units))
        markers[stage] = [marker for marker in found if isinstance(marker, Marker)]
        damaged = sum(isinstance(marker, DamagedError) for marker in found)
        done = len(markers[stage])
        stages.append(
            {"stage": stage, "done": done, "missing": len(found) - done - damaged, "damaged": damaged}
        )
    facts: dict[str, Any] = {"destination": destination.url, "version": None, "stages": stages}
    if publication is None:
        return facts
    names = read_corrections(destination).names
    counts = publication.counts
    records = [
        {**marker.record, "name": names.get(marker.record["cluster_id"])} for marker in markers["atlases"]
    ]
    return facts | {
        "version": publication.number,
        "versions": [name.removesuffix(".json") for name in versions(destination)],
        "created": publication.created,
        "source": publication.source,
        "backbone": publication.backbone,
        "images": {name: counts[name] for name in ("ok", "failed", "duplicate")},
        "excluded": counts.get("excluded", 0),
        "clusters": counts["clusters"],
        "failed_clusters": counts.get("failed_clusters", 0),
        "outliers": outliers(counts, records),
        "misfits": misfits(counts),
        "deformation": deformations(records),
        "fixed_camera": fixed_cameras(records),
        "further_instances": further_instances(counts),
        "doubtful": doubtful(records),
        "not_aligned": not_aligned(records),
        "drifting": drifting(records),
        "passed_over": kept(destination) or NOTHING,
        "cost": _costs(markers),
        "failures": _failures(destination, markers["index"]),
        "cluster_failures": _cluster_failures(records),
    }


def _costs(markers: dict[str, list[Marker]]) -> dict[str, Any]:
    """What the units of a version took: seconds, requests and bytes, by stage and by its dearest clusters."""

    def facts(made: list[Marker]) -> dict[str, Any]:
        used = sum((marker.used for marker in made), Usage())
        return {
            "seconds": round(sum(marker.seconds for marker in made), 3),
            "devices": sorted({marker.device for marker in made} - {""}),
            "requests": used.requests,
            "read_bytes": used.read_bytes,
            "written_bytes": used.written_bytes,
        }

    dearest = sorted(markers["atlases"], key=lambda marker: -marker.seconds)[:MOST_FAILURES]
    return {
        "stages": {stage: facts(made) for stage, made in markers.items()},
        "clusters": [{"cluster_id": marker.record["cluster_id"], **facts([marker])} for marker in dearest],
    }


def _begun(destination: Location, stage: str) -> list[str]:
    base = destination / "stages" / stage
    return [f"{scope}/{unit}" for scope in base.children() for unit in (base / scope).children()]


def _look(destination: Location, stage: str, unit: str) -> Marker | DamagedError | None:
    try:
        return find_marker(destination, stage, unit)
    except DamagedError as error:
        return error


def _cluster_failures(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    failed = [record for record in records if record.get("status") == FAILED]
    named = [
        {"cluster_id": record["cluster_id"], "error": record["error"]}
        | ({"name": record["name"]} if record["name"] else {})
        for record in failed
    ]
    return sorted(named, key=lambda row: str(row["cluster_id"]))[:MOST_FAILURES]


def _failures(destination: Location, markers: list[Marker]) -> list[dict[str, Any]]:
    places = [
        outputs_location(destination, marker) / "images.parquet"
        for marker in markers
        if "images.parquet" in marker.outputs
    ]
    failed = dataset(places, IMAGES).scanner(
        columns=["uri", "error"], filter=pads.field("status") == "failed"
    )
    return list(failed.head(MOST_FAILURES).to_pylist())
