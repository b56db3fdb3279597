"""What a run reports: plain facts, fit for JSON and for the table at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from congeal.results.outlier_counts import (
    deformations,
    doubtful,
    fixed_cameras,
    further_instances,
    misfits,
    not_aligned,
    outliers,
)
from congeal_floors.plurals import counted
from flows.runs.prepare import Job
from infra.ledger.publications import Publication
from tasks.clusters.drift import drifting, published_clusters
from tasks.execution.published_units import published_own
from tasks.execution.stage_runner import StageResult
from tasks.publication.publish import PublishOutcome, refreshed

WORK = ("decode", "backbone", "solver")  # what a run is for; all else is overhead


def finished(
    job: Job,
    published: PublishOutcome,
    *,
    results: Mapping[str, StageResult],
    workers: int,
    engine_start: float,
) -> dict[str, Any]:
    """The facts of a run that had something to do."""
    stages = [_stage(result) for result in results.values()]
    wall = sum(stage["seconds"] for stage in stages)
    useful = sum(seconds for stage in stages for phase, seconds in stage["timings"].items() if phase in WORK)
    start = sum(stage["timings"].get("start", 0.0) for stage in stages)
    made = any(stage["units_made"] for stage in stages)
    clusters = published_clusters(job.destination, published.publication)
    return _common(job, published.publication, clusters) | {
        "up_to_date": False,
        "published": published.written,
        "iceberg_fault": published.fault,
        "stages": stages,
        "workers": workers,
        "engine_start_seconds": round(engine_start, 3),
        # Workers that load the model are starting, not working; and what waits for the slowest unit counts.
        "overhead": round(max(0.0, 1 - (useful + start) / workers / wall), 4) if made and wall else None,
        "seconds": round(time.perf_counter() - job.begin, 3),
    }


def nothing_to_do(job: Job) -> dict[str, Any]:
    """The facts of a run that found everything done. Raises ValueError for another one."""
    publication = job.current
    if publication is None:
        raise ValueError("this job has something to do")
    fault = refreshed(job.destination, publication, job.settings)
    return _common(job, publication, job.clusters) | {
        "up_to_date": True,
        "published": False,
        "iceberg_fault": fault,
        "stages": [],
        "seconds": round(time.perf_counter() - job.begin, 3),
    }


def sentence(facts: dict[str, Any]) -> str:
    """The facts of a run in a line, for a log."""
    images = facts["images"]
    passed = facts["passed_over"]["total"]
    passed_over = f"; {passed} passed over, see `congeal status`" if passed else ""
    begun = "Nothing to do:" if facts["up_to_date"] else f"Done in {facts['seconds']:.0f} s:"
    lost = f" ({facts['failed_clusters']} failed)" if facts["failed_clusters"] else ""
    more = facts["further_instances"]
    several = (
        f", {counted(more['found'], 'further instance')} in {counted(more['images'], 'image')}"
        if more["found"]
        else ""
    )
    return (
        f"{begun} version {facts['version']} of {facts['destination']} has {counted(images['ok'], 'image')} "
        f"({images['failed']} failed, {images['duplicate']} duplicate), "
        f"{counted(facts['clusters'], 'cluster')}{lost}, {counted(facts['outliers'], 'outlier')}"
        f"{several}{passed_over}."
    )


def _common(job: Job, publication: Publication, clusters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """clusters: rows of the table clusters, or records of atlases with the clusters' names."""
    counts = publication.counts
    return {
        "source": job.source.url,
        "destination": job.destination.url,
        "version": publication.number,
        "backbone": publication.backbone,
        "weights_fingerprint": publication.weights_fingerprint,
        "images": {name: counts[name] for name in ("ok", "failed", "duplicate")},
        "excluded": counts.get("excluded", 0),
        "clusters": counts["clusters"],
        "failed_clusters": counts.get("failed_clusters", 0),
        "outliers": outliers(counts, clusters),
        "misfits": misfits(counts),
        "deformation": deformations(clusters),
        "fixed_camera": fixed_cameras(clusters),
        "further_instances": further_instances(counts),
        "doubtful": doubtful(clusters),
        "not_aligned": not_aligned(clusters),
        "drifting": drifting(clusters),
        "passed_over_count": job.survey.passed_over_count,
        "passed_over": job.survey.counted.facts(),
        "left_out": job.survey.left_out,
        "own_columns": published_own(job.destination, publication) if job.survey.own else None,
        "notes": job.survey.notes,
    }


def _stage(result: StageResult) -> dict[str, Any]:
    return {
        "stage": result.stage,
        "units_made": result.made,
        "units_skipped": result.skipped,
        "items_made": result.items_made,
        "items_skipped": result.items_skipped,
        "seconds": round(result.seconds, 3),
        "peak_memory_bytes": result.peak_memory_bytes,
        "timings": {phase: round(seconds, 3) for phase, seconds in sorted(result.timings.items())},
    }
