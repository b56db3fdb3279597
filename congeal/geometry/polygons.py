"""Closed outlines, float64 [m, 2] (the first point not repeated at the end), by shapely."""

from __future__ import annotations

import numpy as np
import shapely

from congeal.geometry.arrays import Doubles

Box = tuple[float, float, float, float]

FAR = 1e9  # pixels: beyond, the products within shapely overflow from 1e154 on


def of_box(box: Box) -> Doubles:
    """The four corners of left, top, right, bottom, float64 [4, 2]."""
    left, top, right, bottom = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def bounds(points: Doubles) -> Box:
    """left, top, right, bottom of points [m, 2], m > 0."""
    left, top, right, bottom = shapely.bounds(shapely.MultiPoint(points)).tolist()
    return left, top, right, bottom


def area(outline: Doubles) -> float:
    """The area within an outline [m, 2]; what one that crosses itself goes round twice counts once."""
    return float(shapely.area(_polygon(outline)))


def densified(outline: Doubles, step: float) -> Doubles:
    """The outline [m, 2], with an inside, with points at most ``step`` apart; the given ones stay."""
    return _points(shapely.segmentize(shapely.LinearRing(outline), step))


def simplified(outline: Doubles, tolerance: float) -> Doubles:
    """Fewer points, the outline [m, 2] nowhere more than ``tolerance`` from them (Douglas, Peucker 1973).

    An outline that would lose its inside, or cross itself, stays as it is.
    """
    # Not topology-preserving, which leaves four points or more: a triangle comes out with one too many.
    fewer = _points(shapely.simplify(shapely.LinearRing(outline), tolerance, preserve_topology=False))
    return fewer if len(fewer) > 2 and shapely.Polygon(fewer).is_valid else outline


def clipped(outline: Doubles, box: Box) -> list[Doubles]:
    """The parts of an outline [m, 2] within a box (left, top, right, bottom); none if it has no inside there.

    An outline that lies in the box is the only part, as it was given. No part has a hole: one that goes round
    a hole comes in pieces that share an edge.
    """
    polygon = _polygon(outline)
    if not shapely.area(polygon):
        return []
    window = shapely.box(*box)
    # A spike of no width has no part in the polygon, and may reach beyond the box.
    if window.covers(polygon) and window.covers(shapely.MultiPoint(outline)):
        return [outline]
    # `intersection` gives a valid polygon for each part, which `clip_by_rect` does not promise.
    return [_points(part.exterior) for part in _without_holes(shapely.intersection(polygon, window))]


def _polygon(outline: Doubles) -> shapely.Geometry:
    if len(outline) < 3:
        return shapely.Polygon()
    polygon = shapely.Polygon(np.clip(outline, -FAR, FAR))
    if polygon.is_valid:
        return polygon
    return shapely.make_valid(polygon, method="structure", keep_collapsed=False)


def _without_holes(shape: shapely.Geometry) -> list[shapely.Polygon]:
    parts = []
    for part in shapely.get_parts(shape):
        if not isinstance(part, shapely.Polygon) or not part.area:
            continue  # where the outline only touches the box
        if not part.interiors:
            parts.append(part)
            continue
        left, top, right, bottom = part.bounds
        middle = part.interiors[0].centroid.x
        for side in (shapely.box(left, top, middle, bottom), shapely.box(middle, top, right, bottom)):
            parts += _without_holes(part.intersection(side))
    return parts


def _points(ring: shapely.Geometry) -> Doubles:
    return np.asarray(shapely.get_coordinates(ring)[:-1], np.float64)
