"""A run over a sample of the images, into a temporary folder: what a forecast is made of."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from congeal.settings import Settings, SourceSettings
from flows.planning.machine import Loading, slowed_down
from flows.planning.sets_look import Look, look
from flows.prepare import Job, prepare
from flows.stages import everything
from infra.compute.cores import cores
from infra.compute.engine import in_process
from infra.compute.numeric_libraries import release_memory, settle_allocator
from infra.compute.progress import Progress
from infra.compute.temporary_folders import temporary_folder
from infra.errors import UserError
from infra.ledger.commits import Marker
from infra.ledger.provenance import resident_bytes
from infra.ledger.publications import published
from infra.storage.image_source import ImageSource
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog import listed_groups
from tasks.catalog.image_reading import content_id
from tasks.catalog.listing_entries import ListingEntry
from tasks.catalog.source_listing import Survey
from tasks.execution.duckdb_workspace import rows
from tasks.execution.published_units import published_markers
from tasks.features import features_stage
from tasks.features.run_backbone import forget

P = ParamSpec("P")
R = TypeVar("R")
WIDER = 3  # times as many images as are run are looked at for what sets there are
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
        workers: of the whole run, at once. start: seconds until they are there.
        slower: how many times as long a unit takes while all workers are at work.
        memory: bytes that the whole run's process has beside its workers'; 0: it has none. shared: that the
            one has from which these are forked. base: that this one had before the sample was run.
        backbone: bytes that the sample did without while atlases were made; a run keeps the backbone.
        grouped: images that are in a group, where groups are known.
        found: sizes of the sets of a wider sample of `looked` images, of which `alone` are without one;
            looked 0: there was none, and `sets` are what there is to go by.
    """

    images: int
    ok: int
    facts: dict[str, Any]
    sets: tuple[SetCost, ...]
    written: dict[str, tuple[int, int]]
    lone: int
    device: str
    grouped: int = 0
    found: tuple[int, ...] = ()
    looked: int = 0
    alone: int = 0
    workers: int = 1
    start: float = 0.0
    slower: float = 1.0
    memory: int = 0
    shared: int = 0
    base: int = 0
    backbone: int = 0


@contextmanager
def sampled(job: Job, most: int, progress: Progress, loading: Loading) -> Iterator[Sampled]:
    """Run everything on at most so many images of a job, and take the results away at the end.

    Where the whole run has workers on this machine, the sample has none: it is run in this process, with the
    threads of one of them. So a plan needs the memory of one, and little more time than its work. What a
    worker adds is measured apart (`flows.planning.machine`). loading: of this process.
    """
    engine = job.settings.engine
    local = engine.address is None and not in_process(engine, job.survey.images)
    _make_room()
    workers, slower = 1, 1.0
    if local:
        settle_allocator()
        workers = min(engine.workers or cores(), job.survey.images)
        slower = slowed_down(workers)
    with temporary_folder("plan") as place:
        entries, groups, seen = _taken(job, most, place, progress)
        settings = _settings(job, entries, groups, place)
        inner = prepare(str(place / "list.csv"), str(place / "out"), settings, comparing=False)
        base, step = resident_bytes(), _Frugally()
        with inner.survey:
            facts = everything(inner, progress, step=step)
        found = _outcome(Location.parse(place / "out"), facts, len(entries), groups)
        if seen is not None:
            sizes = tuple(map(len, seen.sets))
            found = replace(found, found=sizes, looked=seen.images, alone=len(seen.lone))
        if not local:
            yield replace(
                found,
                workers=facts["workers"],
                start=facts["engine_start_seconds"],
                backbone=step.freed if engine.address is None else 0,
            )
        else:
            yield replace(
                found,
                workers=workers,
                start=loading.seconds,
                slower=slower,
                memory=loading.planning,
                shared=loading.after,
                base=base,
            )


def _taken(
    job: Job, most: int, place: Path, progress: Progress
) -> tuple[list[ListingEntry], list[str | None] | None, Look | None]:
    """What is run, and the group of each where groups are known; else as a wider sample shows them.

    In the small sample alone a set would have too few images to be seen. What is run of the wider one are
    whole sets, as large as they are there, and images without one besides; and whole groups, where these are
    known.
    """
    method = job.settings.clusters.method
    if method != "auto" or job.survey.images <= most:
        whole = listed_groups.whole_groups(job.survey, method, most) if job.survey.images > most else None
        entries = chosen(job.survey, most) if not whole else _named(job.survey, whole)
        job.survey.rest()
        return entries, _groups(job, entries), None
    entries = chosen(job.survey, WIDER * most)
    job.survey.rest()
    settings = _settings(job, entries, None, place)
    seen = look(Location.parse(place / "list.csv"), Location.parse(place / "look"), settings, progress)
    _make_room()
    groups: dict[str, str | None] = {
        url: str(number) for number, urls in enumerate(seen.typical(most)) for url in urls
    }
    groups |= dict.fromkeys(seen.lone[: most - len(groups)])
    entries = [entry for entry in entries if (job.source / entry.path).url in groups]
    return entries, [groups[(job.source / entry.path).url] for entry in entries], seen


class _Frugally:
    """Calls stages, and has the backbone make room after the features. freed: bytes of that."""

    def __init__(self) -> None:
        self.freed = 0

    def __call__(self, name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See `flows.stages.Step`."""
        found = function(*args, **kwargs)
        if name == features_stage.STAGE:
            before = resident_bytes()
            _make_room()
            self.freed = max(0, before - resident_bytes())
        return found


def _make_room() -> None:
    """Let go of the backbone; it is loaded again in a moment where it is needed."""
    forget()
    release_memory()


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


def _named(survey: Survey, paths: Collection[str]) -> list[ListingEntry]:
    """Those of some paths, in order."""
    with survey.planning(keep=()) as connection:
        every = "SELECT path, bytes, token, etag, fault FROM listing WHERE fault IS NULL ORDER BY path"
        return [ListingEntry(*row) for row in rows(connection, every) if row[0] in paths]


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
    # Sets of few images get second looks more often than those of the whole: 2 of 6 of a sample, 1 of 27.
    alignment = job.settings.alignment.model_copy(update={"second_look": "off"})
    engine = job.settings.engine
    if engine.address is None and not in_process(engine, job.survey.images):
        share = max(1, cores() // (engine.workers or cores()))
        update = {"kind": "loop", "threads": engine.threads or share}
        engine = engine.model_copy(update=update)
    sections = {"source": listed, "clusters": clusters, "atlases": atlases, "engine": engine}
    sections["alignment"] = alignment
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
