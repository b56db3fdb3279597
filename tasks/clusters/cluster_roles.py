"""Who belongs to which set, and in which order: the split of a collection, and the grades in each set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.settings import Settings
from infra.ledger.commits import digest
from tasks.catalog.listed_groups import SHOTS
from tasks.execution import stage_versions

if TYPE_CHECKING:
    from congeal.clustering.agglomerative import Rule

VERSION = stage_versions.VERSIONS[stage_versions.CLUSTERS]
SINGLE = "single"
# Who builds the atlas, who was fitted to it then, who came later.
MEMBER, FITTED, NEWCOMER = "member", "fitted", "newcomer"
EXCLUDED = "excluded"  # by a correction: it belongs nowhere, and is no outlier

Floats = npt.NDArray[np.float32]


class Sorting(NamedTuple):
    """Which set each image belongs to (-1: none), each set's medoid, each image's distance from it."""

    labels: npt.NDArray[np.int32]
    medoids: npt.NDArray[np.int32]
    distances: Floats


def sort(embeddings: Floats, settings: Settings, version: int = VERSION) -> Sorting:
    """The split that the settings ask for: everything in one set, or what the embeddings say.

    embeddings: float32 [n, d], unit length. version: of this stage, by whose rule it is split. Distances are
    1 - cosine.
    """
    asked = settings.clusters
    if asked.method == SINGLE:
        mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        medoid = int(np.argmax(embeddings @ mean))
        distances = (1 - embeddings @ embeddings[medoid]).astype(np.float32)
        return Sorting(np.zeros(len(embeddings), np.int32), np.array([medoid], np.int32), distances)
    from congeal.clustering.agglomerative import cluster

    found = cluster(
        embeddings,
        smallest=asked.smallest,
        sample=asked.sample,
        seed=settings.seed,
        rule=rule_of(version),
    )
    return Sorting(found.labels, found.medoids, found.distances)


def rule_of(version: int) -> Rule:
    """What a version of this stage heeds when it splits."""
    from congeal.clustering.agglomerative import TODAY, Rule

    return (
        TODAY
        if version > stage_versions.FIRST_SPLIT
        else Rule(halve_small=False, thin_out=False, keep_few=False)
    )


class Rows:
    """What the table of members says of n images beside where their features lie; None: belongs nowhere."""

    def __init__(self, n: int, distances: Floats | None = None) -> None:
        self.cluster_ids: list[str | None] = [None] * n
        self.roles: list[str | None] = [None] * n
        self.ranks: list[int | None] = [None] * n
        self.distances = np.ones(n, np.float32) if distances is None else distances

    def grade(
        self,
        sorting: Sorting,
        names: list[str],
        settings: Settings,
        embeddings: Floats,
        version: int = VERSION,
    ) -> None:
        """Enter sets by name; those that the settings ask for build each atlas, the medoid has rank 0.

        embeddings: float32 [n, d], unit length, of all images. version: of this stage, by whose rule.
        """
        atlas_size, by_change = settings.atlases.atlas_size, builders_of(settings) == "change"
        for name, nearest in zip(names, in_order(sorting), strict=True):
            self.distances[nearest] = sorting.distances[nearest]
            inside = nearest
            if by_change:
                inside = nearest[changing_first(embeddings[nearest], atlas_size)]
            elif version > stage_versions.COPIES_BUILD and len(nearest) > atlas_size:
                inside = nearest[copies_last(embeddings[nearest], atlas_size)]
            for rank, position in enumerate(inside.tolist()):
                self.cluster_ids[position] = name
                self.roles[position] = MEMBER if rank < atlas_size else FITTED
                self.ranks[position] = rank

    def table(self) -> pa.Table:
        """position, cluster_id, role, rank, distance of every image."""
        return pa.table(
            {
                "position": pa.array(range(len(self.roles)), pa.int64()),
                "cluster_id": pa.array(self.cluster_ids, pa.string()),
                "role": pa.array(self.roles, pa.string()),
                "rank": pa.array(self.ranks, pa.int32()),
                "distance": pa.array(self.distances, pa.float32()),
            }
        )


def builders_of(settings: Settings) -> str:
    """Which images build an atlas: "central" or "change"."""
    asked = settings.atlases.builders
    if asked == "auto":
        return "change" if settings.clusters.method == SHOTS else "central"
    return asked


def with_builders(settings: Settings) -> Settings:
    """The same, which images build an atlas being said outright."""
    atlases = settings.atlases.model_copy(update={"builders": builders_of(settings)})
    return settings.model_copy(update={"atlases": atlases})


def changing_first(embeddings: Floats, first: int) -> npt.NDArray[np.intp]:
    """An order of images: the first one, then in turn the one least like all before it, so many of them; then
    the others as they came.

    embeddings: float32 [n, d], unit length. The farthest-point order of Gonzalez (1985), for k-centres.
    """
    chosen = [0]
    away = 1 - embeddings @ embeddings[0]
    away[0] = -np.inf
    while len(chosen) < min(first, len(embeddings)):
        farthest = int(np.argmax(away))
        chosen.append(farthest)
        away = np.minimum(away, 1 - embeddings @ embeddings[farthest])
        away[chosen] = -np.inf
    rest = np.setdiff1d(np.arange(len(embeddings)), chosen)
    return np.concatenate([np.array(chosen, np.intp), rest])


def copies_last(embeddings: Floats, first: int) -> npt.NDArray[np.intp]:
    """An order of images: as they come, but so many that are no near copies of one another before all others.

    Else a burst near the middle of a set would be its atlas. Where there are not so many, copies follow.

    embeddings: float32 [n, d], unit length.
    """
    from congeal.clustering.near_copies import no_copies

    chosen = no_copies(embeddings.astype(np.float64), first)
    return np.concatenate([chosen, np.setdiff1d(np.arange(len(embeddings)), chosen)])


def in_order(sorting: Sorting) -> Iterator[npt.NDArray[np.intp]]:
    """The images of each set by distance, the medoid first."""
    nearness = sorting.distances.astype(np.float64)
    nearness[sorting.medoids] = -np.inf
    order = np.lexsort((np.arange(len(nearness)), nearness, sorting.labels))
    starts = np.searchsorted(sorting.labels[order], np.arange(len(sorting.medoids) + 1))
    for start, end in pairwise(starts.tolist()):
        yield order[start:end]


def names_of(sorting: Sorting, ids: pa.ChunkedArray) -> list[str]:
    """A name for each set, from the ids of its images."""
    return [name_of(ids.take(pa.array(inside)).to_pylist()) for inside in in_order(sorting)]


def name_of(image_ids: Iterable[str]) -> str:
    """The name of a cluster that is founded by these images."""
    return "c" + digest(sorted(image_ids), length=12)[:11]
