"""Evaluation protocols: what of an annotated set is shown, which pairs count, and what a threshold means.

| name | shown | pairs | threshold α is a share of | α |
| --- | --- | --- | --- | --- |
| spair | whole images | those listed, else all | the longer side of the target object's box | 0.1 |
| cub | 20 images, a square around the box | all | the square's side | 0.1 |
| pf-willow | whole images | those listed, else all | the longer side of the target keypoints' box | 0.1 |
| landmarks | whole images | all | the longer side of the target image | 0.02 |

`<name>-paper` and `<name>-corrected` follow Neural Congealing (Ofri-Amar et al. 2023) in that left and right
change names where the alignment mirrors one image of a pair: as its published evaluation does it, with
visibility looked up before the names change, and with visibility looked up after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.evaluation.datasets.types import AnnotatedImage, AnnotatedSet
from congeal.evaluation.pck import Annotated, bounding_unit
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import Frame
from congeal_floors.plurals import counted

Pixels = npt.NDArray[np.uint8]
Exchange = Literal["never", "paper", "corrected"]

MARGIN = 1.1  # side of the square crop, as a multiple of the box's longer side: 5 % on each side
LEAST_VISIBLE = 4  # keypoints that a drawn image must show


@dataclass(frozen=True)
class Protocol:
    """How a set is measured.

    Attributes:
        name: of the protocol.
        shown: "whole" images, or a "square" around the object's box, edges repeated outwards.
        draw: how many of the images that show at least LEAST_VISIBLE keypoints are taken, the first in an
            order that is drawn once for all; None: all images of the set.
        pairs: "listed": those the set lists, or all ordered pairs if it lists none; "all".
        unit: what α is a share of, each in pixels of the target: the longer side of its "box", of the box
            around its "keypoints", or of the "image" as shown.
        alpha: the usual threshold.
        exchange: whether left and right change names in pairs of which the alignment mirrors one image.
    """

    name: str
    shown: Literal["whole", "square"]
    draw: int | None
    pairs: Literal["listed", "all"]
    unit: Literal["box", "keypoints", "image"]
    alpha: float
    exchange: Exchange = "never"


_PLAIN = (
    Protocol("spair", "whole", None, "listed", "box", 0.1),
    Protocol("cub", "square", 20, "all", "image", 0.1),
    Protocol("pf-willow", "whole", None, "listed", "keypoints", 0.1),
    Protocol("landmarks", "whole", None, "all", "image", 0.02),
)
_EXCHANGES: tuple[Exchange, ...] = ("paper", "corrected")
PROTOCOLS: dict[str, Protocol] = {plain.name: plain for plain in _PLAIN} | {
    f"{plain.name}-{rule}": replace(plain, name=f"{plain.name}-{rule}", exchange=rule)
    for plain in _PLAIN
    for rule in _EXCHANGES
}


def named(name: str) -> Protocol:
    """The protocol of that name. Raises CongealError, naming those there are, if there is none."""
    if name not in PROTOCOLS:
        raise CongealError(f"there is no protocol {name!r}: there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


@dataclass(frozen=True)
class Crop:
    """A square of `side` pixels whose top-left pixel is the image's pixel (left, top), on it or beyond."""

    left: int
    top: int
    side: int


@dataclass(frozen=True)
class View:
    """One image as a protocol shows it.

    Attributes:
        name: of the file that shows it; the image's own, or a PNG's if it is cropped.
        image: what it is a view of.
        crop: the part that is shown; None: all of it.
        measured: its keypoints and its unit, in the view's own pixels.
    """

    name: str
    image: AnnotatedImage
    crop: Crop | None
    measured: Annotated


def views(annotated: AnnotatedSet, protocol: Protocol) -> list[View]:
    """The images of a set as a protocol shows them, sorted by name.

    Raises CongealError if an image lacks what the protocol needs, or too few are fit to be drawn from.
    """
    shown = [_view(image, protocol, bool(annotated.keypoints)) for image in _drawn(annotated, protocol)]
    if len({view.name for view in shown}) < len(shown):
        raise CongealError(f"{annotated.name} has files that differ in their ending alone: rename one")
    return shown


def pairs_of(annotated: AnnotatedSet, protocol: Protocol, shown: Sequence[View]) -> list[tuple[int, int]]:
    """The ordered pairs (source, target) that count, as positions in the views."""
    if protocol.pairs == "listed" and annotated.pairs is not None:
        at = {view.image.name: position for position, view in enumerate(shown)}
        names = [image.name for image in annotated.images]
        listed = [(names[source], names[target]) for source, target in annotated.pairs]
        return [(at[source], at[target]) for source, target in listed if source in at and target in at]
    return [(a, b) for a in range(len(shown)) for b in range(len(shown)) if a != b]


def cut(pixels: Pixels, crop: Crop) -> Pixels:
    """uint8 [h, w, 3] to uint8 [side, side, 3], edges repeated outwards."""
    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(crop.top, crop.top + crop.side), 0, height - 1)
    columns = np.clip(np.arange(crop.left, crop.left + crop.side), 0, width - 1)
    return pixels[rows[:, None], columns]


def _drawn(annotated: AnnotatedSet, protocol: Protocol) -> list[AnnotatedImage]:
    if protocol.draw is None or not annotated.keypoints:
        return list(annotated.images)
    usable = [image for image in annotated.images if np.isfinite(image.points).all(1).sum() >= LEAST_VISIBLE]
    if len(usable) < 2:
        raise CongealError(
            f"{annotated.name} has {counted(len(usable), 'image')} with {LEAST_VISIBLE} visible "
            "keypoints: the protocol "
            f"{protocol.name} needs two at least"
        )
    # All names are drawn, and of those that are fit the first are taken: the order is that of the set alone.
    names = sorted(image.name for image in annotated.images)
    order = np.random.default_rng(0).choice(names, len(names), replace=False)
    place = {str(name): position for position, name in enumerate(order)}
    drawn = sorted(usable, key=lambda image: place[image.name])[: protocol.draw]
    return sorted(drawn, key=lambda image: image.name)


def _view(image: AnnotatedImage, protocol: Protocol, counted: bool) -> View:
    if protocol.shown == "whole":
        unit = _unit(image, protocol, image.frame, image.points) if counted else math.nan
        return View(image.name, image, None, Annotated(image.frame, image.points, unit))
    crop = _square(image, protocol)
    frame = Frame(crop.side, crop.side)
    points = image.points - [crop.left, crop.top]
    unit = _unit(image, protocol, frame, points) if counted else math.nan
    # In the files of CUB a hidden part stands at the image's own (0, 0).
    measured = Annotated(frame, points, unit, origin=(-float(crop.left), -float(crop.top)))
    return View(str(PurePosixPath(image.name).with_suffix(".png")), image, crop, measured)


def _square(image: AnnotatedImage, protocol: Protocol) -> Crop:
    x0, y0, x1, y1 = _box(image, protocol)
    side = round(max(x1 - x0, y1 - y0) * MARGIN)
    frame = image.frame
    if not 1 <= side <= 2 * frame.side:
        raise CongealError(f"the box of {image.name} does not fit its {frame.width} x {frame.height} pixels")
    return Crop(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)


def _unit(image: AnnotatedImage, protocol: Protocol, frame: Frame, points: Doubles) -> float:
    if protocol.unit == "image":
        return float(frame.side)
    if protocol.unit == "box":
        x0, y0, x1, y1 = _box(image, protocol)
        return max(x1 - x0, y1 - y0)
    try:
        return bounding_unit(points)
    except CongealError as error:
        raise CongealError(f"{image.name}: {error}; the protocol {protocol.name} does not fit") from error


def _box(image: AnnotatedImage, protocol: Protocol) -> tuple[float, float, float, float]:
    if image.box is None or image.box[2] <= image.box[0] or image.box[3] <= image.box[1]:
        raise CongealError(
            f"{image.name} has no box around its object, which the protocol {protocol.name} needs: choose "
            "pf-willow or landmarks"
        )
    return image.box
