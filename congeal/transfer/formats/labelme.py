"""JSON of labelme (https://github.com/wkentaro/labelme): beside each image a file with the shapes on it.

Coordinates count from the corner of the top-left pixel, points as well: they are where the pointer was on the
image as it is shown.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.frame_names import FrameNames, parts_of
from congeal.transfer.formats.json_text import loaded
from congeal.transfer.formats.labels import Entry, Size
from congeal_floors.plurals import counted

ENDING = ".json"
VERSION = "5.5.0"  # of the files that are written; every labelme from 4 on reads them
POINTS = {"point": 1, "line": 2, "linestrip": 2}  # the fewest points of each shape
OUTLINES = {"polygon": 3, "oriented_rectangle": 4}
BOX, CIRCLE = "rectangle", "circle"
ROUND = 64  # corners of a circle
HALF_PIXEL = 0.5
FAR = 1e9
SCORE, ORIGIN = "score", "origin"  # of what was carried; labelme keeps keys of a shape that it does not know


@dataclass(frozen=True)
class LabelmeImage:
    """One file: its name below the folder, its image's name, size and what is marked on it."""

    name: str
    image: str
    said: str
    size: Size | None
    marks: Sequence[Entry]


@dataclass(frozen=True)
class LabelmeFolder:
    """The files of a folder."""

    files: Sequence[LabelmeImage]

    @property
    def images(self) -> Mapping[str, Size | None]:
        """The image of every file, by its path below the folder, and the size that the file says it has."""
        return {file.image: file.size for file in self.files}

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """The shapes of all files, each a thing: the n-th of a label is the n-th on other images."""
        return [mark for file in self.files for mark in file.marks]

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """Nothing: there is no file of the whole; what is carried is what `new_files` gives."""
        for _ in carried:
            pass
        return b""

    def new_files(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> dict[str, bytes]:
        """A file for every image that something is carried to, by name, named as those that are there.

        Carried shapes have `score` and `origin`. Arguments as of `written`. Raises CongealError where two
        images would have one file.
        """
        stems = {_stem(file.name): _stem(found[file.image]) for file in self.files if file.image in found}
        names = FrameNames(stems)
        beside = all(len(parts_of(file.said)) == 1 for file in self.files)
        paths = FrameNames({file.said: found[file.image] for file in self.files if file.image in found})
        shapes: dict[str, list[dict[str, Any]]] = {}
        for one in carried:
            shapes.setdefault(one.image, []).extend(_shapes(one))
        written: dict[str, bytes] = {}
        taken = {file.name for file in self.files}
        for uri, ones in shapes.items():
            name = names.name(_stem(uri)) + ENDING
            if name in taken or name in written:
                raise CongealError(
                    f"{uri} and another image would both have the file {name}: carry to one of them at a "
                    "time, with --to"
                )
            width, height = sizes[uri]
            content: dict[str, Any] = {
                "version": VERSION,
                "flags": {},
                "shapes": ones,
                "imagePath": parts_of(uri)[-1] if beside else paths.name(uri),
                "imageData": None,
                "imageHeight": height,
                "imageWidth": width,
            }
            written[name] = json.dumps(content, indent=2).encode() + b"\n"
        return written


def read(name: str, data: bytes) -> LabelmeImage | None:
    """One file of a folder; None for JSON that is none of labelme's.

    A shape that cannot be read refuses no file: it is among `marks`, which say why; so is a file that is no
    JSON at all.
    """
    try:
        _, content = loaded(data)
    except CongealError as error:
        image = _stem(name)
        return LabelmeImage(name, image, image, None, [Entry(name, image, None, [str(error)])])
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None
    said = content.get("imagePath")
    if not isinstance(said, str) or not parts_of(said):
        return None
    image = posixpath.normpath(posixpath.join(posixpath.dirname(name), said.replace("\\", "/")))
    marks = [
        _entry(f"shape {number} of {name}", image, shape) for number, shape in enumerate(content["shapes"])
    ]
    return LabelmeImage(name, image, said, _size(content), marks)


def _stem(path: str) -> str:
    head, slash, last = path.rpartition("/")
    return head + slash + (last.rpartition(".")[0] or last)


def _size(content: Mapping[str, Any]) -> Size | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if type(width) is int and type(height) is int and width > 0 and height > 0:
        return width, height
    return None


def _entry(name: str, image: str, shape: Any) -> Entry:
    if not isinstance(shape, dict):
        return Entry(name, image, None, ["it is no shape"])
    label, group = shape.get("label"), shape.get("group_id")
    kind = shape.get("shape_type") or "polygon"  # labelme 3 had no others
    score, origin = shape.get(SCORE), shape.get(ORIGIN)
    sure, sources = 1.0, ""
    if isinstance(score, (int, float)) and 0 <= score <= 1 and isinstance(origin, str):
        sure, sources = float(score), origin
    one = Annotation(
        image,
        str(label),
        confidence=sure,
        origin=tuple(filter(None, sources.split(", "))),
        category_id=json.dumps([kind, group if isinstance(group, int) else None]),
    )
    try:
        if not isinstance(label, str):
            raise ValueError("it has no label")
        return Entry(name, image, _marked(one, str(kind), _points(shape.get("points"))))
    except ValueError as error:
        return Entry(name, image, None, [str(error)])


def _points(values: Any) -> Doubles:
    """Points [k, 2] in pixels, counted from the centre of the first."""
    if not isinstance(values, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in values):
        raise ValueError("it has no points")
    for value in (value for pair in values for value in pair):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < FAR:
            raise ValueError("one of its points is no pair of numbers")
    return np.array(values, np.float64).reshape(-1, 2) - HALF_PIXEL


def _marked(one: Annotation, kind: str, points: Doubles) -> Annotation:
    least = (POINTS | OUTLINES | {BOX: 2, CIRCLE: 2}).get(kind)
    if least is None:
        raise ValueError(f"its shape {kind!r} is not carried: draw it as a polygon")
    if len(points) < least:
        raise ValueError(f"it has {counted(len(points), 'point')}, and needs {least}")
    if kind in POINTS:
        return replace(one, keypoints=points)
    if kind in OUTLINES:
        return replace(one, polygons=[points])
    first, second = points[0], points[1]
    if kind == BOX:
        (left, top), (right, bottom) = np.minimum(first, second), np.maximum(first, second)
        return replace(one, box=(float(left), float(top), float(right), float(bottom)))
    angles = np.arange(ROUND) * (2 * np.pi / ROUND)
    radius = float(np.hypot(*(second - first)))
    circle: Doubles = first + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return replace(one, polygons=[circle])


def _shapes(one: Annotation) -> list[dict[str, Any]]:
    """The shapes of what is carried: one, but of an outline one for each of its parts."""
    kind, group = json.loads(str(one.category_id))
    parts: list[Doubles] = []
    if kind in POINTS and one.keypoints is not None:
        known = one.keypoints[np.isfinite(one.keypoints).all(1)]
        parts = [known] if len(known) >= POINTS[kind] else []
    elif kind == BOX and one.box is not None:
        parts = [np.array([one.box[:2], one.box[2:]], np.float64)]
    elif one.polygons:
        kind = "polygon"
        parts = [np.asarray(part, np.float64) for part in one.polygons]
    return [
        {
            "label": one.category,
            "points": [[round(x, 2), round(y, 2)] for x, y in (part + HALF_PIXEL).tolist()],
            "group_id": group,
            "description": "",
            "shape_type": kind,
            "flags": {},
            "mask": None,
            SCORE: round(one.confidence, 4),
            ORIGIN: ", ".join(one.origin),
        }
        for part in parts
    ]
