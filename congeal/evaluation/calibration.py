"""How far a confidence can be believed: of the points with confidence p, is the share p right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Real

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles, Flags
from congeal.geometry.shape_checks import Numbers, checked


@dataclass(frozen=True)
class Calibration:
    """The table of a reliability diagram (Guo, Pleiss, Sun, Weinberger 2017).

    Attributes:
        edges: float64 [b + 1], the bins' limits; a bin holds its upper limit, the first one its lower, too.
        count: int64 [b], points in each bin.
        confidence: float64 [b], their mean confidence, NaN for an empty bin.
        correct: float64 [b], the share of them that is correct, NaN for an empty bin.
        error: expected calibration error, the mean of |confidence − correct| over the points, 0 to 1.
    """

    edges: Doubles
    count: npt.NDArray[np.int64]
    confidence: Doubles
    correct: Doubles
    error: float


@checked
def calibration(
    confidence: Real[Doubles, " m"], correct: Numbers[Flags, " m"], bins: int = 10
) -> Calibration:
    """Hold confidences [m] in [0, 1] against what turned out [m].

    >>> import numpy as np
    >>> found = calibration(np.array([0.9, 0.9, 0.1, 0.2]), np.array([True, False, False, False]))
    >>> float(found.error)
    0.275
    >>> found.count.tolist()
    [1, 1, 0, 0, 0, 0, 0, 0, 2, 0]

    Raises CongealError if there are no points, a confidence is not between 0 and 1, or there is no bin.
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise CongealError(f"bins is a whole number, at least 1, not {bins!r}")
    if not len(confidence):
        raise CongealError("there are no points whose confidence could be held against the truth")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise CongealError("confidences lie between 0 and 1")
    edges = np.arange(bins + 1) / bins
    member = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(member, minlength=bins)
    total = np.maximum(count, 1)
    mean = np.where(count > 0, np.bincount(member, weights=confidence, minlength=bins) / total, np.nan)
    share = np.where(count > 0, np.bincount(member, weights=correct, minlength=bins) / total, np.nan)
    error = float(np.nansum(np.abs(mean - share) * count) / count.sum())
    return Calibration(edges, count, mean, share, error)
