"""Points from one image to another by way of the atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Real

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import Frame, reach
from congeal.geometry.shape_checks import check_fields, checked

Floats = npt.NDArray[np.floating]

VISIBLE = 0.5  # confidence from which a counterpart counts as seen: rather right than not


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
    forward: Real[Floats, "r r 2"]
    forward_confidence: Real[Floats, "r r"]
    backward: Real[Floats, "m m 2"]
    backward_confidence: Real[Floats, "m m"]

    def __post_init__(self) -> None:
        if not issubclass(type(self.frame), Frame):
            raise CongealError(f"frame is {type(self.frame).__name__}, not congeal.Frame")
        check_fields(self)


@dataclass(frozen=True)
class ForwardMaps:
    """Where the atlas is in each of n images, whatever their sizes.

    Attributes:
        frames: n frames.
        forward: [n, r, r, 2], for each atlas cell its place in each image, in pixels of the original.
        confidence: [n, r, r].
    """

    frames: Sequence[Frame]
    forward: Real[Floats, "n r r 2"]
    confidence: Real[Floats, "n r r"]

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, maps: Maps) -> ForwardMaps:
        """Those of one image."""
        return cls([maps.frame], np.asarray(maps.forward)[None], np.asarray(maps.forward_confidence)[None])


@dataclass(frozen=True)
class Transferred:
    """Counterparts of k points: xy float64 [k, 2] in pixels, confidence [k] in [0, 1], visible bool [k].

    In n images at once: [n, k, 2], [n, k] and [n, k].
    """

    xy: Doubles
    confidence: Doubles
    visible: npt.NDArray[np.bool_]


def interpolate(field: Floats, at: Doubles) -> Doubles:
    """Values of a cell-centred field [r, r] or [r, r, c] over [-1, 1]² at points [k, 2], bilinear.

    Beyond the outermost centres the field goes on straight, so that coordinates stay exact up to the border.
    """
    side = field.shape[0]
    (values,) = interpolate_many(np.asarray(field).reshape(1, side, side, -1), at)
    return np.asarray(values[:, 0] if field.ndim == 2 else values)


def interpolate_many(fields: Floats, at: Doubles) -> Doubles:
    """`interpolate` in n fields [n, r, r, c] at the same points [k, 2]: float64 [n, k, c]."""
    n, side, _, channels = fields.shape
    index = (np.asarray(at, np.float64)[:, ::-1].T + 1) * side / 2 - 0.5
    flat = fields.reshape(n, side * side, channels)
    if side == 1:
        return np.asarray(np.repeat(flat, index.shape[1], axis=1), np.float64)
    lower = np.clip(np.floor(index), 0, side - 2).astype(int)
    part = np.clip(index - lower, -1.5, 2.5)
    (row, column), (down, right) = lower, part[:, :, None]
    # The corners alone become float64: there are fewer of them than cells, but for very many points.
    first = row * side + column
    corner = [np.take(flat, first + step, 1).astype(np.float64) for step in (0, 1, side, side + 1)]
    for left, other in ((0, 1), (2, 3)):
        corner[left] *= 1 - right
        corner[other] *= right
        corner[left] += corner[other]
    corner[0] *= 1 - down
    corner[2] *= down
    return np.asarray(corner[0] + corner[2])


def to_atlas(points: Floats, maps: Maps) -> tuple[Doubles, Doubles]:
    """Pixels [k, 2] of an image to atlas positions [k, 2] and their confidence [k]."""
    at = np.asarray(maps.frame.to_frame(np.asarray(points, np.float64)))
    confidence = np.clip(interpolate(maps.backward_confidence, at), 0, 1)
    return interpolate(maps.backward, at), confidence


def from_atlas_to_many(places: Floats, maps: ForwardMaps) -> tuple[Doubles, Doubles]:
    """Atlas positions [k, 2] to pixels [n, k, 2] of n images and their confidence [n, k].

    It is 0 off the atlas, which reaches a cell beyond its border.
    """
    at = np.asarray(places, np.float64)
    n, k = len(maps.frames), len(at)
    if not n:
        return np.zeros((0, k, 2)), np.zeros((0, k))
    side = maps.forward.shape[1]
    xy = interpolate_many(np.asarray(maps.forward), at)
    sure = interpolate_many(np.asarray(maps.confidence)[..., None], np.clip(at, -1, 1))
    confidence = np.clip(sure[..., 0], 0, 1)
    return xy, np.where((np.abs(at) > reach(side)).any(1), 0.0, confidence)


@checked
def transfer(points: Real[Floats, "k 2"], source: Maps, target: Maps) -> Transferred:
    """Where points of one image are in another.

    Args:
        points: [k, 2], pixels of the source's original image.
        source, target: maps of two images of the same cluster.

    Returns:
        A counterpart for every point, the sure and the unsure: confidence is the geometric mean of that of
        the two steps, and a point counts as visible if it lies on the target with confidence enough.

    Raises:
        CongealError: for points of another shape, or if one lies outside the source image or is not a number.
    """
    for name, maps in (("source", source), ("target", target)):
        if not issubclass(type(maps), Maps):
            raise CongealError(f"{name} is {type(maps).__name__}, not congeal.Maps")
    found = transfer_to_many(points, source, ForwardMaps.of(target))
    return Transferred(found.xy[0], found.confidence[0], found.visible[0])


@checked
def transfer_to_many(points: Real[Floats, "k 2"], source: Maps, targets: ForwardMaps) -> Transferred:
    """`transfer` of points [k, 2] to n images at once: xy [n, k, 2], confidence and visible [n, k]."""
    points = checked_points(points, source.frame)
    places, there = to_atlas(points, source)
    return seen_from_atlas(places, there, targets)


def seen_from_atlas(places: Floats, sure: Floats, targets: ForwardMaps) -> Transferred:
    """Atlas positions [k, 2], known with confidence ``sure`` [k], in n images: [n, k, 2], [n, k], [n, k]."""
    xy, back = from_atlas_to_many(places, targets)
    on_image = np.zeros(back.shape, bool)
    for row, (frame, at) in enumerate(zip(targets.frames, xy, strict=True)):
        on_image[row] = frame.inside(at)
    confidence = np.where(on_image, np.sqrt(np.asarray(sure) * back), 0.0)
    return Transferred(xy, confidence, on_image & (confidence >= VISIBLE))


def in_order(points: Any) -> Any:
    """The columns x and y of a table that has such, in this order; anything else as it is."""
    columns = getattr(points, "columns", None)
    named = columns is not None and {"x", "y"} <= {str(name) for name in columns}
    return points[["x", "y"]] if named else points


def checked_points(points: Floats, frame: Frame, where: str = "the source image") -> Doubles:
    """Points as float64 [k, 2]; CongealError for another shape or for one that does not lie on the image."""
    given: Doubles = np.asarray(in_order(points), np.float64)
    if given.ndim != 2 or given.shape[1] != 2:
        raise CongealError(f"points have the shape [k, 2], not {list(given.shape)}")
    inside = frame.inside(given)
    if not inside.all():
        first = int(np.flatnonzero(~inside)[0])
        x, y = given[first]
        raise CongealError(
            f"point {first} at ({x:g}, {y:g}) lies outside {where} of {frame.width} x {frame.height} pixels"
        )
    return given
