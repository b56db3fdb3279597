"""JSON of the VGG Image Annotator (https://www.robots.ox.ac.uk/~vgg/software/via), VIA 2.

A project, or its exported annotations. A file that was read comes back as its own text with regions added.
VIA keeps a clicked pixel by its number, so points and polylines count from pixels' centres; boxes and
outlines count from the corner of the top-left pixel, as VIA's own export to COCO takes them.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.geometry.polygons import Box
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.frame_names import FrameNames
from congeal.transfer.formats.json_text import Additions, Span, loaded, members
from congeal.transfer.formats.labels import Entry, Size
from congeal_floors.plurals import counted

METADATA, IMAGE_LIST = "_via_img_metadata", "_via_image_id_list"
UNKNOWN_SIZE = -1  # bytes of a file that VIA has not seen: it finds the image by its name
POINT, LINE, BOX, OUTLINE = "point", "polyline", "rect", "polygon"
MOST_DIGITS = 15  # of the number of a region
ROUND = 64  # corners of a circle or an ellipse
HALF_PIXEL = 0.5
BOX_KEYS = ("x", "y", "width", "height")
SCORE, ORIGIN = "score", "origin"  # of what was carried, among the attributes of its region


@dataclass(frozen=True)
class ViaFile:
    """A file of regions.

    Attributes:
        text: the file itself.
        images_by_key: the file name of each of its images, by the key that VIA gives it.
        marks: its regions, with what of them cannot be read.
    """

    text: str
    images_by_key: Mapping[str, str]
    marks: Sequence[Entry]

    @property
    def images(self) -> Mapping[str, Size | None]:
        """Every image that the file names; it says no sizes in pixels."""
        return dict.fromkeys(self.images_by_key.values())

    def entries(self, sizes: Mapping[str, Size]) -> list[Entry]:
        """Its regions, each a thing: the n-th with the same attributes is the n-th on other images."""
        return list(self.marks)

    def written(
        self, carried: Iterable[Annotation], found: Mapping[str, str], sizes: Mapping[str, Size]
    ) -> bytes:
        """The file with regions added: see `congeal.transfer.formats.labels.LabelFile`.

        What is carried has the attributes of what it comes from, and `score` and `origin`. A new image is
        named as the file names its own.
        """
        whole = _span(self.text)
        added = Additions(self.text)
        top = members(self.text, whole[0])
        images = top.get(METADATA, whole)
        entries = members(self.text, images[0])
        keys: dict[str, str] = {}
        for key, image in self.images_by_key.items():
            if image in found and self._takes_regions(entries[key]):
                keys.setdefault(found[image], key)
        regions: dict[str, list[dict[str, Any]]] = {}
        for one in carried:
            regions.setdefault(one.image, []).extend(_regions(one))
        names = FrameNames(found, named=self.images, others=sizes)
        fresh: dict[str, Any] = {}
        for uri, ones in regions.items():
            if uri in keys:
                self._append(added, entries[keys[uri]], ones)
                continue
            name = names.name(uri)
            entry = {"filename": name, "size": UNKNOWN_SIZE, "regions": ones, "file_attributes": {}}
            key = f"{name}{UNKNOWN_SIZE}"
            while key in self.images_by_key:
                key += "+"
            fresh[key] = entry
        added.add(images, fresh)
        if IMAGE_LIST in top and self.text[top[IMAGE_LIST][0]] == "[":
            added.append(top[IMAGE_LIST], map(json.dumps, fresh))
        return added.text().encode("utf-8", "surrogatepass")

    def _takes_regions(self, image: Span) -> bool:
        """False for an image whose regions are text or a number, which stay as they are."""
        span = members(self.text, image[0]).get("regions")
        return span is None or self.text[span[0]] in "[{n"

    def _append(self, added: Additions, image: Span, ones: Sequence[Mapping[str, Any]]) -> None:
        facts = members(self.text, image[0])
        span = facts.get("regions")
        if span is None:
            added.add(image, {"regions": list(ones)})
        elif self.text[span[0]] == "n":  # null
            added.replace(span, json.dumps(list(ones)))
        elif self.text[span[0]] == "{":  # as VIA 1 wrote them, numbered
            names = members(self.text, span[0])
            taken = [int(name) for name in names if name.isdecimal() and len(name) <= MOST_DIGITS]
            first = max(taken, default=-1) + 1
            added.add(span, {str(first + number): one for number, one in enumerate(ones)})
        else:
            added.append(span, map(json.dumps, ones))


def read(data: bytes) -> ViaFile:
    """Read VIA's JSON.

    A region that cannot be read refuses no file: it is among the `marks`, which say why.
    Raises CongealError for what is no such file.
    """
    try:
        text, content = loaded(data)
    except CongealError as error:
        if data.removeprefix(codecs.BOM_UTF8).lstrip(b"#").startswith(b"filename,"):
            raise CongealError("it is VIA's CSV: export the annotations as JSON, and give that") from error
        raise
    entries = content.get(METADATA, content) if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not all(map(_is_image, entries.values())):
        if isinstance(content, dict) and "annotations" in content:
            raise CongealError("it is COCO, not VIA's own JSON: give it with --coco")
        if isinstance(content, dict) and {"project", "metadata"} <= content.keys():
            raise CongealError(
                "it is of VIA 3, and VIA 2 is read: export it as COCO, and give that with --coco"
            )
        raise CongealError(
            "it is no project and no annotations of VIA 2, which are images with a filename and regions"
        )
    images = {key: str(entry["filename"]) for key, entry in entries.items()}
    marks = [
        _entry(f"region {number} of {images[key]}", images[key], region)
        for key, entry in entries.items()
        for number, region in _numbered(entry.get("regions"))
    ]
    return ViaFile(text, images, marks)


def _is_image(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("filename"), str)


def _span(text: str) -> Span:
    start = len(text) - len(text.lstrip())
    return start, len(text.rstrip())


def _numbered(regions: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(regions, dict):
        yield from regions.items()
    elif isinstance(regions, list):
        yield from enumerate(regions)


def _entry(name: str, image: str, region: Any) -> Entry:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        return Entry(name, image, None, ["it has no shape"])
    attributes = region.get("region_attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    score = 1.0
    origin: tuple[str, ...] = ()
    if SCORE in attributes and ORIGIN in attributes:
        score = _score(attributes.pop(SCORE))
        origin = tuple(name for name in str(attributes.pop(ORIGIN)).split(", ") if name)
    kind = str(shape.get("name"))
    points: Doubles | None = None
    polygons: list[Doubles] = []
    box: Box | None = None
    try:
        if kind in (POINT, LINE):
            points = _clicked(shape, kind)
        elif kind == BOX:
            left, top, width, height = (_number(shape, key) - HALF_PIXEL * (key in "xy") for key in BOX_KEYS)
            box = left, top, left + width, top + height
        else:
            polygons = [_outline(shape, kind) - HALF_PIXEL]
            kind = OUTLINE
    except ValueError as error:
        return Entry(name, image, None, [str(error)])
    called = ", ".join(
        str(value) for value in attributes.values() if isinstance(value, (str, int, float)) and value != ""
    )
    annotation = Annotation(
        image,
        called or kind,
        keypoints=points,
        polygons=polygons,
        box=box,
        confidence=score,
        origin=origin,
        category_id=json.dumps([kind, attributes], sort_keys=True),
    )
    return Entry(name, image, annotation)


def _number(shape: Mapping[str, Any], key: str) -> float:
    value = shape.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise ValueError(f"its {key} is no number of pixels")
    return float(value)


def _clicked(shape: Mapping[str, Any], kind: str) -> Doubles:
    if kind == POINT:
        return np.array([[_number(shape, "cx"), _number(shape, "cy")]])
    return _all_points(shape, 2)


def _all_points(shape: Mapping[str, Any], least: int) -> Doubles:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise ValueError("it has no points, or not as many x as y")
    points = [[_number({"x": x}, "x"), _number({"y": y}, "y")] for x, y in zip(xs, ys, strict=True)]
    if len(points) < least:
        raise ValueError(f"it has {counted(len(points), 'point')}, and needs {least}")
    return np.array(points, np.float64)


def _outline(shape: Mapping[str, Any], kind: str) -> Doubles:
    """Points of a closed outline, counted from the corner of the top-left pixel."""
    if kind == OUTLINE:
        return _all_points(shape, 3)
    if kind not in ("circle", "ellipse"):
        raise ValueError(f"its shape {kind!r} is none of VIA's")
    middle = np.array([_number(shape, "cx"), _number(shape, "cy")])
    keys = ("r", "r") if kind == "circle" else ("rx", "ry")
    wide, high = (_number(shape, key) for key in keys)
    turn = _number(shape, "theta") if kind == "ellipse" and "theta" in shape else 0.0
    angles = np.arange(ROUND) * (2 * math.pi / ROUND)
    along = np.stack([wide * np.cos(angles), high * np.sin(angles)], axis=1)
    cos, sin = math.cos(turn), math.sin(turn)
    turned: Doubles = middle + along @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _score(value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        return 1.0
    return score if 0 <= score <= 1 else 1.0


def _regions(one: Annotation) -> list[dict[str, Any]]:
    """The regions of what is carried: one, but of an outline one for each of its parts."""
    kind, attributes = json.loads(str(one.category_id))
    said = attributes | {SCORE: f"{one.confidence:.4f}", ORIGIN: ", ".join(one.origin)}
    shapes: list[dict[str, Any]] = []
    if kind in (POINT, LINE) and one.keypoints is not None:
        known = one.keypoints[np.isfinite(one.keypoints).all(1)]
        if kind == POINT and len(known):
            shapes = [{"name": POINT, "cx": _rounded(known[0, 0]), "cy": _rounded(known[0, 1])}]
        elif len(known) > 1:
            shapes = [{"name": LINE} | _columns(known)]
    elif kind == BOX and one.box is not None:
        left, top, right, bottom = one.box
        sides = (left + HALF_PIXEL, top + HALF_PIXEL, right - left, bottom - top)
        shapes = [{"name": BOX} | dict(zip(BOX_KEYS, map(_rounded, sides), strict=True))]
    else:
        shapes = [{"name": OUTLINE} | _columns(np.asarray(part) + HALF_PIXEL) for part in one.polygons]
    return [{"shape_attributes": shape, "region_attributes": said} for shape in shapes]


def _columns(points: Doubles) -> dict[str, list[float]]:
    return {f"all_points_{axis}": [_rounded(value) for value in points[:, n]] for n, axis in enumerate("xy")}


def _rounded(value: float) -> float:
    return round(float(value), 2)
