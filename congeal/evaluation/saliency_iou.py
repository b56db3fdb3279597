"""Object masks: what an atlas takes for the object, held against what people have drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from congeal.alignment.model import SALIENT
from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.transfer.points import Floats, Maps, interpolate

Bytes = npt.NDArray[np.uint8]

OBJECT = 255
IGNORED = 128
AT_ONCE = 2**18  # pixels that are looked up together


def carried_saliency(saliency: Floats, maps: Maps, points: Doubles) -> Doubles:
    """The atlas' saliency [k] at pixels [k, 2] of an image; 0 where the atlas does not reach.

    saliency: [r, r] over the atlas, in [0, 1].
    """
    places = interpolate(maps.backward, np.asarray(maps.frame.to_frame(np.asarray(points, np.float64))))
    reached = (np.abs(places) <= 1).all(1)
    values = interpolate(saliency, np.clip(places, -1, 1))
    return np.where(reached, np.clip(values, 0, 1), 0.0)


def saliency_iou(
    saliency: Floats, maps: Maps, mask: Bytes, corner: tuple[int, int] = (0, 0), threshold: float = SALIENT
) -> float:
    """Intersection over union of a mask and the atlas' saliency in the image, 0 to 1.

    Args:
        saliency: [r, r] over the atlas, in [0, 1].
        maps: of the image.
        mask: uint8 [h, w], OBJECT, IGNORED, or anything else for the background.
        corner: the pixel (left, top) of the mask that is the image's first; what lies off the image is
            ignored.
        threshold: saliency from which a pixel counts as the object.

    Raises:
        CongealError: if the mask and the image have nothing in common.
    """
    height, width = mask.shape
    left, top = corner
    rows = range(max(0, top), min(height, top + maps.frame.height))
    columns = np.arange(max(0, left), min(width, left + maps.frame.width))
    if not rows or not len(columns):
        raise CongealError(f"a mask of {width} x {height} pixels does not cover its image")
    both = either = 0
    step = max(1, AT_ONCE // len(columns))
    for first in range(rows.start, rows.stop, step):
        y = np.arange(first, min(first + step, rows.stop))
        points = np.stack(np.meshgrid(columns - left, y - top), -1).reshape(-1, 2)
        found = carried_saliency(saliency, maps, points) >= threshold
        truth = mask[y[:, None], columns].reshape(-1)
        counted = truth != IGNORED
        drawn = truth == OBJECT
        both += int((found & drawn & counted).sum())
        either += int(((found | drawn) & counted).sum())
    return both / either if either else 1.0
