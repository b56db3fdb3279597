"""Points from one image to another by way of the atlas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from congeal.coordinates import Frame
from congeal.errors import CongealError

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

VISIBLE = 0.25  # confidence from which a counterpart counts as seen


@dataclass(frozen=True)
class Maps:
    """The dense maps of one image.

    Attributes:
        frame: the image's frame.
        forward: [r, r, 2], for each atlas cell its place in the image, in pixels of the original.
        forward_confidence: [r, r].
        backward: [m, m, 2], for each cell of the frame its place in the atlas.
        backward_confidence: [m, m].
    """

    frame: Frame
    forward: Floats
    forward_confidence: Floats
    backward: Floats
    backward_confidence: Floats


@dataclass(frozen=True)
class Transferred:
    """Counterparts of k points: xy float64 [k, 2] in pixels, confidence [k] in [0, 1], visible bool [k]."""

    xy: Doubles
    confidence: Doubles
    visible: npt.NDArray[np.bool_]


def interpolate(field: Floats, at: Doubles) -> Doubles:
    """Values of a cell-centred field [r, r] or [r, r, c] over [-1, 1]² at points [k, 2], bilinear.

    Beyond the outermost centres the field goes on straight, so that coordinates stay exact up to the border.
    """
    side = field.shape[0]
    index = (np.asarray(at, np.float64)[:, ::-1].T + 1) * side / 2 - 0.5
    layers = np.asarray(field, np.float64).reshape(side, side, -1)
    if side == 1:
        values = np.repeat(layers[0, :1], index.shape[1], axis=0)
    else:
        lower = np.clip(np.floor(index), 0, side - 2).astype(int)
        part = np.clip(index - lower, -1.5, 2.5)
        (row, column), (down, right) = lower, part
        top = layers[row, column] * (1 - right[:, None]) + layers[row, column + 1] * right[:, None]
        below = layers[row + 1, column] * (1 - right[:, None]) + layers[row + 1, column + 1] * right[:, None]
        values = top * (1 - down[:, None]) + below * down[:, None]
    return values[:, 0] if field.ndim == 2 else values


def to_atlas(points: Floats, maps: Maps) -> tuple[Doubles, Doubles]:
    """Pixels [k, 2] of an image to atlas positions [k, 2] and their confidence [k]."""
    at = np.asarray(maps.frame.to_frame(np.asarray(points, np.float64)))
    confidence = np.clip(interpolate(maps.backward_confidence, at), 0, 1)
    return interpolate(maps.backward, at), confidence


def from_atlas(places: Floats, maps: Maps) -> tuple[Doubles, Doubles]:
    """Atlas positions [k, 2] to pixels [k, 2] of an image and their confidence [k]."""
    at = np.asarray(places, np.float64)
    confidence = np.clip(interpolate(maps.forward_confidence, np.clip(at, -1, 1)), 0, 1)
    beyond = (np.abs(at) > 1).any(1)
    return interpolate(maps.forward, at), np.where(beyond, 0.0, confidence)


def transfer(points: Floats, source: Maps, target: Maps) -> Transferred:
    """Where points of one image are in another.

    Args:
        points: [k, 2], pixels of the source's original image.
        source, target: maps of two images of the same cluster.

    Returns:
        A counterpart for every point, the sure and the unsure: confidence is the geometric mean of that of
        the two steps, and a point counts as visible if it lies on the target with confidence enough.

    Raises:
        CongealError: if a point lies outside the source image, or is not a number.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise CongealError(f"points have the shape [k, 2], not {list(points.shape)}")
    inside = np.asarray(source.frame.inside(points), bool)
    if not inside.all():
        first = int(np.flatnonzero(~inside)[0])
        x, y = points[first]
        raise CongealError(
            f"point {first} at ({x:g}, {y:g}) lies outside the source image of "
            f"{source.frame.width} x {source.frame.height} pixels"
        )
    places, there = to_atlas(points, source)
    xy, back = from_atlas(places, target)
    confidence = np.sqrt(there * back)
    seen = np.asarray(target.frame.inside(xy), bool)
    confidence = np.where(seen, confidence, 0.0)
    return Transferred(xy, confidence, seen & (confidence >= VISIBLE))
