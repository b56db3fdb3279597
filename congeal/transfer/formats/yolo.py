"""YOLO labels as Ultralytics reads them: a data.yaml, and for every image a text file with a row a thing.

A row is a class, then the middle, width and height of a box and perhaps keypoints, or the points of an
outline. All are shares of the image's width and height, counted from the corner of its top-left pixel,
keypoints as well: where an image is mirrored, Ultralytics makes 1 - x of their x.
See https://docs.ultralytics.com/datasets/pose.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.geometry.polygons import area, bounds
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.frame_names import FrameNames, parts_of
from congeal.transfer.formats.labels import Entry, Size
from congeal.transfer.formats.yolo_config import Config, config_of
from congeal.transfer.points import VISIBLE

CONFIG = "data.yaml"
FOLDER = "labels"
IMAGES = "images"
ENDING = ".txt"
BOX = 5  # numbers of a class and a box
HALF_PIXEL = 0.5
HIDDEN, OCCLUDED, SEEN = 0, 1, 2
# Without flags, Ultralytics takes a negative number, down to -0.01, for a keypoint that is not there.
NOWHERE = -0.005
COLUMNS = ("image", "labels", "row", "class", "confidence", "keypoints", "origin")


@dataclass(frozen=True)
class YoloFile:
    """A set of labels.

    Attributes:
        data: data.yaml itself.
        config: what it says.
        texts: the label files by name, their folders with slashes, as bytes.
        images_of: label file to the path of its image, of those whose image is known.
    """

    data: bytes
    config: Config
    texts: Mapping[str, bytes]
    images_of: Mapping[str, str]

    @property
    def images(self) -> Mapping[str, Size | None]:
        """The image of every label file; they say no sizes."""
        return {self._image(name): None for name in self.texts}

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """The rows of all files as things with a box and keypoints, or an outline."""
        found: list[Entry] = []
        for name, data in self.texts.items():
            image = self._image(name)
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                found.append(Entry(name, image, None, ["it is no text in UTF-8"]))
                continue
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    found.append(self._entry(f"line {number} of {name}", image, line, sizes.get(image)))
        return found

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """data.yaml as it was; the labels are what `files` gives."""
        for _ in carried:
            pass
        return self.data

    def files(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> dict[str, bytes]:
        """The label files by name: those that are there as they are, and one for each image carried to.

        Beside them carried.csv, which says how sure every carried row is, and from where. Arguments as for
        `congeal.transfer.formats.labels.LabelFile`. Raises CongealError if two images carried to, or one of
        them and one that is labelled, would have one label file.
        """
        written = dict(self.texts)
        names = FrameNames({stem(name): stem(uri) for name, uri in self.images_of.items()})
        rows: dict[str, list[str]] = {}
        owners = {name: self._image(name) for name in self.texts}
        notes = io.StringIO(newline="")
        table = csv.writer(notes, lineterminator="\n")
        table.writerow(COLUMNS)
        for one in carried:
            name = names.name(stem(one.image)) + ENDING
            if owners.setdefault(name, one.image) != one.image:
                raise CongealError(
                    f"{owners[name]} and {one.image} would both have the labels {name}: carry to one of them "
                    "at a time, with --to"
                )
            lines = rows.setdefault(name, [])
            lines.append(self._row(one, sizes[one.image]))
            sure = [] if one.keypoint_confidence is None else one.keypoint_confidence.tolist()
            table.writerow(
                [
                    one.image,
                    name,
                    len(lines),
                    one.category,
                    round(one.confidence, 4),
                    " ".join(f"{value:.4f}" for value in sure),
                    ", ".join(one.origin),
                ]
            )
        written |= {name: ("\n".join(lines) + "\n").encode() for name, lines in rows.items()}
        return written | {"carried.csv": notes.getvalue().encode()}

    @cached_property
    def _pose(self) -> int:
        """Numbers of a row with keypoints; 0: rows have none."""
        return BOX + self.config.keypoints * self.config.numbers if self.config.keypoints else 0

    def _image(self, name: str) -> str:
        return self.images_of.get(name, image_stem(name))

    def _entry(self, name: str, image: str, line: str, size: Size | None) -> Entry:
        try:
            numbers = [float(cell) for cell in line.split()]
        except ValueError:
            return Entry(name, image, None, ["it is no row of numbers"])
        if not all(map(math.isfinite, numbers)) or numbers[0] != int(numbers[0]):
            return Entry(name, image, None, ["it is no class and shares of the image"])
        kind, values = int(numbers[0]), np.array(numbers[1:], np.float64)
        called = self.config.names.get(kind)
        if called is None:
            return Entry(name, image, None, [f"it is of the class {kind}, which data.yaml does not name"])
        if size is None:
            return Entry(name, image, Annotation(image, called, category_id=kind))
        whole = len(numbers)
        if self._pose and whole not in (BOX, self._pose, self._pose + 1):
            problem = f"it has {whole} numbers, and {self._pose} by the kpt_shape of data.yaml"
            return Entry(name, image, None, [problem])
        outline = not self._pose and whole > BOX + 1
        if whole < BOX or (outline and whole < BOX + 2):
            return Entry(name, image, None, [f"it has {whole} numbers, too few for a box or an outline"])
        # What a network has found may have its confidence at the end, which no training file has.
        scored = whole in (BOX + 1, self._pose + 1) or (outline and whole % 2 == 0)
        score = float(np.clip(values[-1], 0, 1)) if scored else 1.0
        values = values[:-1] if scored else values
        if outline:
            polygon = _pixels(values.reshape(-1, 2), size)
            one = Annotation(image, called, polygons=[polygon], confidence=score, category_id=kind)
            return Entry(name, image, one)
        x, y, width, height = values[:4].tolist()
        corners = np.array([[x - width / 2, y - height / 2], [x + width / 2, y + height / 2]])
        (left, top), (right, bottom) = _pixels(corners, size).tolist()
        points, sure = self._keypoints(values[4:], size)
        one = Annotation(
            image,
            called,
            keypoints=points,
            keypoint_names=self.config.keypoint_names.get(kind, ()),
            keypoint_confidence=sure,
            box=(left, top, right, bottom),
            confidence=score,
            category_id=kind,
        )
        return Entry(name, image, one)

    def _keypoints(self, values: Doubles, size: Size) -> tuple[Doubles | None, Doubles | None]:
        """Keypoints in pixels, NaN where there is none; their confidences, if a network has found them."""
        if not len(values):
            return None, None
        table = values.reshape(self.config.keypoints, self.config.numbers)
        shares = table[:, :2]
        sure = None
        if self.config.numbers == 3:
            flags = table[:, 2]
            missing = flags <= HIDDEN
            if (flags != flags.round()).any():  # a confidence, where training files have a flag
                sure = np.clip(flags, 0, 1)
        else:
            # Without flags others write the corner of the image for one that is not there.
            missing = (shares < 0).any(1) | (shares == 0).all(1)
        points = np.where(missing[:, None], np.nan, _pixels(shares, size))
        return (None if missing.all() else points), sure

    def _row(self, one: Annotation, size: Size) -> str:
        """The row of what is carried; of an outline in several parts, the largest."""
        if one.polygons:
            largest = max(one.polygons, key=area)
            return _text(one, _shares(largest, size).ravel().tolist())
        points = one.keypoints
        box = one.box
        if box is None:
            known = None if points is None else points[np.isfinite(points).all(1)]
            if known is None or not len(known):
                raise CongealError("what is carried has neither a box nor keypoints")
            left, top, right, bottom = bounds(known)
            box = (left - HALF_PIXEL, top - HALF_PIXEL, right + HALF_PIXEL, bottom + HALF_PIXEL)
        (left, top), (right, bottom) = _shares(np.array([box[:2], box[2:]]), size).tolist()
        values = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        if self._pose:
            values += self._keypoint_values(one, size)
        return _text(one, values)

    def _keypoint_values(self, one: Annotation, size: Size) -> list[float]:
        count, flagged = self.config.keypoints, self.config.numbers == 3
        points = np.full((count, 2), np.nan) if one.keypoints is None else one.keypoints
        sure = np.ones(count) if one.keypoint_confidence is None else one.keypoint_confidence
        values: list[float] = []
        for (x, y), share, score in zip(
            points.tolist(), _shares(points, size).tolist(), sure.tolist(), strict=True
        ):
            if math.isnan(x) or math.isnan(y) or score <= 0:
                values += [0, 0, HIDDEN] if flagged else [NOWHERE, NOWHERE]
            else:
                values += [*share, SEEN if score >= VISIBLE else OCCLUDED] if flagged else share
        return values


def read(data: bytes, texts: Mapping[str, bytes], images_of: Mapping[str, str]) -> YoloFile:
    """Labels with the data.yaml that they go with: see `YoloFile`.

    Raises CongealError for a data.yaml that names no classes, or if there are no labels.
    """
    config = config_of(data)
    if not texts:
        raise CongealError(
            f"no {ENDING} file lies in a folder {FOLDER} beside or below it: give the data.yaml in the "
            "folder that holds the labels"
        )
    return YoloFile(data, config, texts, images_of)


def is_labels(name: str) -> bool:
    """True for the name of a label file: a text in a folder `labels`, or in one of its folders."""
    parts = PurePosixPath(name).parts
    return name.endswith(ENDING) and FOLDER in parts[:-1]


def image_stem(name: str) -> str:
    """The image of a label file without its ending: the last folder `labels` stands for one of `images`."""
    parts = parts_of(stem(name))
    last = max((place for place, part in enumerate(parts[:-1]) if part == FOLDER), default=None)
    return "/".join(IMAGES if place == last else part for place, part in enumerate(parts))


def stem(path: str) -> str:
    """A path without the ending of its file."""
    head, slash, last = path.rpartition("/")
    return head + slash + (last.rpartition(".")[0] or last)


def _pixels(shares: Doubles, size: Size) -> Doubles:
    return shares * np.array(size, np.float64) - HALF_PIXEL


def _shares(points: Doubles, size: Size) -> Doubles:
    shares: Doubles = np.clip((points + HALF_PIXEL) / np.array(size, np.float64), 0, 1)
    return shares


def _text(one: Annotation, values: Sequence[float]) -> str:
    return " ".join([str(one.category_id), *(f"{value:.6f}".rstrip("0").rstrip(".") for value in values)])
