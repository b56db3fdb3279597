"""Newcomers of a collection that is sorted already: the sets they belong to, and those that they found.

A set is known by its reference images, those it had when it was last sorted: its centre, how far it reaches,
how alike its images are. So whoever joins does not shift it, and it does not matter who came first. A
newcomer belongs to the nearest set if that reaches so far, by the rule of `congeal.clustering.agglomerative`.
Newcomers who together stand apart from the set that they came to leave it again. Those who belong nowhere,
and outliers from before, found sets where they are as alike as the images of the least alike set are, or
stand apart from every set.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.clustering.agglomerative import APART, TODAY, Rule, assigned, cluster, reach_of, sums
from congeal.clustering.set_halves import (
    HALVES,
    LEAST,
    SPLITTABLE,
    blocks,
    condensed,
    halves_of,
    neighbour_metric,
    unit,
)
from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles, Flags

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]

NEW = 0.75  # share of newcomers from which a half of a set counts as theirs


@dataclass(frozen=True)
class Joined:
    """The sets of n images after newcomers have come.

    Attributes:
        labels: int32 [n], as they were; k and on for the sets that were founded; −1 for an outlier.
        distances: float32 [n], of newcomers, cosine distance to the centre of the own set, for an outlier of
            the nearest; 1 for everybody else.
    """

    labels: Labels
    distances: npt.NDArray[np.float32]


def join(
    embeddings: Floats,
    labels: Labels,
    reference: Flags,
    new: Flags,
    *,
    smallest: int = 3,
    sample: int = 5_000,
    seed: int = 0,
    rule: Rule = TODAY,
) -> Joined:
    """Take newcomers into the sets that there are, and found sets of those who belong to none.

    Args:
        embeddings: float [n, d], one row an image; only directions count.
        labels: int32 [n], 0 to k−1 with k ≥ 1 and an image in each; −1 for outliers and newcomers.
        reference: bool [n], the images by which the sets are known; a set without any is known by all of its.
        new: bool [n], the newcomers. Outliers that were there before may only help to found a set.
        smallest: images that make a set.
        sample: how many images are compared with each other at most.
        seed: fixes the samples.
        rule: what sets that are founded heed.

    Raises:
        CongealError: if an embedding is not finite, or there is no set.
    """
    k = int(labels.max(initial=-1)) + 1
    if k < 1:
        raise CongealError(
            "there is no set to join: sort the images with congeal.clustering.agglomerative.cluster"
        )
    known = np.where(reference, labels, -1).astype(np.int32)
    without = np.bincount(known[known >= 0], minlength=k) == 0
    known = np.where((labels >= 0) & without[labels], labels, known).astype(np.int32)
    generator = np.random.default_rng(seed)
    count = np.bincount(known[known >= 0], minlength=k)
    total = sums(embeddings, known, k)
    means = total / count[:, None]
    joined = labels.copy()
    rows = np.flatnonzero(new & (labels < 0))
    if len(rows):
        base = unit(embeddings[_picked(np.flatnonzero(known >= 0), sample, generator)])
        joined[rows] = assigned(
            embeddings, rows, means, _reach(embeddings, known, total), neighbour_metric(base)
        )
        for label in np.unique(joined[rows[joined[rows] >= 0]]):
            leaving = _leaving(embeddings, joined == label, known == label, new, smallest, sample, seed)
            joined[leaving] = -1
        found = _founders(embeddings, joined, new, means, _spread(means, count), smallest, sample, seed, rule)
        for group in found:
            joined[group] = len(means)
            means = np.concatenate([means, unit(embeddings[group]).mean(0, keepdims=True)])
    return Joined(joined, _distances(embeddings, rows, joined, unit(means)))


def _picked(rows: Rows, most: int, generator: np.random.Generator) -> Rows:
    if len(rows) <= most:
        return rows
    some: Rows = np.sort(generator.choice(rows, most, replace=False))
    return some


def _reach(embeddings: Floats, known: Labels, total: Doubles) -> Doubles:
    """How far each set reaches [k]; ``total`` [k, d]: its images, added up.

    Every image is compared with the others of its set, since a newcomer has no part in the centre either.
    """
    cosine = np.full(len(known), np.nan)
    for window in blocks(len(known)):
        inside = np.flatnonzero(known[window] >= 0) + window.start
        points = unit(embeddings[inside])
        cosine[inside] = (points * unit(total[known[inside]] - points)).sum(1)
    order = np.argsort(known, kind="stable")
    parts = pairwise(np.searchsorted(known[order], np.arange(len(total) + 1)))
    reach = np.array([reach_of(cosine[order[a:b]]) if b - a > 1 else np.nan for a, b in parts])
    # One image alone does not say how far its set reaches.
    usual = float(np.median(reach[np.isfinite(reach)])) if np.isfinite(reach).any() else 0.0
    return np.where(np.isfinite(reach), reach, usual)


def _leaving(
    embeddings: Floats, inside: Flags, known: Flags, new: Flags, smallest: int, sample: int, seed: int
) -> Rows:
    """The newcomers to a set who are one of their own: its halves stand apart, and one of them is theirs."""
    came = np.flatnonzero(inside & new)
    if len(came) < max(smallest, LEAST) or inside.sum() < SPLITTABLE:
        return came[:0]
    generator = np.random.default_rng(seed)
    others = _picked(np.flatnonzero(inside & ~new), sample // 2, generator)
    rows = np.concatenate([others, _picked(came, sample // 2, generator)])
    halves, quality = halves_of(unit(embeddings[rows]), seed)
    if quality < HALVES:
        return came[:0]
    for half in (0, 1):
        theirs = rows[halves == half]
        if len(theirs) >= max(smallest, LEAST) and (~known[theirs]).mean() >= NEW:
            going: Rows = theirs[new[theirs]]
            return going
    return came[:0]


def _spread(means: Doubles, count: npt.NDArray[np.intp]) -> float:
    """The mean distance between two images of the least alike set."""
    several = count > 1
    # For unit vectors the mean cosine of all pairs follows from the length of their mean.
    pairs = ((means[several] ** 2).sum(1) * count[several] - 1) / (count[several] - 1)
    return float((1 - pairs).max(initial=0.0))


def _founders(
    embeddings: Floats,
    joined: Labels,
    new: Flags,
    means: Doubles,
    spread: float,
    smallest: int,
    sample: int,
    seed: int,
    rule: Rule,
) -> list[Rows]:
    """Those without a set, in sets of their own, the largest first; each with a newcomer in it."""
    loose = np.flatnonzero(joined < 0)
    if len(loose) < smallest:
        return []
    found = cluster(embeddings[loose], smallest=smallest, sample=sample, seed=seed, rule=rule).labels
    groups: list[Rows] = []
    for label in range(-1, int(found.max()) + 1):
        group = loose[found == label]
        if label >= 0 and _is_set(embeddings, group, means, spread):
            groups.append(group)
        else:
            # A mixed bag; there may be a set in it nevertheless.
            groups += _alike(embeddings, group[:sample], spread, smallest)
    groups = [group for group in groups if new[group].any()]
    return sorted(groups, key=lambda group: (-len(group), int(group[0])))


def _is_set(embeddings: Floats, group: Rows, means: Doubles, spread: float) -> bool:
    """Its images are as alike as those of a set, or stand apart from all sets as sets do from each other."""
    points = unit(embeddings[group])
    own = points.mean(0)
    if _spread(own[None], np.array([len(group)])) <= spread:
        return True
    near = 1 - (points @ own * len(group) - 1) / max(len(group) - 1, 1)
    far = 1 - (points @ means.T).max(1)
    return bool(((far - near) / np.maximum(np.maximum(near, far), 1e-12)).mean() >= APART)


def _alike(embeddings: Floats, rows: Rows, spread: float, smallest: int) -> list[Rows]:
    """Groups of rows under average linkage, of at least ``smallest`` each."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(rows) < max(smallest, 2):
        return []
    tree = linkage(condensed(unit(embeddings[rows])), "average")
    found = fcluster(tree, spread, "distance")
    groups = (rows[found == label] for label in np.unique(found))
    return [group for group in groups if len(group) >= smallest]


def _distances(
    embeddings: Floats, rows: Rows, labels: Labels, directions: Doubles
) -> npt.NDArray[np.float32]:
    distances = np.ones(len(labels), np.float32)
    for window in blocks(len(rows)):
        some = rows[window]
        cosine = unit(embeddings[some]) @ directions.T
        own = labels[some]
        distances[some] = 1 - np.where(own >= 0, cosine[np.arange(len(own)), own], cosine.max(1))
    return distances
