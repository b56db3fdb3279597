"""Numbers of a sample, carried over to a whole collection: sets, hours, memory, bytes, requests, price."""

from __future__ import annotations

import math
from typing import Any

from congeal.settings import PlanSettings, Settings
from flows.planning.done_already import Done
from flows.planning.expected_sets import Sets, atlas_bytes, atlas_seconds, expected_sets
from flows.planning.sample import Sampled
from flows.runs.prepare import Job
from infra.storage.image_source import is_list, places_of
from infra.storage.location import Location
from tasks.catalog.listed_groups import group_sizes, grouped_by_id
from tasks.catalog.source_listing import Survey
from tasks.execution.cost import PRICED, request_price

PAGE = 1_000  # objects in an answer of a listing


def forecast(
    job: Job, sample: Sampled, there: Done | None, destination: Location | None, embedding: int
) -> dict[str, Any]:
    """The facts of a plan.

    there: what is done already. destination: None if none was named. embedding: numbers of an image's.
    """
    survey, settings, source, done = job.survey, job.settings, job.source, there or Done()
    usable = sample.ok / max(1, sample.images)
    images = survey.images * usable
    new = max(0.0, (survey.images - done.features) * usable)
    sets = expected_sets(sample, images, _known(survey, sample, settings, images), settings)
    stages = _stages(survey, sample, done, settings, sets, images)
    written = _written(sample, done, sets, images, new)
    reads = _reads(survey, sample, done, sets, new)
    requests = _requests(survey, done, written, source)
    workers = sample.workers
    start = sample.start + _besides(sample)
    seconds = start + sum(stage["seconds"] for stage in stages)
    return {
        "source": source.url,
        "destination": None if destination is None else destination.url,
        "images": survey.images,
        "usable": round(images),
        "source_bytes": survey.bytes,
        "sets": len(sets.sizes),
        "sets_between": [sets.least, sets.most],
        "without_set": round(sets.lone),
        "done": done.facts,
        "stages": stages,
        "start_seconds": round(start, 1),
        "seconds": round(seconds, 1),
        "device": sample.device,
        "workers": workers,
        "peak_memory_bytes": peak_memory(sample, settings, images, embedding),
        "read_bytes": round(sum(reads.values())),
        "reads": {name: round(count) for name, count in reads.items()},
        "written_bytes": round(sum(count for count, _ in written.values())),
        "writes": {name: round(count) for name, (count, _) in written.items()},
        "requests": requests,
        "price": _price(settings.plan, requests, seconds, workers, reads, written, source, destination),
        "sample": {
            "images": sample.images,
            "ok": sample.ok,
            "sets": len(sample.sets),
            "looked_at": 0 if sample.seen is None else sample.seen.images,
        },
        "passed_over": survey.counted.facts(),
        "left_out": survey.left_out,
        "notes": survey.notes,
    }


def _known(survey: Survey, sample: Sampled, settings: Settings, images: float) -> list[int] | None:
    """Sizes of the groups that are known; of a table by image_id as much of them as the source has."""
    sizes = group_sizes(survey, settings.clusters.method)
    if sizes is None or not grouped_by_id(survey, settings.clusters.method):
        return sizes
    there = images * sample.grouped / max(1, sample.images)
    return [round(size * min(1.0, there / max(1, sum(sizes)))) for size in sizes]


def _stages(
    survey: Survey, sample: Sampled, done: Done, settings: Settings, sets: Sets, images: float
) -> list[dict[str, Any]]:
    """Seconds of each stage: work that goes with images or sets, over the workers, which slow each other.

    A process' start counts once, and so does what a stage takes beside its units: it hardly grows.
    """
    workers, there = sample.workers, sample.facts["workers"]
    each, more = atlas_seconds(sample.sets, settings.atlases.atlas_size)
    todo = {
        "catalog": (survey.images - done.catalog) / max(1, sample.images),
        "features": max(0, survey.images - done.features) / max(1, sample.images),
        "clusters": images / max(1, sample.ok),
        "index": images / max(1, sample.ok),
    }
    undone = max(0.0, 1 - done.atlases / len(sets.sizes)) if sets.sizes else 0.0
    solving = undone * sum(each + more * size for size in sets.sizes)
    found = []
    for stage in sample.facts["stages"]:
        name = stage["stage"]
        start = stage["timings"].get("start", 0.0)
        work = sum(stage["timings"].values()) - start
        beside = start / there + max(0.0, stage["seconds"] - (work + start) / there)
        if name == "atlases":
            work = solving
        elif name == "clusters":
            work = sample.clustering + stage["timings"].get("read", 0.0) * todo[name]
        else:
            work *= todo[name]
        busy = 1 if name == "clusters" else workers
        if name == "atlases":
            busy = min(workers, max(1, len(sets.sizes)))
        seconds = (work * _slower(sample, busy) / busy + beside) if work else 0.0
        found.append({"stage": name, "seconds": round(seconds, 1), "work_seconds": round(work, 1)})
    if sample.facts.get("report"):
        made = sample.facts["report_work_seconds"]
        work = made * images / max(1, sample.ok)
        beside = max(0.0, sample.facts["report_seconds"] - made / there)
        seconds = work * _slower(sample, workers) / workers + beside
        found.append({"stage": "report", "seconds": round(seconds, 1), "work_seconds": round(work, 1)})
    return found


def _slower(sample: Sampled, busy: int) -> float:
    """How many times as long a unit takes beside others than it took in the sample."""
    return sample.slower if busy > 1 else 1.0


def _besides(sample: Sampled) -> float:
    """What a run takes beside its stages, its report and the start of workers: the version is written."""
    facts = sample.facts
    inside: float = facts["engine_start_seconds"] + sum(stage["seconds"] for stage in facts["stages"])
    rest = float(facts["seconds"]) - inside - float(facts.get("report_seconds") or 0.0)
    return max(0.0, rest)


def peak_memory(sample: Sampled, settings: Settings, images: float, embedding: int) -> int:
    """The most that a stage takes: as measured, and what the split of all embeddings needs besides.

    Where the sample had this process alone, each worker grows as much from what it is forked with; so much
    has the one that they are forked from, too, and the run's own. A process' peak never falls: that of the
    atlases is the features' where these took more, and so an upper bound with the backbone.
    """
    peaks = {stage["stage"]: stage["peak_memory_bytes"] for stage in sample.facts["stages"]}
    peaks["atlases"] = peaks.get("atlases", 0) + sample.backbone
    measured = max(peaks.values())
    if sample.memory:
        each = sample.shared + max(0, measured - sample.base)
        measured = sample.memory + sample.shared + sample.workers * each
    compared = min(images, settings.clusters.sample) ** 2 * 4 * 3  # distances, and two more of their size
    held = min(images * embedding * 4, 2**28)
    return int(measured + held + (compared if settings.clusters.method == "auto" else 0))


def _written(
    sample: Sampled, done: Done, sets: Sets, images: float, new: float
) -> dict[str, tuple[float, float]]:
    """Bytes and files of each stage."""
    found = {}
    for stage, (size, files) in sample.written.items():
        if stage == "atlases":
            undone = max(0.0, 1 - done.atlases / max(1, len(sets.sizes)))
            whole = atlas_bytes(sample.sets, sets.sizes)
            found[stage] = (whole[0] * undone, whole[1] * undone)
            continue
        scale = (new if stage == "features" else images) / max(1, sample.ok)
        # A page of the report is a cluster's.
        pages = len(sets.sizes) / len(sample.sets) if stage == "report" and sample.sets else scale
        found[stage] = (size * scale, files * pages)
    return found


def _reads(survey: Survey, sample: Sampled, done: Done, sets: Sets, new: float) -> dict[str, float]:
    """Bytes that are read: originals for the catalog and for the features, features for the atlases."""
    one = survey.bytes / max(1, survey.images)
    features = sample.written["features"][0] / max(1, sample.ok) * sum(sets.sizes)
    return {
        "originals": one * (survey.images - done.catalog + new),
        "features": features * max(0.0, 1 - done.atlases / max(1, len(sets.sizes))),
    }


def _requests(
    survey: Survey, done: Done, written: dict[str, tuple[float, float]], source: Location
) -> dict[str, dict[str, int]]:
    """How often each store is asked for what."""
    listed = any(is_list(place) for place in places_of(source))
    new = max(0, survey.images - done.features)
    files = sum(count for _, count in written.values())
    read_back = sum(count for stage, (_, count) in written.items() if stage != "report")
    return {
        "source": {
            "list": math.ceil(survey.images / PAGE) if not listed else 0,
            "head": survey.images if listed else 0,
            "get": round(survey.images - done.catalog + new),
        },
        "destination": {"put": round(files), "get": round(read_back), "list": len(written)},
    }


def _price(
    plan: PlanSettings,
    requests: dict[str, dict[str, int]],
    seconds: float,
    workers: int,
    reads: dict[str, float],
    written: dict[str, tuple[float, float]],
    source: Location,
    destination: Location | None,
) -> dict[str, Any]:
    """What that costs by the table of prices in the settings; requests to a disk cost nothing."""
    paid = {"source": source.protocol in PRICED}
    paid["destination"] = destination is not None and destination.protocol in PRICED
    asked = sum(
        count * request_price(plan, kind)
        for side, kinds in requests.items()
        if paid[side]
        for kind, count in kinds.items()
    )
    moved = reads["originals"] / 1e9 * plan.price_gb_read if paid["source"] else 0.0
    size = sum(size for size, _ in written.values()) / 1e9
    stored = size * plan.price_gb_month if paid["destination"] else 0.0
    computed = seconds / 3_600 * plan.price_hour
    return {
        "currency": plan.currency,
        "requests": round(asked, 4),
        "reading": round(moved, 4),
        "computing": round(computed, 4),
        "once": round(asked + moved + computed, 4),
        "storage_per_month": round(stored, 4),
    }
