"""Splitting a collection's embeddings into sets that show one kind of thing.

Average linkage on cosine distance, cut where the silhouette is best: the number of sets comes from the
data, and a set is not cut up for being large. A set whose halves stand apart
(`congeal.clustering.set_halves`) is split, everybody is assigned to the nearest set where directions in which
neighbours differ are discounted, and who is far from every set is an outlier. A collection larger than the
sample is sorted by the sets of the sample, and what they leave over is sampled again, so that rare kinds are
found, too; memory stays bounded. Near copies do not say how a collection is split
(`congeal.clustering.near_copies`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.clustering.near_copies import groups_of_copies, one_of_each
from congeal.clustering.set_halves import (
    SPLITTABLE,
    blocks,
    condensed,
    halves_apart,
    neighbour_metric,
    silhouette,
    unit,
)
from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int32]

APART = 0.3  # silhouette from which a collection counts as more than one set
REACH = 3.0
FEW = 10  # images too few for a decile
CUTS = 64
PASSES = 3
MANY = 0.125  # share left over beside bursts, from which on it is split, too, and does not count as outliers


class Rule(NamedTuple):
    """What a split heeds.

    halve_small: sets of few images are split, too, where their halves stand apart. thin_out: near copies do
    not say how a collection is split. keep_few: whoever was found to be in a set of few images stays in it,
    since these do not tell how far a set reaches.
    """

    halve_small: bool = True
    thin_out: bool = True
    keep_few: bool = True


TODAY = Rule()


@dataclass(frozen=True)
class Clustering:
    """The sets of a collection of n images.

    Attributes:
        labels: int32 [n], 0 to k−1, by falling size; −1 for an outlier.
        medoids: int32 [k], the image nearest to each set's centre.
        distances: float32 [n], cosine distance to the centre of the own set, for an outlier of the nearest.
    """

    labels: Labels
    medoids: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]


def cluster(
    embeddings: Floats,
    *,
    smallest: int = 3,
    sample: int = 5_000,
    seed: int = 0,
    rule: Rule = TODAY,
) -> Clustering:
    """Find the sets of a collection.

    Args:
        embeddings: float [n, d], one row an image; only directions count.
        smallest: images that make a set.
        sample: how many images are compared with each other at most; beyond, the collection is sampled.
        seed: fixes the samples.
        rule: what the split heeds.

    Raises:
        CongealError: if the embeddings are not a finite matrix.
    """
    if embeddings.ndim != 2 or not len(embeddings):
        raise CongealError(f"embeddings have the shape [n, d] with n ≥ 1, not {list(embeddings.shape)}")
    generator = np.random.default_rng(seed)
    labels = np.full(len(embeddings), -1, np.int32)
    centres = np.zeros((0, embeddings.shape[1]))
    asked = np.ones(len(embeddings), bool)
    for turn in range(PASSES):
        loose = np.flatnonzero((labels < 0) & asked)
        if len(loose) < smallest:
            break
        picked = np.sort(generator.choice(loose, min(sample, len(loose)), replace=False))
        points = unit(embeddings[picked])
        thinned = False
        if rule.thin_out and not turn:
            copies = groups_of_copies(points)
            kept = one_of_each(points, copies)
            if 2 * smallest <= len(kept) < len(picked):
                thinned, points = True, points[kept]
        if len(picked) == len(loose):
            asked[:] = False  # all of it was seen
            if thinned:
                asked[picked] = np.bincount(copies)[copies] >= smallest  # a burst may be a set of its own
        groups = _sets(points, smallest, seed, rule.halve_small)
        if not groups:
            if thinned:
                continue
            break
        metric = neighbour_metric(points)
        groups = _polished(points, groups, metric, smallest)
        centres = np.concatenate([centres, [points[group].mean(0) for group in groups]])
        means = unit(centres[-len(groups) :])
        few = SPLITTABLE if rule.keep_few else FEW
        reach = np.array(
            [reach_of(points[group] @ mean, few) for group, mean in zip(groups, means, strict=True)]
        )
        found = assigned(embeddings, loose, centres[-len(groups) :], reach, metric)
        first = len(centres) - len(groups)
        labels[loose[found >= 0]] = found[found >= 0] + first
        if thinned and (found < 0).mean() > MANY:
            asked[:] = True
    return _result(embeddings, labels, smallest)


def _sets(points: Doubles, smallest: int, seed: int, halve_small: bool) -> list[npt.NDArray[np.intp]]:
    """The sets of a sample, of at least ``smallest`` each; the rest is left over."""
    from scipy.cluster.hierarchy import fcluster, linkage

    n = len(points)
    if n < 2 * smallest:
        return [np.arange(n)] if n >= smallest else []
    tree = linkage(condensed(points), "average")
    best, chosen = APART, np.ones(n, int)
    for height in np.linspace(0.3, 1.0, CUTS, endpoint=False) * tree[-1, 2]:
        labels = fcluster(tree, height, "distance")
        if labels.max() > n // 2:
            continue
        quality = silhouette(points, labels - 1)
        if quality > best:
            best, chosen = quality, labels
    groups = [np.flatnonzero(chosen == label) for label in np.unique(chosen)]
    groups = [part for group in groups for part in _split(points, group, smallest, seed, halve_small)]
    return [group for group in groups if len(group) >= smallest]


def _split(
    points: Doubles, group: npt.NDArray[np.intp], smallest: int, seed: int, halve_small: bool
) -> list[npt.NDArray[np.intp]]:
    """The group, or its halves if they stand apart, and theirs."""
    labels = halves_apart(points[group], smallest, seed, small=halve_small)
    if labels is None:
        return [group]
    halves = (group[labels == label] for label in (0, 1))
    return [part for half in halves for part in _split(points, half, smallest, seed, halve_small)]


def _polished(
    points: Doubles, groups: list[npt.NDArray[np.intp]], metric: Doubles, smallest: int, rounds: int = 10
) -> list[npt.NDArray[np.intp]]:
    """Lloyd's iterations from the groups in the given metric; the left over stay left over."""
    members = np.sort(np.concatenate(groups))
    here = points[members] @ metric
    here = unit(here - here.mean(0))
    labels = np.empty(len(points), int)
    for label, group in enumerate(groups):
        labels[group] = label
    labels = labels[members]
    for _ in range(rounds):
        kept = np.flatnonzero(np.bincount(labels) >= smallest)
        means = unit(np.stack([here[labels == label].mean(0) for label in kept]))
        moved = (here @ means.T).argmax(1)
        if len(kept) == labels.max() + 1 and np.array_equal(moved, labels):
            break
        labels = moved
    parts = (members[labels == label] for label in np.unique(labels))
    return [part for part in parts if len(part) >= smallest]


def reach_of(cosine: Doubles, few: int = FEW) -> float:
    """The least cosine with a set's centre that counts as belonging: thrice as far out as the common edge.

    cosine: [m], of the set's images with its centre. The edge is their lower decile; all images of a set of
    fewer than `few`, too small to have one, are within reach.
    """
    middle, low = np.quantile(cosine, [0.5, 0.1])
    reach = middle - REACH * (middle - low)
    return float(min(reach, cosine.min()) if len(cosine) < few else reach)


def assigned(
    embeddings: Floats, rows: npt.NDArray[np.intp], centres: Doubles, reach: Doubles, metric: Doubles
) -> Labels:
    """The nearest set of each row, or −1 if it is out of reach of it.

    Args:
        embeddings: float [n, d].
        rows: which of them.
        centres: [k, d], the sets' means.
        reach: [k] from `reach_of`.
        metric: [d, d] from `neighbour_metric`, in which the nearest is sought.
    """
    found = np.full(len(rows), -1, np.int32)
    offset = centres.mean(0) if len(centres) > 1 else np.zeros(centres.shape[1])
    targets = unit((centres - offset) @ metric)
    directions = unit(centres)
    for window in blocks(len(rows)):
        points = unit(embeddings[rows[window]])
        nearest = (unit((points - offset) @ metric) @ targets.T).argmax(1)
        cosine = (points * directions[nearest]).sum(1)
        found[window] = np.where(cosine >= reach[nearest], nearest, -1)
    return found


def _result(embeddings: Floats, labels: Labels, smallest: int) -> Clustering:
    """Sets by falling size (the earlier member first among equals), their medoids, everybody's distance."""
    count = np.bincount(labels[labels >= 0], minlength=labels.max() + 1 if len(labels) else 0)
    kept = [label for label in range(len(count)) if count[label] >= smallest]
    first = {label: int(np.argmax(labels == label)) for label in kept}
    order = sorted(kept, key=lambda label: (-count[label], first[label]))
    renamed = np.full(len(labels), -1, np.int32)
    for new, label in enumerate(order):
        renamed[labels == label] = new
    return around_centres(embeddings, renamed, len(order))


def around_centres(embeddings: Floats, labels: Labels, k: int) -> Clustering:
    """Sets 0 to k−1 that are known, each with an image, and what follows: medoids, everybody's distance.

    embeddings: float [n, d]. labels: int32 [n], −1 for who belongs to none.
    """
    distances = np.ones(len(labels), np.float32)
    if not k:
        return Clustering(labels, np.zeros(0, np.int32), distances)
    centres = unit(sums(embeddings, labels, k))
    medoids = np.zeros(k, np.int32)
    best = np.full(k, -np.inf)
    for window in blocks(len(labels)):
        cosine = unit(embeddings[window]) @ centres.T
        own = labels[window]
        mine = np.where(own >= 0, cosine[np.arange(len(own)), own], cosine.max(1))
        distances[window] = 1 - mine
        for label in np.unique(own[own >= 0]):
            rows = np.flatnonzero(own == label)
            top = rows[mine[rows].argmax()]
            if mine[top] > best[label]:
                best[label], medoids[label] = mine[top], window.start + top
    return Clustering(labels, medoids, distances)


def sums(embeddings: Floats, labels: Labels, k: int) -> Doubles:
    """[k, d]: the unit vectors of each set's images, added up."""
    total = np.zeros((k, embeddings.shape[1]))
    for window in blocks(len(labels)):
        inside = labels[window] >= 0
        np.add.at(total, labels[window][inside], unit(embeddings[window])[inside])
    return total
