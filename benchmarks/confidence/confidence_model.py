"""The few numbers of the confidence of a carried point, fitted by likelihood to what turned out.

A place is right with the odds of its terms against what is usual in its set, by weights that cannot be
negative, on a level: one where maps are smooth, one where cells are matched, and more of it the more plain
matching bears the set out. A point is right if both of its places are (`congeal.alignment.maps.confidence`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from congeal.alignment.config.maps import ConfidenceConfig
from congeal.geometry.arrays import Doubles, Flags

SHRINKAGE = 1e-3  # penalty on squared weights of terms in units of their spread
SUREST = 1e-4  # likelihoods are taken of probabilities between this and its complement


@dataclass(frozen=True)
class Carried:
    """What became of m points of a set.

    Attributes:
        freedom: of its maps.
        confidence: float64 [m], as the product gives it.
        right: bool [m], within a tenth of the protocol's unit. close: bool [m], within the protocol's α.
        source, target: float64 [m, 3], terms of both places against the set's usual ones.
        shows: float64 [m], whether the object shows at both.
        agreement: of the set beyond the usual, as far as it has images (`trusted_by`).
        by_cell: whether cells are matched.
    """

    freedom: str
    confidence: Doubles
    right: Flags
    close: Flags
    source: Doubles
    target: Doubles
    shows: Doubles
    agreement: float
    by_cell: bool


def design(one: Carried) -> tuple[Doubles, Doubles]:
    """What the numbers of the model are multiplied by at the source and the target, [m, 6]."""
    of_set = np.array([not one.by_cell, one.by_cell, one.agreement], np.float64)
    both = (np.hstack([side, np.tile(of_set, (len(side), 1))]) for side in (one.source, one.target))
    source, target = both
    return source, target


def probability(numbers: Doubles, one: Carried) -> Doubles:
    """Of being right, [m]; numbers: [6], three weights, two levels and the weight of agreement."""
    source, target = design(one)
    return np.exp(_log_sigmoid(source @ numbers) + _log_sigmoid(target @ numbers)) * one.shows


def fitted(sets: Sequence[Carried]) -> Doubles:
    """The numbers [6] most likely on some sets, each of which has the same say; that of agreement stays."""
    designs = [design(one) for one in sets]
    scale = np.ones(6)
    scale[:3] = np.concatenate([one.source for one in sets]).std(0)

    def loss(scaled: Doubles) -> tuple[float, Doubles]:
        numbers, total, slope = scaled / scale, 0.0, np.zeros(6)
        for one, (source, target) in zip(sets, designs, strict=True):
            here, there = source @ numbers, target @ numbers
            p = np.exp(_log_sigmoid(here) + _log_sigmoid(there)) * one.shows
            p = np.clip(p, SUREST, 1 - SUREST)
            total -= np.where(one.right, np.log(p), np.log(1 - p)).mean()
            of_p = np.where(one.right, 1, -p / (1 - p)) / len(p)
            away = (of_p / (1 + np.exp(side)) for side in (here, there))
            for one_side, weight in zip((source, target), away, strict=True):
                slope -= one_side.T @ weight
        weights = scaled[:3]
        slope = slope / scale / len(sets)
        slope[:3] += 2 * SHRINKAGE * weights
        return total / len(sets) + SHRINKAGE * float(weights @ weights), slope

    # The weight of agreement is not fitted: it hangs on the few sets that are wrong as a whole.
    agreement = ConfidenceConfig().agreement_weight
    start = scale * np.array([1.0, 0.5, 0.2, 2.5, 2.0, agreement])
    bounds = [(0, None)] * 3 + [(None, None)] * 2 + [(agreement, agreement)]
    found: Doubles = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found / scale


def product_numbers(config: ConfidenceConfig) -> Doubles:
    """Those of the solver."""
    return np.array(
        [*config.term_weights, config.level, config.level_by_cell, config.agreement_weight], np.float64
    )


def _log_sigmoid(x: Doubles) -> Doubles:
    return -np.logaddexp(0, -x)
