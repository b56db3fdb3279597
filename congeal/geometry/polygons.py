"""Closed outlines: float64 [m, 2], the first point not repeated at the end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]


def of_box(box: Box) -> Doubles:
    """The four corners of left, top, right, bottom."""
    left, top, right, bottom = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def bounds(points: Doubles) -> Box:
    """left, top, right, bottom of points [m, 2]."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right), float(bottom)


def area(outline: Doubles) -> float:
    """The area that an outline [m, 2] encloses, never negative."""
    x, y = outline.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def densified(outline: Doubles, step: float) -> Doubles:
    """The same outline [m, 2] with points at most ``step`` apart; the given points stay."""
    following = np.roll(outline, -1, axis=0)
    lengths = np.linalg.norm(following - outline, axis=1)
    counts = np.maximum(np.ceil(lengths / step).astype(int), 1)
    parts = [
        start + (end - start) * (np.arange(count) / count)[:, None]
        for start, end, count in zip(outline, following, counts, strict=True)
    ]
    return np.concatenate(parts) if parts else outline


def simplified(outline: Doubles, tolerance: float) -> Doubles:
    """Fewer points, the outline [m, 2] nowhere more than ``tolerance`` from them (Douglas, Peucker 1973)."""
    if len(outline) < 4:
        return outline
    # A closed outline is two open ones between its first point and the one farthest from it.
    far = int(((outline - outline[0]) ** 2).sum(1).argmax())
    closed = np.concatenate([outline, outline[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far, -1]] = True
    waiting = [(0, far), (far, len(closed) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        distances = _from_segment(closed[first + 1 : last], closed[first], closed[last])
        worst = int(distances.argmax())
        if distances[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    return np.asarray(outline[keep[:-1]])


def clipped(outline: Doubles, box: Box) -> Doubles:
    """The part of an outline [m, 2] within a box (Sutherland, Hodgman 1974); empty [0, 2] if there is none.

    Parts that the box separates stay joined along its edge.
    """
    left, top, right, bottom = box
    for axis, limit, sign in ((0, left, 1.0), (0, right, -1.0), (1, top, 1.0), (1, bottom, -1.0)):
        if not len(outline):
            break
        outline = _half_plane(outline, axis, limit, sign)
    return outline


def _half_plane(outline: Doubles, axis: int, limit: float, sign: float) -> Doubles:
    distance = sign * (outline[:, axis] - limit)
    following, beyond = np.roll(outline, -1, axis=0), np.roll(distance, -1)
    crosses = (distance >= 0) != (beyond >= 0)
    part = np.where(crosses, distance / np.where(crosses, distance - beyond, 1.0), 0.0)
    crossing = outline + part[:, None] * (following - outline)
    pairs = np.stack([outline, crossing], 1).reshape(-1, 2)
    return np.asarray(pairs[np.stack([distance >= 0, crosses], 1).ravel()])


def _from_segment(points: Doubles, start: Doubles, end: Doubles) -> Doubles:
    along = end - start
    length = float(along @ along)
    part = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.asarray(np.linalg.norm(points - (start + part[:, None] * along), axis=1))
