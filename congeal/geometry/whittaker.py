"""Whittaker's smoother: series over time made smooth by penalising their acceleration, without any lag.

E. T. Whittaker, "On a New Method of Graduation" (1923); P. H. C. Eilers, "A Perfect Smoother" (2003). What
moves steadily is left as it is; weights say how far each value is to be believed; one of none is filled in.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from congeal.geometry.shape_checks import checked

Doubles = npt.NDArray[np.float64]
LEAST = 1e-9  # of a weight, so that every series has a solution
AT_ONCE = 2_000_000  # values that are worked on at once


def stiffness(period: float) -> float:
    """The weight of the penalty that lets through half of a movement with this period, in steps of time."""
    return 1.0 / (2 - 2 * math.cos(2 * math.pi / max(period, 2.0))) ** 2


@checked
def smoothed(
    values: Float[np.ndarray, "t k c"],
    weights: Float[np.ndarray, "t k"],
    times: Float[np.ndarray, " t"],
    penalty: float,
) -> Doubles:
    """k series of c coordinates at t times, smoothed: float64 [t, k, c].

    Minimises Σ w·|x - value|² + penalty · Σ |x''|², x'' by divided differences in units of the median step.

    Args:
        values: [t, k, c].
        weights: [t, k], ≥ 0.
        times: [t], rising, in any unit.
        penalty: see `stiffness`; 0 leaves the values as they are.
    """
    t, k, _ = values.shape
    if t < 3 or penalty <= 0:
        return np.asarray(values, np.float64).copy()
    bands = _bands(times) * penalty
    out = np.empty(values.shape, np.float64)
    step = max(1, AT_ONCE // t)
    for first in range(0, k, step):
        some = slice(first, first + step)
        out[:, some] = _solved(bands, np.maximum(weights[:, some], LEAST), values[:, some])
    return out


def _bands(times: Doubles) -> Doubles:
    """The main diagonal and the two beside it of D'D, [3, t], D taking second differences."""
    h = np.diff(np.asarray(times, np.float64))
    h = np.maximum(h / np.median(h), 1e-3)
    before, after = h[:-1], h[1:]
    rows = np.stack([2 / (before * (before + after)), -2 / (before * after), 2 / (after * (before + after))])
    bands = np.zeros((3, len(times)))
    for one in range(3):
        for other in range(one, 3):
            bands[other - one, one : one + rows.shape[1]] += rows[one] * rows[other]
    return bands


def _solved(bands: Doubles, weights: Doubles, values: npt.NDArray[np.floating]) -> Doubles:
    """(W + B) x = W y for many diagonals W at once, by the L·D·L' factors of the five-diagonal matrix."""
    t, k, _ = values.shape
    diagonal, one, two = np.empty((t, k)), np.zeros((t, k)), np.zeros((t, k))
    x = np.asarray(values, np.float64) * weights[..., None]
    for at in range(t):
        diagonal[at] = weights[at] + bands[0, at]
        if at > 0:
            diagonal[at] -= one[at - 1] ** 2 * diagonal[at - 1]
            x[at] -= one[at - 1, :, None] * x[at - 1]
        if at > 1:
            diagonal[at] -= two[at - 2] ** 2 * diagonal[at - 2]
            x[at] -= two[at - 2, :, None] * x[at - 2]
        if at + 1 < t:
            one[at] = bands[1, at]
            if at > 0:
                one[at] -= one[at - 1] * two[at - 1] * diagonal[at - 1]
            one[at] /= diagonal[at]
        if at + 2 < t:
            two[at] = bands[2, at] / diagonal[at]
    x /= diagonal[..., None]
    for at in range(t - 2, -1, -1):
        x[at] -= one[at, :, None] * x[at + 1]
        if at + 2 < t:
            x[at] -= two[at, :, None] * x[at + 2]
    return x
