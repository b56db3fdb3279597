"""Forward-backward consistency of dense maps: from the atlas to an image and back, how far from the start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from jaxtyping import Real

from congeal.geometry.frames import cell_centres
from congeal.geometry.shape_checks import checked
from congeal.transfer.points import interpolate

Floats = npt.NDArray[np.floating]


@checked
def forward_backward_error(
    forward: Real[Floats, "n r r 2"],
    backward: Real[Floats, "n m m 2"],
    saliency: Real[Floats, "r r"],
    salient: float,
) -> npt.NDArray[np.float32]:
    """How far the maps of n images are from being each other's inverse, float32 [n], atlas units.

    For each image: the mean distance between the centre of a cell of the atlas and where it comes out when it
    is taken into the image by ``forward`` and back by ``backward``, both read bilinearly; over the cells that
    are salient and that ``forward`` puts into the image's square frame. Half the atlas' side is 1. NaN where
    there is no such cell.

    Args:
        forward: [n, r, r, 2], for each cell of the atlas its place in the frame, frame units.
        backward: [n, m, m, 2], for each cell of the frame its place in the atlas.
        saliency: [r, r] of the atlas.
        salient: saliency above which a cell counts.
    """
    starts = np.asarray(cell_centres(saliency.shape[0]), np.float64)[np.asarray(saliency) > salient]
    found = np.full(len(forward), np.nan, np.float32)
    for image, (there, back) in enumerate(zip(forward, backward, strict=True)):
        places = np.asarray(there, np.float64)[np.asarray(saliency) > salient]
        inside = (np.abs(places) <= 1).all(-1)  # never so for what is no number
        if inside.any():
            ends = interpolate(back, places[inside])
            found[image] = np.linalg.norm(ends - starts[inside], axis=-1).mean()
    return found
