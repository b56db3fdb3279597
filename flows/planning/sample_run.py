"""A run over a sample of the images, into a temporary folder: what a forecast is made of."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from congeal.settings import Settings, SourceSettings
from flows.prepare import Job, prepare
from flows.stages import everything
from infra.compute.engine import in_process
from infra.compute.progress import Progress
from infra.errors import UserError
from infra.ledger.commits import Marker
from infra.ledger.publications import published
from infra.storage.image_source import ImageSource
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog import listed_groups
from tasks.catalog.image_reading import content_id
from tasks.catalog.source_listing import ListingEntry, Survey
from tasks.execution.duckdb_workspace import rows
from tasks.execution.published_units import published_markers

GROUP = "group of the image"  # the column of the sample's list where groups are known


class SetCost(NamedTuple):
    """What one set of the sample took. seconds: of one worker; bytes and files that it has written."""

    images: int
    seconds: float
    bytes: int = 0
    files: int = 0


@dataclass(frozen=True)
class Sampled:
    """The outcome of the run over the sample.

    Attributes:
        images: how many there were, ok: how many of them could be used.
        facts: of the run, see `flows.report`.
        sets: its clusters. written: bytes and files by stage, the site's under "report".
        lone: images without a cluster. device: what computed the atlases.
        grouped: images that are in a group, where groups are known.
    """

    images: int
    ok: int
    facts: dict[str, Any]
    sets: tuple[SetCost, ...]
    written: dict[str, tuple[int, int]]
    lone: int
    device: str
    grouped: int = 0


@contextmanager
def sampled(job: Job, most: int, progress: Progress) -> Iterator[Sampled]:
    """Run everything on at most so many images of a job, and take the results away at the end."""
    entries = chosen(job.survey, most)
    with tempfile.TemporaryDirectory(prefix="congeal-plan-") as folder:
        place = Path(folder)
        groups = _groups(job, entries)
        settings = _settings(job, entries, groups, place)
        inner = prepare(str(place / "list.csv"), str(place / "out"), settings)
        with inner.survey:
            facts = everything(inner, progress)
        yield _outcome(Location.parse(place / "out"), facts, len(entries), groups)


def chosen(survey: Survey, most: int) -> list[ListingEntry]:
    """That many images, evenly spaced in the order of their paths; all if there are no more."""
    every = max(1, survey.images / most)
    with survey.planning(keep=()) as connection:
        found = rows(
            connection,
            "SELECT path, bytes, token, etag, fault FROM ("  # noqa: S608 - numbers of our own
            "SELECT *, row_number() OVER (ORDER BY path) - 1 AS n FROM listing WHERE fault IS NULL) "
            f"WHERE floor(n / {every!r}) > floor((n - 1) / {every!r}) OR n = 0 ORDER BY n LIMIT {int(most)}",
        )
        return [ListingEntry(*row) for row in found]


def _settings(
    job: Job, entries: Sequence[ListingEntry], groups: Sequence[str | None] | None, place: Path
) -> Settings:
    """Write the list of the sample, and say how it is run: as the job is, but for where its images are."""
    source = job.source
    roots = source.roots if isinstance(source, ImageSource) else (source,)
    with (place / "list.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["uri", "bytes", "etag", GROUP])
        for entry, group in zip(entries, groups or [None] * len(entries), strict=True):
            tag = entry.etag if entry.token == entry.etag else None
            table.writerow([(source / entry.path).url, entry.bytes if tag else "", tag or "", group or ""])
    listed = SourceSettings(roots=tuple(root.url for root in roots))
    # The frames of a sample are far apart: of a video's shots they say nothing.
    known = {"method": "single"} if job.settings.clusters.method == listed_groups.SHOTS else {}
    known = known if groups is None else {"method": f"column:{GROUP}"}
    clusters = job.settings.clusters.model_copy(update={"growth": "anew", **known})
    atlases = job.settings.atlases.model_copy(update={"resolve": ()})
    engine = job.settings.engine
    if engine.kind == "auto" and not in_process(engine, job.survey.images):
        # The sample is small enough to need no workers; the whole is not.
        engine = engine.model_copy(update={"kind": "dask"})
    sections = {"source": listed, "clusters": clusters, "atlases": atlases, "engine": engine}
    return job.settings.model_copy(update=sections)


def _groups(job: Job, entries: Sequence[ListingEntry]) -> list[str | None] | None:
    """The group of every image, None for one without; None where groups are not known."""
    method = job.settings.clusters.method
    names = [entry.path for entry in entries]
    if listed_groups.grouped_by_id(job.survey, method):

        def content(entry: ListingEntry) -> str:
            try:
                return content_id((job.source / entry.path).read_bytes())
            except UserError:
                return ""  # it has no id, and so no group

        names = list(in_threads(content, entries))
    found = listed_groups.groups(job.survey, method, names)
    return None if found is None else [found.get(name) for name in names]


def _outcome(
    destination: Location, facts: dict[str, Any], images: int, groups: Sequence[str | None] | None
) -> Sampled:
    publication = published(destination)
    assert publication is not None  # noqa: S101 - the run has just ended
    markers: dict[str, list[Marker]] = {}
    for stage, marker in published_markers(destination, publication):
        if marker is not None:
            markers.setdefault(stage, []).append(marker)
    written = {
        stage: (
            sum(file.bytes for marker in found for file in marker.outputs.values()),
            sum(len(marker.outputs) + 1 for marker in found),
        )
        for stage, found in markers.items()
    }
    site = [item.bytes for item in (destination / "report").objects()]
    if site:
        written["report"] = (sum(site), len(site))
    atlases = markers.get("atlases", [])
    return Sampled(
        images,
        facts["images"]["ok"],
        facts,
        tuple(
            SetCost(
                int(one.record["n_images"]),
                one.seconds,
                sum(file.bytes for file in one.outputs.values()),
                len(one.outputs) + 1,
            )
            for one in atlases
        ),
        written,
        facts["images"]["ok"] - sum(int(one.record["n_images"]) for one in atlases),
        next((str(one.record["device"]) for one in atlases if one.record["device"]), "cpu"),
        sum(group is not None for group in groups or ()),
    )
