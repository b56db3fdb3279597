"""The one form of an annotated set, whatever files it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import Frame

Integers = npt.NDArray[np.int64]
Box = tuple[float, float, float, float]

_SIDES = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a set.

    Attributes:
        name: its path below the set's folder, POSIX; unique in the set.
        path: the file.
        frame: of the whole image, after EXIF orientation.
        points: float64 [k, 2], pixels (see congeal.geometry.frames), NaN where a keypoint is hidden.
        box: x0, y0, x1, y1 of the object in pixels, if the set says so.
        mask: file with the object's mask (255 object, 128 ignore, 0 background), if there is one.
    """

    name: str
    path: Path
    frame: Frame
    points: Doubles
    box: Box | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class AnnotatedSet:
    """Images of one kind of thing with the same keypoints.

    Attributes:
        name: of the set, for people.
        form: which loader read it.
        protocol: the protocol that is usual for it, a name of `congeal.evaluation.protocols`.
        folder: what the images' names are relative to.
        keypoints: k names.
        mirrored: int64 [k], for each keypoint the one that stands in its place in a mirrored image.
        images: sorted by name.
        pairs: ordered pairs (source, target) of positions in images, if the set lists them.
        unreadable: why an annotated image is not among the images, by name.
    """

    name: str
    form: str
    protocol: str
    folder: Path
    keypoints: tuple[str, ...]
    mirrored: Integers
    images: tuple[AnnotatedImage, ...]
    pairs: tuple[tuple[int, int], ...] | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.images:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(self.unreadable.items())[:1])
            raise CongealError(f"{self.name} has no usable image" + (f" ({reasons})" if reasons else ""))
        for image in self.images:
            if image.points.shape != (len(self.keypoints), 2):
                raise CongealError(
                    f"{image.name} of {self.name} has {len(image.points)} keypoints, and the set "
                    f"{len(self.keypoints)}"
                )


def mirrored_by_name(keypoints: Sequence[str]) -> Integers:
    """For each name the position of the one with left and right exchanged; itself where there is none.

    "left" and "right" are looked for as words of their own, in any case: "left eye", "wing_RIGHT_tip".
    """
    positions = {name.casefold(): position for position, name in enumerate(keypoints)}
    other = [
        positions.get(
            re.sub(r"(?<![a-z])(left|right)(?![a-z])", lambda side: _SIDES[side.group()], name.casefold()),
            position,
        )
        for position, name in enumerate(keypoints)
    ]
    return np.array(other, np.int64)


def exchanged(count: int, swaps: Sequence[tuple[int, int]]) -> Integers:
    """The permutation of `count` keypoints that exchanges each of the pairs of positions."""
    order = np.arange(count)
    for one, other in swaps:
        if max(one, other) < count:
            order[[one, other]] = other, one
    return order


def numbered_pairs(
    images: Sequence[AnnotatedImage], pairs: Sequence[tuple[str, str]]
) -> tuple[tuple[int, int], ...] | None:
    """Pairs of names as positions in images, without those of images that are not there; None for none."""
    at = {image.name: position for position, image in enumerate(images)}
    found = [(at[source], at[target]) for source, target in pairs if source in at and target in at]
    return tuple(found) or None
