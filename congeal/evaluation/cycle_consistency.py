"""k-cycle PCK: do points that are handed from image to image come back to where they began?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from congeal.errors import CongealError
from congeal.evaluation.pck import Annotated, Transfer

MOST_CYCLES = 1000  # cycles of one length that are followed; of more, as many are drawn


def cycle_pck(
    images: Sequence[Annotated], transfer: Transfer, length: int, alphas: Sequence[float], seed: int = 0
) -> list[float] | None:
    """k-cycle PCK: the share of points that come back, carried through `length` different images in turn.

    A point counts if it is visible in all of them; it has come back if it is within α times the first
    image's unit of where it began (ASIC, Gupta et al. 2023). Of more than MOST_CYCLES cycles, as many are
    drawn.

    Returns:
        The share in percent for each α, or None if no point is visible in `length` images.

    Raises:
        CongealError: if length is less than 2.
    """
    if length < 2:
        raise CongealError(f"a cycle leads through two images at least, not {length}")
    errors, units = [], []
    for cycle in _cycles(len(images), length, seed):
        seen = np.logical_and.reduce([images[image].visible for image in cycle])
        start = points = images[cycle[0]].points[seen]
        if len(start):
            for source, target in itertools.pairwise((*cycle, cycle[0])):
                points = transfer(source, target, points)
            errors.append(np.linalg.norm(points - start, axis=1))
            units.append(np.full(len(start), images[cycle[0]].unit))
    if not errors:
        return None
    error, unit = np.concatenate(errors), np.concatenate(units)
    return [100 * float((error <= alpha * unit).mean()) for alpha in alphas]


def _cycles(count: int, length: int, seed: int) -> list[tuple[int, ...]]:
    if length > count:
        return []
    ways = math.perm(count, length)
    if ways <= MOST_CYCLES:
        return list(itertools.permutations(range(count), length))
    random = np.random.default_rng(seed)
    return [tuple(map(int, random.permutation(count)[:length])) for _ in range(MOST_CYCLES)]
