"""Near copies, such as a camera's burst or the frames of a video: one of them stands for all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from congeal.clustering.set_halves import condensed, unit
from congeal.geometry.arrays import Doubles

# Mean cosine distance up to which images are near copies. Frames of a video have 0.01 to 0.02 to the nearest
# other one, photographs of one kind 0.1 and more, wings on slides and a fixed camera's frames 0.03 to 0.07.
NEAR = 0.03
SHARE = 0.1  # and of the median of all pairs, for backbones by which everything is alike
# In one set most pairs may be those of a burst: there the distance is measured against the wider ones, among
# so many images.
WIDE, JUDGED = 0.9, 256


def groups_of_copies(points: Doubles) -> npt.NDArray[np.intp]:
    """The group, from 0, of near copies that each row of [n, d] belongs to, most of them of one; n ≥ 1.

    points: float64, unit length.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(points) < 2:
        return np.zeros(len(points), np.intp)
    distances = condensed(points)
    near = min(NEAR, SHARE * float(np.median(distances)))
    return np.asarray(fcluster(linkage(distances, "average"), near, "distance") - 1, np.intp)


def no_copies(points: Doubles, count: int) -> npt.NDArray[np.intp]:
    """The first rows of [n, d], at most so many and in order, none of which is a near copy of one before it.

    points: float64, unit length, of one set; most of them may be of one burst.
    """
    if len(points) < 2:
        return np.arange(min(len(points), count))
    few = points[np.linspace(0, len(points) - 1, min(len(points), JUDGED)).astype(np.intp)]
    alike = 1 - min(NEAR, SHARE * float(np.quantile(condensed(few), WIDE)))
    chosen: list[int] = []
    free = np.ones(len(points), bool)
    while len(chosen) < count and free.any():
        first = int(free.argmax())
        chosen.append(first)
        free &= points @ points[first] < alike
        free[first] = False
    return np.array(chosen, np.intp)


def one_of_each(points: Doubles, groups: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The rows of [n, d], in order, that are left if of each group the middle one is.

    points: float64, unit length. groups: from `groups_of_copies`.
    """
    centres = np.zeros((groups.max() + 1, points.shape[1]))
    np.add.at(centres, groups, points)
    middle = (points * unit(centres)[groups]).sum(1)
    order = np.lexsort((np.arange(len(points)), -middle, groups))
    return np.sort(order[np.searchsorted(groups[order], np.arange(len(centres)))])
