"""The clusters of an earlier version after images have come and gone: they keep ids and order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.settings import Settings
from tasks.clusters.cluster_placement import with_references
from tasks.clusters.cluster_roles import (
    MEMBER,
    NEWCOMER,
    SINGLE,
    Floats,
    Rows,
    Sorting,
    names_of,
    rule_of,
    sort,
)
from tasks.clusters.regrade import Regrade

Labels = npt.NDArray[np.int32]


class Grown(NamedTuple):
    """Every image's row. joined: images that came to a cluster there was. founded: new clusters."""

    rows: Rows
    joined: int
    founded: int


def grow(
    embeddings: Floats,
    ids: pa.ChunkedArray,
    earlier: pa.Table,
    settings: Settings,
    regrade: Regrade,
    version: int,
    references: Mapping[str, str] | None = None,
) -> Grown:
    """Let newcomers join the clusters of an earlier version, and found clusters of what belongs to none.

    embeddings: float32 [n, d], unit length. ids: of the images. earlier: for each image cluster_id, role,
    rank and distance as they were, whether it was `known`, and the `size` that its cluster had. Whoever was
    there keeps all of it, unless the cluster is graded anew. version: see `sort`. references: cluster to the
    id of the image that comes first in it.
    """
    was = earlier["cluster_id"].to_pylist()
    known = np.asarray(earlier["known"].to_pylist(), bool)
    names = sorted({name for name in was if name is not None})
    label_of = {name: label for label, name in enumerate(names)}
    labels = np.array([-1 if name is None else label_of[name] for name in was], np.int32)
    if not names:
        sorting = sort(embeddings, settings, version)
        rows = Rows(len(was), sorting.distances)
        rows.grade(sorting, names_of(sorting, ids), settings, embeddings, version)
        return Grown(rows, 0, len(sorting.medoids))
    rows = _as_they_were(earlier)
    now, distances = _joined(embeddings, labels, rows, known, settings, version)
    loose = labels < 0
    rows.distances[~known] = distances[~known]
    graded = _changed(earlier, names, labels, now, regrade) + list(range(len(names), int(now.max()) + 1))
    _append(rows, names, labels, now)
    if graded:
        sorting = _graded(embeddings, now, graded, settings, version)
        fresh = iter(names_of(sorting, ids))
        called = [
            names[label] if label < len(names) else name for label, name in zip(graded, fresh, strict=True)
        ]
        sorting = with_references(sorting, called, ids, references or {})
        rows.grade(sorting, called, settings, embeddings, version)
    joined = int(np.count_nonzero(loose & (now >= 0) & (now < len(names))))
    return Grown(rows, joined, int(now.max()) + 1 - len(names))


def _as_they_were(earlier: pa.Table) -> Rows:
    rows = Rows(earlier.num_rows, np.array(earlier["distance"].fill_null(1).to_pylist(), np.float32))
    rows.cluster_ids = earlier["cluster_id"].to_pylist()
    rows.roles = earlier["role"].to_pylist()
    rows.ranks = earlier["rank"].to_pylist()
    return rows


def _joined(
    embeddings: Floats,
    labels: Labels,
    rows: Rows,
    known: npt.NDArray[np.bool_],
    settings: Settings,
    version: int,
) -> tuple[Labels, Floats]:
    """The label of every image now, and the distances of newcomers."""
    if settings.clusters.method == SINGLE and not labels.max(initial=0):
        first = min((rank, at) for at, rank in enumerate(rows.ranks) if rank is not None)[1]
        return np.zeros(len(labels), np.int32), (1 - embeddings @ embeddings[first]).astype(np.float32)
    from congeal.clustering.incremental import join

    settled = np.array([role not in (None, NEWCOMER) for role in rows.roles])
    asked = settings.clusters
    found = join(
        embeddings,
        labels,
        settled,
        ~known,
        smallest=asked.smallest,
        sample=asked.sample,
        seed=settings.seed,
        rule=rule_of(version),
    )
    return found.labels, found.distances


def _changed(earlier: pa.Table, names: list[str], labels: Labels, now: Labels, regrade: Regrade) -> list[int]:
    """The labels of the clusters that are graded anew: also where nobody is left who built the atlas."""
    was, size = earlier["cluster_id"].to_pylist(), earlier["size"].to_pylist()
    sizes = {name: count for name, count in zip(was, size, strict=True) if count is not None}
    built = {name for name, role in zip(was, earlier["role"].to_pylist(), strict=True) if role == MEMBER}
    left = np.bincount(labels[labels >= 0], minlength=len(names))
    count = np.bincount(now[now >= 0], minlength=len(names))
    return [
        label
        for label, name in enumerate(names)
        if name in regrade.always
        or name not in built
        or (name in regrade.if_changed and not left[label] == count[label] == sizes.get(name))
    ]


def _append(rows: Rows, names: list[str], labels: Labels, now: Labels) -> None:
    """Enter the newcomers to clusters there were, each after all others, by distance.

    An image that a correction keeps in its cluster comes back as a newcomer, too.
    """
    last = [-1] * len(names)
    for label, rank in zip(labels.tolist(), rows.ranks, strict=True):
        if label >= 0 and rank is not None:
            last[label] = max(last[label], rank)
    without = np.array([rank is None for rank in rows.ranks], bool)
    came = np.flatnonzero(without & (now >= 0) & (now < len(names)))
    for position in came[np.lexsort((came, rows.distances[came]))].tolist():
        label = int(now[position])
        last[label] += 1
        rows.cluster_ids[position] = names[label]
        rows.roles[position] = NEWCOMER
        rows.ranks[position] = last[label]


def _graded(embeddings: Floats, now: Labels, graded: list[int], settings: Settings, version: int) -> Sorting:
    """The order in some of the sets, from all of their images."""
    if settings.clusters.method == SINGLE and not now.max(initial=0):
        return sort(embeddings, settings, version)
    from congeal.clustering.agglomerative import around_centres

    place = np.full(int(now.max()) + 2, -1, np.int32)  # the last for those without a set
    place[graded] = np.arange(len(graded))
    found = around_centres(embeddings, place[now], len(graded))
    return Sorting(found.labels, found.medoids, found.distances)
