"""How sure a map is of the object: one number for an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Real

from congeal.geometry.arrays import Doubles
from congeal.geometry.shape_checks import checked

Floats = npt.NDArray[np.floating]


@checked
def object_confidence(
    confidence: Real[Floats, "n r r"], saliency: Real[Floats, "r r"], least: float
) -> Doubles:
    """Mean confidence of maps over what their atlas shows of the object, weighted by its saliency.

    Around the object maps are of no confidence, and an atlas may leave much room around it: a mean over all
    of it would say how large the object is.

    Args:
        confidence: [n, r, r] of n forward maps, 0 to 1.
        saliency: [r, r] of their atlas, 0 to 1.
        least: saliency above which a cell shows the object.

    Returns:
        float64 [n], 0 to 1; the plain mean where no cell is above it.
    """
    weight = np.where(np.asarray(saliency) > least, np.asarray(saliency, np.float64), 0.0)
    if not weight.sum() > 0:
        weight = np.ones_like(weight)
    return np.asarray(np.tensordot(np.asarray(confidence, np.float64), weight, 2) / weight.sum())
