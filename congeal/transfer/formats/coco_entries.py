"""Entries of a COCO file's list of annotations, to and from `congeal.transfer.annotations`.

COCO counts outlines and boxes from the corner of the top-left pixel, keypoints from its centre: the first are
shifted by half a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles
from congeal.geometry.polygons import area, bounds
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats import rle
from congeal.transfer.points import VISIBLE

Box = tuple[float, float, float, float]
T = TypeVar("T")

HALF_PIXEL = 0.5
HIDDEN, OCCLUDED, SEEN = 0, 1, 2  # COCO's flag of a keypoint
SAME = 0.02  # pixels by which a box may differ from the one around the keypoints and still be that


@dataclass(frozen=True)
class Category:
    """A kind of thing: its id and name, the names of its keypoints, and which of them are joined (from 1)."""

    id: int | str
    name: str
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


def decoded(entry: dict[str, Any], image: str, category: Category) -> tuple[Annotation, list[str]]:
    """What an entry marks on an image, and what of it cannot be read, and why."""
    problems: list[str] = []
    points = _part(lambda: _keypoints(entry, category), "its keypoints are left out", problems)
    polygons: list[Doubles] = []
    mask = None
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        mask = _part(lambda: rle.decode(segmentation), "its mask is left out", problems)
    elif isinstance(segmentation, list):
        nested = any(isinstance(part, list) for part in segmentation)
        for part in segmentation if nested else [segmentation]:
            polygon = _part(lambda part=part: _polygon(part), "a part of its outline is left out", problems)  # type: ignore[misc]
            polygons += [] if polygon is None else [polygon]
    elif segmentation is not None:
        problems.append("its segmentation is neither a list of outlines nor a mask")
    box = _part(lambda: _box(entry), "its bbox is left out", problems)
    if box is not None and points is not None and not polygons and mask is None:
        around = _around(entry)
        if around is not None and np.allclose(around, _numbers(entry["bbox"], 4), atol=SAME):
            box = None  # it says no more than the keypoints
    scores = None
    if points is not None and entry.get("keypoint_scores") is not None:
        count = len(points)
        scores = _part(lambda: _scores(entry["keypoint_scores"], count), "its scores are left out", problems)
    origin = entry.get("origin")
    annotation = Annotation(
        image=image,
        category=category.name,
        keypoints=points,
        keypoint_names=category.keypoints,
        keypoint_confidence=scores,
        polygons=polygons,
        box=box,
        mask=mask,
        confidence=_score(entry.get("score")),
        origin=tuple(name for name in origin.split(", ") if name) if isinstance(origin, str) else (),
        crowd=entry.get("iscrowd") in (1, True),
    )
    return annotation, problems


def _part(read: Callable[[], T], what: str, problems: list[str]) -> T | None:
    try:
        return read()
    except (TypeError, ValueError, OverflowError, CongealError) as error:
        problems.append(f"{what}: {error}")
        return None


def _keypoints(entry: dict[str, Any], category: Category) -> Doubles | None:
    if not entry.get("keypoints"):
        return None
    triples = _numbers(entry["keypoints"], 3).reshape(-1, 3)
    if category.keypoints and len(category.keypoints) != len(triples):
        raise ValueError(f"{len(triples)} keypoints, {len(category.keypoints)} in its category")
    points = np.where(triples[:, 2:] == HIDDEN, np.nan, triples[:, :2])
    return None if np.isnan(points).all() else points


def _polygon(part: Any) -> Doubles | None:
    if not part:
        return None
    points = _numbers(part, 2).reshape(-1, 2)
    if len(points) < 3:
        raise ValueError(f"an outline has three points or more, not {len(points)}")
    return points - HALF_PIXEL


def _box(entry: dict[str, Any]) -> Box | None:
    if not entry.get("bbox"):
        return None
    numbers = _numbers(entry["bbox"], 4)
    if len(numbers) != 4:
        raise ValueError(f"{len(numbers)} numbers are no box")
    left, top, width, height = numbers.tolist()
    if not numbers.any():
        return None  # how labelling programs write that there is none
    left, top = left - HALF_PIXEL, top - HALF_PIXEL
    return left, top, left + width, top + height


def _scores(values: Any, count: int) -> Doubles:
    scores = _numbers(values, 1)
    if len(scores) != count:
        raise ValueError(f"{len(scores)} for {count} keypoints")
    return np.clip(scores, 0, 1)


def _score(value: Any) -> float:
    sound = isinstance(value, (int, float)) and 0 <= value <= 1
    return float(value) if sound else 1.0


def _numbers(values: Any, each: int) -> Doubles:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or numbers.size % each or not np.isfinite(numbers).all():
        raise ValueError(f"{values!r:.60} is no list of numbers, {each} each")
    return numbers


def encoded(annotation: Annotation) -> dict[str, Any]:
    """The entry of an annotation, with a bbox and an area, but without ids."""
    entry: dict[str, Any] = {}
    if annotation.box is not None:
        left, top, right, bottom = annotation.box
        entry["bbox"] = _rounded([left + HALF_PIXEL, top + HALF_PIXEL, right - left, bottom - top])
        entry["area"] = round((right - left) * (bottom - top), 2)
    if len(annotation.polygons):
        entry["segmentation"] = [_rounded((part + HALF_PIXEL).ravel()) for part in annotation.polygons]
        entry["area"] = round(sum(area(part) for part in annotation.polygons), 2)
    if annotation.mask is not None:
        entry["segmentation"] = rle.encode(annotation.mask)
        entry["area"] = int(annotation.mask.sum())
    if annotation.keypoints is not None:
        entry |= _points(annotation, annotation.keypoints)
    entry = {"iscrowd": int(annotation.crowd)} | extent(entry) | entry
    entry["score"] = round(annotation.confidence, 4)
    entry["origin"] = ", ".join(annotation.origin or (annotation.image,))
    return entry


def _points(annotation: Annotation, points: Doubles) -> dict[str, Any]:
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


def extent(entry: dict[str, Any]) -> dict[str, Any]:
    """The bbox and the area that an entry lacks: of its outline or mask, else around its labelled keypoints.

    Readers stop at an entry without. One that marks nothing gets a box without an inside.
    """
    missing = {name for name in ("bbox", "area") if name not in entry}
    if not missing:
        return {}
    annotation, _ = decoded(entry, "", Category(0, ""))
    found: dict[str, Any] = {"bbox": [0, 0, 0, 0], "area": 0}
    around = _around(entry)
    if around is not None:
        found = {"bbox": around, "area": round(around[2] * around[3], 2)}
    if annotation.box is not None:
        left, top, right, bottom = annotation.box
        found["area"] = round(max(right - left, 0) * max(bottom - top, 0), 2)
    box: Box | None = None
    if annotation.polygons:
        box = bounds(np.concatenate(annotation.polygons))
        found["area"] = round(sum(area(part) for part in annotation.polygons), 2)
    elif annotation.mask is not None and annotation.mask.any():
        rows, columns = np.flatnonzero(annotation.mask.any(1)), np.flatnonzero(annotation.mask.any(0))
        box = (columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5)
        found["area"] = int(annotation.mask.sum())
    if box is not None:
        left, top, right, bottom = box
        found["bbox"] = _rounded([left + HALF_PIXEL, top + HALF_PIXEL, right - left, bottom - top])
    return {name: found[name] for name in ("bbox", "area") if name in missing}


def _around(entry: dict[str, Any]) -> list[float] | None:
    """The box of the pixels that the labelled keypoints lie on."""
    try:
        triples = _numbers(entry.get("keypoints") or [], 3).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        return None
    points = triples[triples[:, 2] != HIDDEN, :2]
    if not len(points):
        return None
    left, top, right, bottom = bounds(points)
    return _rounded([left, top, right + 1 - left, bottom + 1 - top])


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(value), 2) for value in values]
