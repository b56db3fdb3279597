"""What every format of labels has in common: a file as it was read, and how it comes back with more in it.

A format is one module with a class that is a `LabelFile`. What a person has marked is never written anew: the
file's own text or objects are kept, and what is carried is added to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.polygons import clipped, of_box
from congeal.transfer.annotations import Annotation

Size = tuple[int, int]  # width, height in pixels

EDGE = 0.5  # pixels beyond the image's edge that still are on it: programs count from corners or from centres


@dataclass(frozen=True)
class Entry:
    """One entry of a file of labels.

    Attributes:
        name: how the file calls it, as "annotation 4711".
        image: the image's name in the file, or empty.
        annotation: what it marks, on that image; None if that cannot be said.
        problems: what of it cannot be carried, and why.
        waiting: True for one that marks nothing yet and is to be filled.
        absent: True for one that marks nothing and is to stay so: a person has looked there, and it is not.
    """

    name: str
    image: str
    annotation: Annotation | None
    problems: Sequence[str] = ()
    waiting: bool = False
    absent: bool = False


class LabelFile(Protocol):
    """A file of labels, as it was read. Names are the file's own names of images."""

    @property
    def images(self) -> Mapping[str, Size | None]:
        """Every image that the file names, and the size that the file says it has."""

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """What it marks. sizes: the true sizes of its images, by name, of those that are known."""

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """The file as it was, with carried annotations added; their `image` is a path.

        found: names in the file to paths. sizes: by path, of all images that something is carried to.
        """


def with_lines(text: str, lines: Sequence[str], end: str) -> str:
    """A file's text with lines after it; end: how its lines end."""
    if not lines:
        return text
    return text + ("" if text.endswith(("\n", "\r")) else end) + end.join(lines) + end


def encoded(text: str, encoding: str, what: str) -> bytes:
    """A file's text in its own encoding. CongealError if that has no letter for the name of a new `what`."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise CongealError(
            f"its encoding, {encoding}, has no {text[error.start]!r}, which is in the name of {what}: "
            "save it as UTF-8"
        ) from error


def carriable(entry: Entry, size: Size) -> Entry:
    """The entry without what cannot be carried on an image of that size, and why; the others stay.

    Keypoints within half a pixel of the image's edge are put on it.
    """
    one = entry.annotation
    if one is None or entry.waiting or entry.absent:
        return entry
    width, height = size
    problems = list(entry.problems)
    keypoints = one.keypoints
    if keypoints is not None:
        # Where a person has marked the edge itself, programs differ by half a pixel.
        low, high = np.array([-0.5, -0.5]), np.array([width - 0.5, height - 0.5])
        beyond = np.asarray(((keypoints < low - EDGE) | (keypoints > high + EDGE)).any(1))
        keypoints = np.where(beyond[:, None], np.nan, np.clip(keypoints, low, high))
        for number in np.flatnonzero(beyond).tolist():
            x, y = one.keypoints[number] if one.keypoints is not None else (0.0, 0.0)
            problems.append(
                f"point {number} at ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels"
            )
        if np.isnan(keypoints).any(1).all():
            keypoints = None
    edges = (-0.5, -0.5, width - 0.5, height - 0.5)
    polygons = [part for part in one.polygons if clipped(part, edges)]
    if len(polygons) < len(one.polygons):
        problems.append("a part of its outline has no inside on the image")
    box = one.box
    if box is not None and (box[2] <= box[0] or box[3] <= box[1] or not clipped(of_box(box), edges)):
        box = None
        problems.append("its box has no inside on the image")
    mask = one.mask
    if mask is not None and mask.shape != (height, width):
        problems.append(f"its mask is {mask.shape[1]} x {mask.shape[0]} pixels, the image {width} x {height}")
        mask = None
    if mask is not None and not mask.any():
        problems.append("its mask is empty")
        mask = None
    kept = replace(one, keypoints=keypoints, polygons=polygons, box=box, mask=mask)
    if kept.empty and not problems:
        problems.append("it marks nothing")
    return replace(entry, annotation=kept, problems=problems)


def placed(entries: Sequence[Entry], found: Mapping[str, str]) -> list[Entry]:
    """The entries on the paths of their images, each with its place among those of its kind on its image."""
    seen: dict[tuple[object, ...], int] = {}
    result = []
    for entry in entries:
        one, path = entry.annotation, found.get(entry.image)
        if one is None or path is None:
            result.append(entry)
            continue
        counter = (path, *one.kind)
        seen[counter] = seen.get(counter, -1) + 1
        result.append(replace(entry, annotation=replace(one, image=path, place=seen[counter])))
    return result


def agreeing(entries: Sequence[Entry], what: str = "keypoints") -> list[Entry]:
    """The entries, of which those lose their keypoints that have another number than most of their category.

    Raises CongealError if no number is commoner than the others.
    """
    counts: dict[tuple[object, ...], dict[int, int]] = {}
    for entry in entries:
        one = entry.annotation
        if one is not None and one.keypoints is not None:
            of_kind = counts.setdefault(one.kind, {})
            of_kind[len(one.keypoints)] = of_kind.get(len(one.keypoints), 0) + 1
    usual: dict[tuple[object, ...], int] = {}
    for kind, of_kind in counts.items():
        most = [number for number, count in of_kind.items() if count == max(of_kind.values())]
        if len(most) > 1:
            raise CongealError(f"the {kind[0]}s have {min(most)} to {max(most)} {what}: they must agree")
        usual[kind] = most[0]
    result = []
    for entry in entries:
        one = entry.annotation
        if one is None or one.keypoints is None or len(one.keypoints) == usual[one.kind]:
            result.append(entry)
            continue
        problem = f"it has {len(one.keypoints)} {what}, most of its kind have {usual[one.kind]}"
        less = replace(one, keypoints=None, keypoint_confidence=None)
        result.append(replace(entry, annotation=less, problems=[*entry.problems, problem]))
    return result
