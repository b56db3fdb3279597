"""Several answers to the same question made one: places that different sources name, by their confidence."""

from __future__ import annotations

import numpy as np
from jaxtyping import Real

from congeal.geometry.arrays import Doubles
from congeal.geometry.shape_checks import checked

AGREEMENT = 0.03  # of the image's side: how far apart two answers may be and still say the same
ROUNDS = 5
LEAST = 1e-6  # weight of an answer without any confidence, so that nothing but such answers still has a mean


@checked
def combine_points(
    xy: Real[Doubles, "s n k 2"], confidence: Real[Doubles, "s n k"], sides: Real[Doubles, " n"]
) -> tuple[Doubles, Doubles]:
    """What s sources say about n x k points, as one place and one confidence each.

    Args:
        xy: float64 [s, n, k, 2], pixels of the n images; NaN where a source does not know the point.
        confidence: float64 [s, n, k] in [0, 1].
        sides: float64 [n], the images' longer sides in pixels: the unit of what counts as agreement.

    Returns:
        xy [n, k, 2]: the mean by squared confidence, in which an answer far from the others loses its say
        (Geman-McClure weights, refitted a fixed number of times); NaN where no source knows the point.
        confidence [n, k]: the mean confidence, times how well the sources agree. One source alone comes back
        as it is.
    """
    if len(xy) == 1:
        return xy[0], confidence[0]
    known = np.asarray(np.isfinite(xy).all(-1))
    places = np.where(known[..., None], xy, 0.0)
    trust = np.where(known, np.maximum(confidence**2, LEAST), 0.0)
    reach = (AGREEMENT * np.asarray(sides, np.float64))[None, :, None] ** 2
    weight = trust
    for _ in range(ROUNDS):
        total = np.maximum(weight.sum(0), 1e-300)
        centre = (weight[..., None] * places).sum(0) / total[..., None]
        near = reach / (reach + ((places - centre) ** 2).sum(-1))
        weight = trust * near**2
    share = trust / np.maximum(trust.sum(0), 1e-300)
    sure = (share * np.where(known, confidence, 0.0)).sum(0) * (share * near).sum(0)
    anyone = np.asarray(known.any(0))
    return np.where(anyone[..., None], centre, np.nan), np.where(anyone, sure, 0.0)
