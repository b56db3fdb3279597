"""COCO JSON: boxes, outlines, masks and keypoints of things on images (https://cocodataset.org/#format-data).

COCO counts outlines and boxes from the corner of the top-left pixel, keypoints from its centre: the first are
shifted by half a pixel to and from `congeal.annotations`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.annotations import Annotation
from congeal.errors import CongealError
from congeal.exchange import run_lengths
from congeal.outlines import area
from congeal.transfer import VISIBLE

Doubles = npt.NDArray[np.float64]

HALF_PIXEL = 0.5
HIDDEN, OCCLUDED, SEEN = 0, 1, 2  # COCO's flag of a keypoint


@dataclass(frozen=True)
class Category:
    """A kind of thing: its id and name, the names of its keypoints, and which of them are joined (from 1)."""

    id: int
    name: str
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class CocoFile:
    """What a file holds: annotations by image name, the images' sizes (width, height), the categories."""

    annotations: list[Annotation]
    sizes: dict[str, tuple[int, int]]
    categories: list[Category] = field(default_factory=list)


def read(data: bytes) -> CocoFile:
    """Read COCO JSON. Raises CongealError, naming the entry, for anything that is not that."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise CongealError(f"it is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise CongealError("it is no COCO file: images, annotations and categories are missing")
    images = _entries(content, "images", ("id", "file_name", "width", "height"))
    categories = [_category(entry) for entry in _entries(content, "categories", ("id", "name"))]
    names = {category.id: category for category in categories}
    files = {entry["id"]: entry for entry in images}
    annotations: list[Annotation] = []
    for entry in _entries(content, "annotations", ("image_id", "category_id")):
        label = f"annotation {entry.get('id', len(annotations))}"
        if entry["image_id"] not in files:
            raise CongealError(f"{label} is of the image {entry['image_id']}, which is not among the images")
        if entry["category_id"] not in names:
            raise CongealError(f"{label} is of the category {entry['category_id']}, which is not named")
        try:
            annotations.append(_annotation(entry, files[entry["image_id"]], names[entry["category_id"]]))
        except (TypeError, ValueError, KeyError) as error:
            raise CongealError(f"{label} cannot be read: {error}") from error
    sizes = {str(entry["file_name"]): (int(entry["width"]), int(entry["height"])) for entry in images}
    return CocoFile(annotations, sizes, categories)


def write(
    annotations: Iterable[Annotation],
    sizes: Mapping[str, tuple[int, int]],
    categories: Sequence[Category] = (),
    about: str = "",
) -> bytes:
    """COCO JSON with the images in ``sizes`` (name to width and height) and annotations on them.

    Every annotation carries `score` (its confidence), `origin` (the images it comes from, joined by commas)
    and, if it has keypoints, `keypoint_scores`. Categories that are not given are numbered on from the
    highest id, in order of appearance. Ids of images and annotations count from 1.
    """
    known = {category.name: category for category in categories}
    ids = {name: number for number, name in enumerate(sizes, 1)}
    entries: list[dict[str, Any]] = []
    for annotation in annotations:
        if annotation.category not in known:
            number = 1 + max((category.id for category in known.values()), default=0)
            known[annotation.category] = Category(
                number, annotation.category, tuple(annotation.keypoint_names)
            )
        facts = {
            "id": len(entries) + 1,
            "image_id": ids[annotation.image],
            "category_id": known[annotation.category].id,
        }
        entries.append(facts | _entry(annotation))
    content = {
        "info": {"description": about},
        "images": [
            {"id": ids[name], "file_name": name, "width": width, "height": height}
            for name, (width, height) in sizes.items()
        ],
        "categories": [_category_entry(category) for category in known.values()],
        "annotations": entries,
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _entries(content: dict[str, Any], name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise CongealError(f"it is no COCO file: it has no list of {name}")
    for number, entry in enumerate(entries):
        missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise CongealError(f"{name}[{number}] has no {missing[0]}")
    return entries


def _category(entry: dict[str, Any]) -> Category:
    keypoints = tuple(str(name) for name in entry.get("keypoints") or ())
    skeleton = tuple((int(first), int(second)) for first, second in entry.get("skeleton") or ())
    return Category(int(entry["id"]), str(entry["name"]), keypoints, skeleton)


def _category_entry(category: Category) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": category.id, "name": category.name}
    if category.keypoints:
        entry |= {
            "keypoints": list(category.keypoints),
            "skeleton": [list(pair) for pair in category.skeleton],
        }
    return entry


def _annotation(entry: dict[str, Any], image: dict[str, Any], category: Category) -> Annotation:
    segmentation = entry.get("segmentation")
    polygons: list[Doubles] = []
    mask = None
    if isinstance(segmentation, dict):
        mask = run_lengths.decode(segmentation)
    elif segmentation:
        polygons = [_numbers(part, 2).reshape(-1, 2) - HALF_PIXEL for part in segmentation]
        if any(len(polygon) < 3 for polygon in polygons):
            raise ValueError("an outline has three points or more")
    keypoints = None
    if entry.get("keypoints"):
        triples = _numbers(entry["keypoints"], 3).reshape(-1, 3)
        keypoints = np.where(triples[:, 2:] == HIDDEN, np.nan, triples[:, :2])
        if category.keypoints and len(category.keypoints) != len(keypoints):
            raise ValueError(f"{len(keypoints)} keypoints, {len(category.keypoints)} in its category")
    box = None
    if entry.get("bbox"):
        left, top, width, height = _numbers(entry["bbox"], 4).tolist()
        left, top = left - HALF_PIXEL, top - HALF_PIXEL
        box = (left, top, left + width, top + height)
    scores = entry.get("keypoint_scores")
    return Annotation(
        image=str(image["file_name"]),
        category=category.name,
        keypoints=keypoints,
        keypoint_names=category.keypoints,
        keypoint_confidence=_numbers(scores, 1) if scores and keypoints is not None else None,
        polygons=polygons,
        box=box,
        mask=mask,
        confidence=float(entry.get("score", 1.0)),
        origin=tuple(name for name in str(entry.get("origin", "")).split(", ") if name),
    )


def _numbers(values: Any, each: int) -> Doubles:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or numbers.size % each or not np.isfinite(numbers).all():
        raise ValueError(f"{values!r:.60} is no list of numbers, {each} each")
    return numbers


def _entry(annotation: Annotation) -> dict[str, Any]:
    entry: dict[str, Any] = {"iscrowd": 0}
    if annotation.box is not None:
        left, top, right, bottom = annotation.box
        entry["bbox"] = _rounded([left + HALF_PIXEL, top + HALF_PIXEL, right - left, bottom - top])
        entry["area"] = round((right - left) * (bottom - top), 2)
    if len(annotation.polygons):
        entry["segmentation"] = [_rounded((part + HALF_PIXEL).ravel()) for part in annotation.polygons]
        entry["area"] = round(sum(area(part) for part in annotation.polygons), 2)
    if annotation.mask is not None:
        entry["segmentation"] = run_lengths.encode(annotation.mask)
        entry["area"] = int(annotation.mask.sum())
    if annotation.keypoints is not None:
        entry |= _keypoints(annotation, annotation.keypoints)
    entry["score"] = round(annotation.confidence, 4)
    entry["origin"] = ", ".join(annotation.origin or (annotation.image,))
    return entry


def _keypoints(annotation: Annotation, points: Doubles) -> dict[str, Any]:
    sure = annotation.keypoint_confidence
    scores = np.ones(len(points)) if sure is None else sure
    triples: list[float] = []
    for (x, y), score in zip(points.tolist(), scores.tolist(), strict=True):
        if math.isnan(x):
            triples += [0, 0, HIDDEN]
        else:
            triples += [round(x, 2), round(y, 2), SEEN if score >= VISIBLE else OCCLUDED]
    entry = {"keypoints": triples, "num_keypoints": sum(flag != HIDDEN for flag in triples[2::3])}
    return (
        entry if sure is None else entry | {"keypoint_scores": [round(score, 4) for score in scores.tolist()]}
    )


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]
