"""A run over a sample of the images, into a temporary folder: what a forecast is made of."""

from __future__ import annotations

import csv
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from congeal.settings import Settings, SourceSettings
from flows.planning.machine import clustering_seconds, slowed_down
from flows.planning.sample import Loaded, Request, Sampled, Seen, SetCost
from flows.planning.sets_look import look
from flows.runs.prepare import prepare
from flows.runs.stages import everything
from infra.compute.cores import cores
from infra.compute.engine import in_process
from infra.compute.library_pages import release_library_pages
from infra.compute.numeric_libraries import release_memory, settle_allocator
from infra.compute.progress import Progress
from infra.compute.temporary_folders import temporary_folder
from infra.errors import UserError
from infra.ledger.commits import Marker
from infra.ledger.provenance import resident_bytes
from infra.ledger.publications import published
from infra.storage.image_source import ImageSource
from infra.storage.location import Location
from tasks.catalog import listed_groups
from tasks.execution.published_units import published_markers
from tasks.features import features_stage
from tasks.features.run_backbone import forget

P = ParamSpec("P")
R = TypeVar("R")
LIST = "list.csv"  # the sample's images
GROUP = "group of the image"  # the column of the sample's list where groups are known


def looked(asked: Request) -> Request:
    """The same of images that stand for the whole, where no groups are known: as all of the sample show it.

    What is run of these are whole sets, as large as they are there, and images without one besides.
    """
    if len(asked.entries) <= asked.most or asked.groups is not None:
        return replace(asked, clustering=clustering_seconds(asked.images, asked.settings))
    with _folder(asked.source) as place:
        settings = _settings(asked, place)
        step = _Frugally(asked.apart)
        found = look(Location.parse(place / LIST), Location.parse(place / "look"), settings, step)
    groups: dict[str, str | None] = {
        url: str(number) for number, urls in enumerate(found.typical(asked.most)) for url in urls
    }
    groups |= dict.fromkeys(found.lone[: asked.most - len(groups)])
    entries = tuple(entry for entry in asked.entries if (asked.source / entry.path).url in groups)
    usable = asked.images * found.images / len(asked.entries)
    return replace(
        asked,
        entries=entries,
        groups=tuple(groups[(asked.source / entry.path).url] for entry in entries),
        seen=Seen(tuple(map(len, found.sets)), found.images, len(found.lone)),
        clustering=clustering_seconds(usable, asked.settings),
    )


def run(asked: Request, loaded: Loaded) -> Sampled:
    """Run everything on the sample, in a folder that is gone at the end.

    Where the whole run has workers on this machine, the sample has none: it is run in this process, with the
    threads of one of them. So a plan needs the memory of one, and little more time than its work. What a
    worker adds is measured apart (`flows.planning.machine`). loaded: of such a process.
    """
    engine = asked.settings.engine
    local = engine.address is None and not in_process(engine, asked.images)
    step = _Frugally(asked.apart and local)
    step.make_room()
    base = resident_bytes()
    workers, slower = 1, 1.0
    if local:
        settle_allocator()
        workers = min(engine.workers or cores(), asked.images)
        slower = slowed_down(workers)
    with _folder(asked.source) as place:
        settings = _settings(asked, place)
        inner = prepare(str(place / LIST), str(place / "out"), settings, comparing=False)
        with inner.survey:
            facts = everything(inner, Progress(quiet=True), step=step)
        found = _outcome(Location.parse(place / "out"), facts, asked)
    if not local:
        return replace(
            found,
            workers=facts["workers"],
            start=facts["engine_start_seconds"],
            backbone=step.freed if engine.address is None else 0,
        )
    return replace(
        found,
        workers=workers,
        start=loaded.seconds,
        slower=slower,
        memory=loaded.planning,
        shared=loaded.memory,
        base=base,
    )


@contextmanager
def _folder(source: Location) -> Iterator[Path]:
    """A folder for a sample. What is said of its list, which nobody knows, is said of its source."""
    with temporary_folder("plan") as place:
        try:
            yield place
        except UserError as error:
            listed = Location.parse(place / LIST).url
            if listed not in str(error):
                raise
            raise type(error)(str(error).replace(listed, f"a sample of {source.url}")) from error


class _Frugally:
    """Calls stages, and has the backbone make room after the features. freed: bytes of that.

    each: whether after each stage all that can be is given back, of libraries, too. A run in one process
    does not: what it needs would not be seen.
    """

    def __init__(self, each: bool) -> None:
        self._each = each
        self.freed = 0

    def __call__(self, name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See `flows.runs.stages.Step`."""
        found = function(*args, **kwargs)
        before = resident_bytes()
        if name == features_stage.STAGE:
            forget()
            self.make_room()
            self.freed = max(0, before - resident_bytes())
        elif self._each:
            self.make_room()
        return found

    def make_room(self) -> None:
        """Give what is not in use back to the system."""
        gc.collect()
        release_memory()
        if self._each:
            release_library_pages()


def _settings(asked: Request, place: Path) -> Settings:
    """Write the list of the sample, and say how it is run: as the whole is, but for where its images are."""
    source, whole, groups = asked.source, asked.settings, asked.groups
    roots = source.roots if isinstance(source, ImageSource) else (source,)
    with (place / LIST).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["uri", "bytes", "etag", GROUP])
        for entry, group in zip(asked.entries, groups or [None] * len(asked.entries), strict=True):
            tag = entry.etag if entry.token == entry.etag else None
            table.writerow([(source / entry.path).url, entry.bytes if tag else "", tag or "", group or ""])
    listed = SourceSettings(roots=tuple(root.url for root in roots))
    # The frames of a sample are far apart: of a video's shots they say nothing.
    known = {"method": "single"} if whole.clusters.method == listed_groups.SHOTS else {}
    known = known if groups is None else {"method": f"column:{GROUP}"}
    clusters = whole.clusters.model_copy(update={"growth": "anew", **known})
    atlases = whole.atlases.model_copy(update={"resolve": ()})
    # Sets of few images get second looks more often than those of the whole: 2 of 6 of a sample, 1 of 27.
    alignment = whole.alignment.model_copy(update={"second_look": "off"})
    engine = whole.engine
    if engine.address is None and not in_process(engine, asked.images):
        share = max(1, cores() // (engine.workers or cores()))
        engine = engine.model_copy(update={"kind": "loop", "threads": engine.threads or share})
    sections = {"source": listed, "clusters": clusters, "atlases": atlases, "engine": engine}
    return whole.model_copy(update=sections | {"alignment": alignment})


def _outcome(destination: Location, facts: dict[str, Any], asked: Request) -> Sampled:
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
        len(asked.entries),
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
        sum(group is not None for group in asked.groups or ()),
        seen=asked.seen,
        clustering=asked.clustering,
    )
