"""Marks carried from the images of a set to its others: keypoints, outlines, boxes and masks of things.

Points go by way of the atlas: once from each source to the atlas, from there to all targets at once. What is
painted goes the other way, see `congeal.transfer.layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles, Flags
from congeal.geometry.polygons import bounds, clipped, densified, of_box, simplified
from congeal.transfer.annotations import Annotation
from congeal.transfer.fusion import combine_points
from congeal.transfer.points import VISIBLE, ForwardMaps, Maps, checked_points, seen_from_atlas, to_atlas

EDGE_STEP = 0.01  # of the source's side: how closely an outline is followed
TOLERANCE = 0.25  # pixels by which a carried outline may be simplified
HALF = 128  # of 255: from where on a pixel belongs to a mask
BEYOND = 9.0  # an atlas place that no image shows


@dataclass(frozen=True)
class AtlasPoints:
    """k points in the atlas and how surely they are there: places [k, 2] (NaN: unknown), confidence [k]."""

    places: Doubles
    confidence: Doubles


@dataclass(frozen=True)
class CarriedPoints:
    """k points in n images: xy float64 [n, k, 2] in pixels (NaN: unknown), confidence, visible [n, k]."""

    xy: Doubles
    confidence: Doubles
    visible: Flags


@dataclass(frozen=True)
class Mark:
    """An annotation of one source, its points taken to the atlas."""

    annotation: Annotation
    maps: Maps
    keypoints: AtlasPoints | None
    outlines: Sequence[AtlasPoints]
    box: AtlasPoints | None


def points_to_atlas(points: Doubles, source: Maps, name: str = "the source image") -> AtlasPoints:
    """Points [k, 2] of an image in the atlas; rows of NaN stay unknown.

    Raises CongealError for a point that does not lie on the image.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise CongealError(f"points have the shape [k, 2], not {list(points.shape)}")
    known = np.asarray(~np.isnan(points).all(1))
    points = checked_points(np.where(known[:, None], points, 0.0), source.frame, name)
    places, confidence = to_atlas(points, source)
    return AtlasPoints(np.where(known[:, None], places, np.nan), np.where(known, confidence, 0.0))


def carry_points(sources: Sequence[AtlasPoints], targets: ForwardMaps) -> CarriedPoints:
    """The same k points, known from one or several sources, in n images; combined by confidence."""
    xy, confidence = [], []
    for source in sources:
        unknown = np.asarray(np.isnan(source.places).any(1))
        found = seen_from_atlas(np.where(unknown[:, None], BEYOND, source.places), source.confidence, targets)
        xy.append(np.where(unknown[:, None], np.nan, found.xy))
        confidence.append(found.confidence)
    sides = np.array([frame.side for frame in targets.frames], np.float64)
    places, sure = combine_points(np.stack(xy), np.stack(confidence), sides)
    on_image = np.zeros(sure.shape, bool)
    for row, frame in enumerate(targets.frames):
        on_image[row] = frame.inside(places[row])
    sure = np.where(on_image, sure, 0.0)
    return CarriedPoints(places, sure, on_image & (sure >= VISIBLE))


def mark(annotation: Annotation, maps: Maps) -> Mark:
    """An annotation, ready to be carried with `carry_marks`; what it is not sure of is not surer elsewhere.

    Outlines and boxes may reach over the image's edge, as they do in files; what is on the image counts.

    Raises CongealError for a keypoint beyond the image, a box or outline without an inside, or a mask of
    another size than the image.
    """
    frame = maps.frame
    edges = (-0.5, -0.5, frame.width - 0.5, frame.height - 0.5)
    step = EDGE_STEP * frame.side

    def parts(outline: Doubles) -> list[AtlasPoints]:
        inside = clipped(np.asarray(outline, np.float64), edges)
        if not inside:
            raise CongealError(f"an outline of {annotation.category!r} on {annotation.image} has no inside")
        known = [to_atlas(densified(part, step), maps) for part in inside]
        return [_doubted(AtlasPoints(*part), annotation.confidence) for part in known]

    keypoints = None
    if annotation.keypoints is not None:
        sure = annotation.keypoint_confidence
        keypoints = _doubted(
            points_to_atlas(annotation.keypoints, maps, f"the image {annotation.image}"),
            annotation.confidence if sure is None else sure,
        )
    if annotation.mask is not None and annotation.mask.shape != (frame.height, frame.width):
        height, width = annotation.mask.shape
        raise CongealError(
            f"a mask on {annotation.image} is {width} x {height} pixels, the image {frame.width} x "
            f"{frame.height}"
        )
    alone = annotation.box is not None and not len(annotation.polygons) and annotation.mask is None
    box = parts(of_box(annotation.box))[0] if alone and annotation.box is not None else None
    outlines = [part for polygon in annotation.polygons for part in parts(polygon)]
    return Mark(annotation, maps, keypoints, outlines, box)


def _doubted(points: AtlasPoints, sure: float | Doubles) -> AtlasPoints:
    # The way back halves the exponent: what comes out is multiplied by `sure`.
    return AtlasPoints(points.places, points.confidence * np.square(sure))


def carry_marks(
    marks: Sequence[Mark], names: Sequence[str], targets: ForwardMaps, whole: Callable[[int], Maps]
) -> list[Annotation | None]:
    """One thing, marked on one or several sources, on n targets.

    Args:
        marks: the thing on each source.
        names: the n targets.
        targets: their maps.
        whole: number of a target to all its maps; called for masks only.

    Returns:
        An annotation for every target, with its confidence and origin; None where nothing of it would lie on
        the image. Keypoints, boxes and masks are combined by confidence; outlines, which have no points in
        common, are those of the surest source. A box beside an outline or a mask is the box around that.
    """
    first = marks[0].annotation
    origin = tuple(dict.fromkeys(one.annotation.image for one in marks))
    pointed = [one for one in marks if one.keypoints is not None]
    known = [one.keypoints for one in pointed if one.keypoints is not None]
    names_of_points = pointed[0].annotation.keypoint_names if pointed else ()
    keypoints = carry_points(known, targets) if known else None
    boxed = any(_has_box(one.annotation) for one in marks)
    outlines, outline_sure = _outlines(marks, targets)
    boxes, box_sure = _boxes(marks, targets)
    results: list[Annotation | None] = []
    for row, name in enumerate(names):
        sure: list[float] = []
        polygons = outlines[row]
        mask, box = None, None
        if polygons:
            box = bounds(np.concatenate(polygons))
            sure.append(outline_sure[row])
        if any(one.annotation.mask is not None for one in marks):
            inside, mask_sure = _mask(marks, whole(row))
            if inside.any():
                mask, box = inside, _mask_bounds(inside)
                sure.append(mask_sure)
        if box is None and boxes is not None and boxes[row] is not None:
            box = boxes[row]
            sure.append(box_sure[row])
        points, confidences = None, None
        if keypoints is not None:
            confidences = keypoints.confidence[row]
            known_there = np.isfinite(keypoints.xy[row]).all(1)
            sure.append(float(keypoints.confidence[row][known_there].mean()) if known_there.any() else 0.0)
            on_image = np.asarray(targets.frames[row].inside(keypoints.xy[row]))
            if on_image.any():
                # What lies off the image is not known there.
                points = np.where(on_image[:, None], keypoints.xy[row], np.nan)
        if points is None and box is None:
            results.append(None)
            continue
        results.append(
            Annotation(
                image=name,
                category=first.category,
                keypoints=points,
                keypoint_names=names_of_points,
                keypoint_confidence=None if points is None else confidences,
                polygons=polygons,
                box=box if boxed else None,
                mask=mask,
                confidence=float(np.mean(sure)) if sure else 0.0,
                origin=origin,
                category_id=first.category_id,
                crowd=first.crowd,
                place=first.place,
                instances=first.instances,
            )
        )
    return results


def _has_box(annotation: Annotation) -> bool:
    return annotation.box is not None or len(annotation.polygons) > 0 or annotation.mask is not None


def _outlines(marks: Sequence[Mark], targets: ForwardMaps) -> tuple[list[list[Doubles]], list[float]]:
    """The outlines of the surest source in every target, clipped to it, and their mean confidence."""
    n = len(targets.frames)
    found: list[list[Doubles]] = [[] for _ in range(n)]
    best = [-1.0] * n
    for one in marks:
        if not one.outlines:
            continue
        carried = [carry_points([outline], targets) for outline in one.outlines]
        for row, frame in enumerate(targets.frames):
            sure = float(np.mean(np.concatenate([part.confidence[row] for part in carried])))
            if sure <= best[row]:
                continue
            edges = (-0.5, -0.5, frame.width - 0.5, frame.height - 0.5)
            parts = [inside for part in carried for inside in clipped(part.xy[row], edges)]
            found[row] = [simplified(part, TOLERANCE) for part in parts]
            best[row] = sure
    return found, [max(value, 0.0) for value in best]


def _boxes(
    marks: Sequence[Mark], targets: ForwardMaps
) -> tuple[list[tuple[float, float, float, float] | None] | None, list[float]]:
    """The boxes around the carried boxes, combined by confidence, clipped to every target."""
    n = len(targets.frames)
    corners, confidence = [], []
    for one in marks:
        if one.box is None:
            continue
        carried = carry_points([one.box], targets)
        corners.append(np.stack([carried.xy.min(1), carried.xy.max(1)], 1))
        confidence.append(np.repeat(carried.confidence.mean(1, keepdims=True), 2, axis=1))
    if not corners:
        return None, [0.0] * n
    sides = np.array([frame.side for frame in targets.frames], np.float64)
    both, sure = combine_points(np.stack(corners), np.stack(confidence), sides)
    boxes: list[tuple[float, float, float, float] | None] = []
    for frame, pair in zip(targets.frames, both, strict=True):
        inside = np.clip(pair, -0.5, [frame.width - 0.5, frame.height - 0.5])
        left, top, right, bottom = (float(value) for value in inside.ravel())
        boxes.append((left, top, right, bottom) if right > left and bottom > top else None)
    return boxes, [float(value) for value in sure.mean(1)]


def _mask(marks: Sequence[Mark], target: Maps) -> tuple[Flags, float]:
    # Points need no torch, and most annotations are points.
    from congeal.transfer.layers import Painting, carry_mask

    masks = [Painting(one.annotation.mask, one.maps) for one in marks if one.annotation.mask is not None]
    carried = carry_mask(masks, target)
    known = [one.annotation.confidence for one in marks if one.annotation.mask is not None]
    return carried.pixels >= HALF, carried.confidence * float(np.mean(known))


def _mask_bounds(inside: Flags) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return columns[0] - 0.5, rows[0] - 0.5, columns[-1] + 0.5, rows[-1] + 0.5
