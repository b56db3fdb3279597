"""Which images of a sample belong together: they get features once, and are split as a collection is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow.parquet as pq

from congeal.settings import Settings
from flows.runs.prepare import prepare
from flows.runs.stages import Step, plainly
from infra.compute.cores import cores
from infra.compute.engine import LoopEngine
from infra.compute.progress import Progress
from infra.storage.location import Location
from tasks.catalog import catalog_stage
from tasks.catalog.listed_groups import by_turns
from tasks.clusters import clusters_stage
from tasks.execution.stage_runner import Run
from tasks.features import features_stage

SHARD = 8 * 2**20  # bytes of features that are written at once: nothing is told of how long that takes


class Look(NamedTuple):
    """URLs of the images of each set, the largest set first, and of those without one."""

    sets: list[list[str]]
    lone: list[str]

    @property
    def images(self) -> int:
        """All that could be used."""
        return len(self.lone) + sum(map(len, self.sets))

    def typical(self, most: int) -> list[list[str]]:
        """Whole sets of at most so many images in all, large and small ones by turns; of the first, a part
        if it is larger than that."""
        return [self.sets[number][:most] for number in by_turns(list(map(len, self.sets)), most)]


def look(source: Location, destination: Location, settings: Settings, step: Step = plainly) -> Look:
    """Catalogue, features and clusters of a list of images, in this process; mirror images are left out.

    settings: as a run over the list would have them. step: calls the stages.
    """
    features = settings.features.model_copy(update={"mirror": False, "shard_bytes": SHARD})
    inner = prepare(
        source.url, destination.url, settings.model_copy(update={"features": features}), comparing=False
    )
    with inner.survey:
        assert inner.weights is not None  # noqa: S101 - nothing is there yet
        run = Run(inner.source, inner.destination, inner.settings, LoopEngine(cores()), Progress(quiet=True))
        catalogued = step("catalog", catalog_stage.stage, run, inner.survey)
        featured = step("features", features_stage.stage, run, catalogued, inner.weights)
        clustered = step("clusters", clusters_stage.stage, run, catalogued, featured)
        with catalogued.images.open() as file:
            images = pq.read_table(file, columns=["image_id", "uri", "status"]).to_pylist()
        with clustered.members.open() as file:
            members = pq.read_table(file, columns=["image_id", "cluster_id"]).to_pylist()
    places = {row["image_id"]: row["uri"] for row in images if row["status"] == "ok"}
    sets: dict[str, list[str]] = {}
    lone = []
    for row in members:
        place = places[row["image_id"]]
        if row["cluster_id"] is None:
            lone.append(place)
        else:
            sets.setdefault(row["cluster_id"], []).append(place)
    return Look(sorted(map(sorted, sets.values()), key=_largest_first), sorted(lone))


def _largest_first(places: Sequence[str]) -> tuple[int, str]:
    return -len(places), places[0]
