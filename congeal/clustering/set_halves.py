"""Whether the images of one set are two kinds of thing: halves of the set that stand apart.

Of many images the halves are sought in the metric of their own neighbourhoods, where directions in which
neighbours differ are discounted. Few do not tell such a metric well enough to be parted by it: their halves
are what average linkage joins last, as in the split of a whole collection, and stand apart by both measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles

Floats = npt.NDArray[np.floating[Any]]
Halves = npt.NDArray[np.int32]

SPLITTABLE = 30  # images below which a set's own metric is too uncertain to split it by
HALVES = 0.35  # silhouette in that metric from which the halves of a set count as two sets
# Of a set of fewer images: by cosine, and in that metric. Mugs and teapots have 0.51 and 0.99, aeroplanes in
# two styles up to 0.65 and 0.52.
SMALL_HALVES, SMALL_HALVES_OWN = 0.45, 0.6
LEAST = 5  # images of a half
NEIGHBOURS = 5
BLOCK = 16_384
COMPARED = 1_024  # rows that are compared with all others at once


def halves_apart(points: Doubles, smallest: int, seed: int, *, small: bool = True) -> Halves | None:
    """The half (0 or 1), int32 [n], that each image of a set [n, d] belongs to; None: the set is one.

    points: float64, unit length. smallest: images that make a set. small: False leaves sets of fewer than
    SPLITTABLE images as they are.
    """
    if len(points) >= max(SPLITTABLE, 4 * smallest):
        labels, quality = halves_of(points, seed)
        apart = quality >= HALVES
    elif small and len(points) >= 2 * max(smallest, LEAST):
        labels = _linked_halves(points)
        apart = (
            silhouette(points, labels) >= SMALL_HALVES
            and silhouette(_own_metric(points), labels) >= SMALL_HALVES_OWN
        )
    else:
        return None
    return labels if apart and np.bincount(labels, minlength=2).min() >= max(smallest, LEAST) else None


def halves_of(points: Doubles, seed: int) -> tuple[Halves, float]:
    """The halves (0, 1), int32 [n], of a set [n, d] in its neighbourhoods' metric; their silhouette there."""
    from sklearn.cluster import KMeans

    here = _own_metric(points)
    labels = KMeans(2, n_init=10, random_state=seed).fit_predict(here)
    return labels, silhouette(here, labels)


def _own_metric(points: Doubles) -> Doubles:
    """The points [n, d] around their middle, at unit length, in the metric of their neighbourhoods."""
    here = points @ neighbour_metric(points)
    return unit(here - here.mean(0))


def _linked_halves(points: Doubles) -> Halves:
    from scipy.cluster.hierarchy import fcluster, linkage

    found = fcluster(linkage(condensed(points), "average"), 2, "maxclust")
    return np.asarray(found - 1, np.int32)


def condensed(points: Doubles) -> Doubles:
    """The cosine distances of all pairs, float64 [n (n − 1) / 2], as scipy's linkage takes them."""
    from scipy.spatial.distance import pdist

    return np.asarray(np.maximum(pdist(points, "cosine"), 0), np.float64)


def unit(rows: Floats) -> Doubles:
    """The rows of [n, d] at unit length, float64; ``CongealError`` if one is not finite."""
    wide = np.asarray(rows, np.float64)
    if not np.isfinite(wide).all():
        raise CongealError("embeddings are finite numbers, and some of these are not")
    length: Doubles = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.maximum(length, 1e-12)


def silhouette(points: Doubles, labels: npt.NDArray[np.integer]) -> float:
    """The mean silhouette (Rousseeuw 1987) under cosine distance, exact, in O(n·k·d).

    For unit vectors the mean cosine with a group is the product with the group's mean, so that no n×n matrix
    is needed. A point alone in its group counts 0.

    points: float64 [n, d], unit length. labels: int [n], from 0.
    """
    count = np.bincount(labels)
    if len(count) < 2:
        return 0.0
    sums = np.zeros((len(count), points.shape[1]))
    np.add.at(sums, labels, points)
    total = 0.0
    for rows in blocks(len(points)):
        own, at = labels[rows], np.arange(rows.stop - rows.start)
        cosine = points[rows] @ sums.T
        within = (cosine[at, own] - 1) / np.maximum(count[own] - 1, 1)
        others = cosine / count
        others[at, own] = -np.inf
        near, far = 1 - within, 1 - others.max(1)
        value = (far - near) / np.maximum(np.maximum(near, far), 1e-12)
        total += float(value[count[own] > 1].sum())
    return total / len(points)


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover n rows, few enough at once for memory."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def neighbour_metric(points: Doubles, ridge: float = 0.1) -> Doubles:
    """[d, d] that whitens the differences between near neighbours: what varies within a kind weighs less."""
    k = min(NEIGHBOURS, len(points) - 1)
    if k < 1:
        return np.eye(points.shape[1])
    scatter = np.zeros((points.shape[1], points.shape[1]))
    for column in nearest(points, k).T:
        difference = points - points[column]
        scatter += difference.T @ difference
    values, vectors = np.linalg.eigh(scatter / (2 * len(points) * k))
    scale: Doubles = np.sqrt(np.maximum(values, 0) + ridge * max(float(values.mean()), 1e-12))
    return np.asarray(vectors / scale, np.float64)


def nearest(points: Doubles, k: int) -> npt.NDArray[np.intp]:
    """The k nearest others of each of n points [n, d], k < n, the nearest first: intp [n, k].

    As scikit-learn's NearestNeighbors finds them, whose import takes longer than all else that is done with a
    small collection's embeddings.
    """
    found = np.empty((len(points), k), np.intp)
    square = (points**2).sum(1)
    for rows in blocks(len(points), COMPARED):
        at = np.arange(rows.start, rows.stop)
        away = square - 2 * (points[rows] @ points.T)  # but for what is the same in a row
        away[at - rows.start, at] = np.inf
        near = np.argpartition(away, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(away, near, 1), axis=1, kind="stable")
        found[rows] = np.take_along_axis(near, order, 1)
    return found
