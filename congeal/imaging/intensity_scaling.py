"""Samples deeper than 8 bits to 8-bit pixels: which values become black and white, and the scaling between.

In this order: a range that is given; a range that the file states (`Samples.declared`), if its own values use
it; else robust percentiles of the image. 8-bit images never come here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Range = tuple[float, float]

# Raised whenever the pixels of a deep image change: units that hold one are then made anew.
VERSION = 2
PERCENTILES = (0.1, 99.9)
# A stated range counts if the image's own spread is at least this share of it, so that it leaves 32 levels.
USED = 1 / 8
INSIDE = 0.5  # and if at least this share of the values lies in it
# One value that is repeated and lies further from all others than this many times their spread is no part of
# the scene (a border, a fill value that nothing declares): it does not take part in the percentiles.
APART = 4.0
MOST_SAMPLED = 1_048_576
BLOCK = 4_194_304  # values scaled at once
FLOAT_EDGE = float(np.finfo(np.float32).max)  # many fill with the lowest or the highest float32


@dataclass(frozen=True)
class Samples:
    """The samples of an image that are deeper than 8 bits, in the file's own numbers.

    values: [h, w] or [h, w, 3], any real dtype. bits: per sample, of the container. missing: bool [h, w], no
    measurement there, or None. alpha: float32 [h, w] in [0, 1], or None. declared: ranges (low, high) that
    the file states, the most telling first. inverted: the lowest value is white.
    """

    values: Values
    bits: int
    missing: Mask | None = None
    alpha: npt.NDArray[np.float32] | None = None
    declared: tuple[Range, ...] = ()
    inverted: bool = False


# A signalling NaN, or a number too large for its new type, is no fault of the program.
@np.errstate(all="ignore")
def eight_bits(samples: Samples, given: Range | None = None) -> Pixels:
    """The samples as uint8 [h, w] or [h, w, 3]: `given` or the found range to 0-255, the rest clipped.

    NaN and missing values are black (whatever is inverted), infinite ones black or white; transparency is
    laid over white. One range serves all channels, so that colours keep their hue. What has but one value is
    black.
    """
    low, high = value_range(samples) if given is None else given
    pixels = np.empty(samples.values.shape, np.uint8)
    for rows in _blocks(samples.values):
        block = samples.values[rows]
        scaled = _scaled(block, low, high)
        nothing = np.isnan(scaled)
        if samples.inverted:
            scaled = 1 - scaled
        scaled[nothing] = 0
        if samples.missing is not None:
            scaled[samples.missing[rows]] = 0
        if samples.alpha is not None:
            alpha = samples.alpha[rows]
            alpha = alpha[..., None] if scaled.ndim > alpha.ndim else alpha
            scaled = scaled * alpha + (1 - alpha)
        pixels[rows] = np.rint(scaled * 255).astype(np.uint8)
    return pixels


@np.errstate(all="ignore")
def value_range(samples: Samples) -> Range:
    """The values that become black and white; equal if there is nothing to tell apart."""
    found = _sampled(samples)
    if not found.size:
        return 0.0, 0.0
    low, high = robust_range(found)
    for stated in samples.declared:
        if _borne_out(stated, found, (low, high)):
            return stated
    return low, high


def robust_range(values: npt.NDArray[np.float64]) -> Range:
    """Low and high percentile of finite values [n], n > 0, without a fill value that lies far off."""
    values = _without_fill(values, -1)
    values = _without_fill(values, 1)
    low, high = _percentiles(values)
    if low < high:
        return low, high
    # All but a few are equal: these few are the picture.
    return float(values.min()), float(values.max())


def _percentiles(values: npt.NDArray[np.float64]) -> Range:
    # Halves, so that the distance of the lowest from the highest number does not overflow.
    low, high = np.percentile(values / 2, PERCENTILES)
    return float(low) * 2, float(high) * 2


def _without_fill(values: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.float64]:
    edge = float(values.min() if side < 0 else values.max())
    at_edge = values == edge
    count = int(np.count_nonzero(at_edge))
    if count < 2 or count / values.size * 100 <= PERCENTILES[0]:
        return values  # few enough to be left out by the percentiles
    rest = values[~at_edge]
    if not rest.size:
        return values
    low, high = _percentiles(rest)
    nearest = float(rest.min() if side < 0 else rest.max())
    spread = high / 2 - low / 2
    return rest if spread > 0 and abs(nearest / 2 - edge / 2) > APART * spread else values


def _borne_out(stated: Range, found: npt.NDArray[np.float64], own: Range) -> bool:
    low, high = stated
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        return False
    if own[1] / 2 - own[0] / 2 < USED * (high / 2 - low / 2):
        return False
    return float(np.mean((found >= low) & (found <= high))) >= INSIDE


def _sampled(samples: Samples) -> npt.NDArray[np.float64]:
    """Up to about MOST_SAMPLED of the values that measure something, on a regular grid, float64 [n]."""
    height, width = samples.values.shape[:2]
    step = 1
    while (height // step) * (width // step) > MOST_SAMPLED:
        step += 1
    grid = (slice(None, None, step), slice(None, None, step))
    values = samples.values[grid].astype(np.float64)
    sound = np.isfinite(values)
    if samples.values.dtype.kind == "f":
        sound &= np.abs(values) != FLOAT_EDGE
    for mask, bad in ((samples.missing, True), (samples.alpha, 0.0)):
        if mask is not None:
            seen = mask[grid] != bad
            sound &= seen[..., None] if values.ndim > seen.ndim else seen
    return values[sound]


def _scaled(block: Values, low: float, high: float) -> npt.NDArray[np.float64]:
    """The block with low at 0 and high at 1, clipped, float64; NaN stays."""
    values = block.astype(np.float64)
    if not low < high:
        return np.where(np.isnan(values), np.nan, 0.0)
    span = high - low
    # The distance of numbers may be too large or too small for a number: then all are made smaller or larger.
    unit = 1.0 if 1e-290 < span < 1e290 else max(abs(low), abs(high))
    with np.errstate(all="ignore"):
        if unit != 1.0:
            values, low, high = values / unit, low / unit, high / unit
        return np.clip((values - low) / (high - low), 0, 1)


def _blocks(values: Values) -> Iterator[slice]:
    height = values.shape[0]
    rows = max(1, BLOCK // max(values[0].size, 1))
    for first in range(0, height, rows):
        yield slice(first, first + rows)
