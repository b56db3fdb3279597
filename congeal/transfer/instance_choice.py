"""Which of several things of one kind in an image a mark lies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.geometry.arrays import Doubles
from congeal.geometry.polygons import of_box
from congeal.transfer.annotations import Annotation
from congeal.transfer.points import Maps, to_atlas

MOST = 256  # points of a mark that are asked
Pixels = npt.NDArray[Any]


def instance_at(points: Doubles, instances: Mapping[int, Maps]) -> int:
    """The instance of an image whose map knows points best.

    Args:
        points: [k, 2], pixels of the image; what is not finite says nothing.
        instances: the maps of its instances, by their numbers.

    Returns:
        The number of the instance with the highest mean confidence; the lowest where two are as sure.
    """
    known = points[np.isfinite(points).all(1)]
    known = known[:: 1 + len(known) // MOST]
    sure = {
        number: float(to_atlas(known, maps)[1].mean()) if len(known) else 0.0
        for number, maps in instances.items()
    }
    return min(sure, key=lambda number: (-sure[number], number))


def places_of_painting(pixels: Pixels) -> Doubles:
    """Where something is painted [k, 2].

    pixels: of an edit [h, w, 4], of which what is seen counts; or of a mask or labels [h, w].
    """
    shown = pixels[..., 3] if pixels.ndim == 3 else pixels
    rows, columns = np.nonzero(shown)
    return np.stack([columns, rows], 1).astype(np.float64)


def places_of_annotation(annotation: Annotation) -> Doubles:
    """Places [k, 2] on what is marked: its keypoints, else its mask, outlines or box."""
    if annotation.keypoints is not None:
        return np.asarray(annotation.keypoints, np.float64)
    if annotation.mask is not None:
        return places_of_painting(annotation.mask)
    if len(annotation.polygons):
        outlines = np.concatenate([np.asarray(one, np.float64) for one in annotation.polygons])
        return np.concatenate([outlines, outlines.mean(0, keepdims=True)])
    if annotation.box is not None:
        corners = np.asarray(of_box(annotation.box), np.float64)
        middle = corners.mean(0)
        return np.concatenate([middle + (corners - middle) * share for share in (0.0, 0.25, 0.5)])
    return np.zeros((0, 2))
