"""Triangle meshes whose vertices know where they lie on their kind of thing.

Lengths are in the scene's unit (things are about 1 across), z is up, a thing faces +x and its left is +y.
Every vertex carries (s, t) in [0, 1]^2, its place on its part; the same (part, s, t) is the same place on
every instance of a kind, whatever its proportions and its pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.interpolate import PchipInterpolator, make_interp_spline

Array = np.ndarray


@dataclass(frozen=True)
class Finish:
    """How a surface takes the light; the meanings are those of Disney's principled model."""

    roughness: float = 0.4
    specular: float = 0.5
    metallic: float = 0.0
    clearcoat: float = 0.0
    glow: float = 0.0


@dataclass(frozen=True)
class Part:
    """One piece of surface.

    Attributes:
        name: the part of the kind that it is; None for what is no part of it (coffee in a mug).
        vertices: float64 [v, 3].
        faces: int64 [f, 3].
        place: float64 [v, 2], (s, t).
        colour: float64 [v, 3], sRGB in [0, 1].
        normals: float64 [v, 3], if they are known better than from the faces.
    """

    name: str | None
    vertices: Array
    faces: Array
    place: Array
    colour: Array = field(default_factory=lambda: np.full(3, 0.8))
    finish: Finish = Finish()
    normals: Array | None = None

    def painted(self, colour: Array | Sequence[float], finish: Finish | None = None) -> Part:
        """With one colour [3], or one a vertex [v, 3]."""
        colours = np.broadcast_to(np.asarray(colour, np.float64), self.vertices.shape)
        return replace(self, colour=np.clip(colours, 0, 1), finish=finish or self.finish)

    def moved(self, rotation: Array | None = None, shift: Sequence[float] = (0, 0, 0)) -> Part:
        """Rotated about the origin, then shifted."""
        turn = np.eye(3) if rotation is None else rotation
        normals = None if self.normals is None else self.normals @ turn.T
        return replace(self, vertices=self.vertices @ turn.T + np.asarray(shift, np.float64), normals=normals)

    def at(self, s: float, t: float) -> Array:
        """The vertex nearest to the place (s, t); t runs round."""
        across = np.abs(self.place - [s, t])
        across[:, 1] = np.minimum(across[:, 1], 1 - across[:, 1])
        return self.vertices[np.argmin((across**2).sum(1))]

    def nearest(self, point: Sequence[float]) -> Array:
        """The vertex nearest to a point of space."""
        return self.vertices[np.argmin(((self.vertices - np.asarray(point)) ** 2).sum(1))]


@dataclass(frozen=True)
class Model:
    """One instance of a kind: its parts, and its keypoints [3] by name."""

    parts: list[Part]
    keypoints: dict[str, Array]

    def scaled(self, factor: float) -> Model:
        """Larger or smaller about the origin."""
        parts = [replace(part, vertices=part.vertices * factor) for part in self.parts]
        return Model(parts, {name: point * factor for name, point in self.keypoints.items()})

    def moved(self, rotation: Array | None = None, shift: Sequence[float] = (0, 0, 0)) -> Model:
        """Rotated about the origin, then shifted."""
        turn = np.eye(3) if rotation is None else rotation
        points = {name: turn @ point + np.asarray(shift) for name, point in self.keypoints.items()}
        return Model([part.moved(turn, shift) for part in self.parts], points)

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest corner."""
        every = np.concatenate([part.vertices for part in self.parts])
        return every.min(0), every.max(0)


def normals(part: Part) -> Array:
    """Unit normals [v, 3]; vertices at one place share theirs, so that seams do not show."""
    if part.normals is not None:
        return part.normals
    corners = part.vertices[part.faces]
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    _, same = np.unique(np.round(part.vertices, 6), axis=0, return_inverse=True)
    same = same.reshape(-1)
    total = np.zeros((same.max() + 1, 3))
    for corner in range(3):
        np.add.at(total, same[part.faces[:, corner]], weighted)
    unit = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return unit[same]


def turn(axis: str, degrees: float) -> Array:
    """Rotation matrix about one axis of the scene."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return np.array(rows.get(axis, [[c, -s, 0], [s, c, 0], [0, 0, 1]]))


def curve(points: Sequence[Sequence[float]], samples: int, degree: int = 3) -> Array:
    """A smooth curve [samples, d] through the points, evenly spaced along its length."""
    known = np.asarray(points, np.float64)
    gaps = np.linalg.norm(np.diff(known, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(np.sqrt(gaps))])
    spline = make_interp_spline(along, known, k=min(degree, len(known) - 1))
    fine = spline(np.linspace(0, along[-1], samples * 8))
    return even(fine, samples)


def even(polyline: Array, samples: int) -> Array:
    """The polyline resampled at even steps of its length."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(polyline, axis=0), axis=1))])
    at = np.linspace(0, length[-1], samples)
    return np.stack([np.interp(at, length, column) for column in polyline.T], 1)


def profile(at: Sequence[float], values: Sequence[float], where: Array) -> Array:
    """Monotone interpolation: a profile without overshoot."""
    return PchipInterpolator(at, values)(where)


def sheet(name: str | None, points: Array, place: Array | None = None) -> Part:
    """The surface through a grid of points [m, n, 3]; s runs down the rows, t along them."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.ravel() for x in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    if place is None:
        s, t = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
        place = np.stack([s, t], -1)
    return Part(name, points.reshape(-1, 3), faces, place.reshape(-1, 2))


def revolved(name: str | None, outline: Array, segments: int = 160) -> Part:
    """The outline (radius, height) [m, 2] turned about z; s along the outline, t = azimuth / 2 pi."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    radius, height = outline[:, :1], outline[:, 1:]
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.repeat(height, len(angle), 1)], -1)
    return sheet(name, points)


def tube(
    name: str | None,
    path: Array,
    radius: Array | float,
    flatness: float = 1.0,
    up: Sequence[float] = (0, 1, 0),
    segments: int = 48,
    cap: bool = True,
) -> Part:
    """A tube along the path [m, 3]; s along it, t the angle from ``up`` towards the tangent x ``up``.

    ``radius`` is across ``up``, ``radius * flatness`` along it. Ends are rounded off.
    """
    radii = np.broadcast_to(np.asarray(radius, np.float64), len(path)).copy()
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    if cap:
        path, radii, tangent = _rounded(path, radii, tangent)
    one = np.asarray(up, np.float64) - tangent * (tangent @ np.asarray(up, np.float64))[:, None]
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    two = np.cross(tangent, one)
    angle = np.linspace(0, 2 * np.pi, segments + 1)[None, :, None]
    ring = np.cos(angle) * flatness * one[:, None] + np.sin(angle) * two[:, None]
    return sheet(name, path[:, None] + radii[:, None, None] * ring)


def _rounded(path: Array, radii: Array, tangent: Array) -> tuple[Array, Array, Array]:
    quarter = np.linspace(0, np.pi / 2, 9)[:-1]
    out, shrink = np.cos(quarter)[:, None], np.sin(quarter)
    head = path[:1] - tangent[:1] * radii[0] * out
    tail = (path[-1:] + tangent[-1:] * radii[-1] * out)[::-1]
    return (
        np.concatenate([head, path, tail]),
        np.concatenate([radii[0] * shrink, radii, radii[-1] * shrink[::-1]]),
        np.concatenate([np.repeat(tangent[:1], 8, 0), tangent, np.repeat(tangent[-1:], 8, 0)]),
    )


def ball(
    name: str | None, centre: Sequence[float], radii: Sequence[float] | float, segments: int = 48
) -> Part:
    """An ellipsoid; s from its top to its bottom, t = azimuth / 2 pi."""
    angle = np.linspace(0, np.pi, segments // 2 + 1)
    part = revolved(name, np.stack([np.sin(angle), np.cos(angle)], 1), segments)
    return replace(part, vertices=part.vertices * radii + np.asarray(centre, np.float64))


def box(name: str | None, centre: Sequence[float], size: Sequence[float], rounding: float = 0.02) -> Part:
    """A box with rounded edges; its six faces lie side by side along s."""
    half = np.asarray(size, np.float64) / 2
    rounding = min(rounding, float(half.min()) * 0.999)
    parts = []
    for face in range(6):
        axis, sign = face // 2, 1 - 2 * (face % 2)
        others = [other for other in range(3) if other != axis]
        lines = [_box_line(half[other], rounding) for other in others]
        a, b = np.meshgrid(*lines, indexing="ij")
        points = np.zeros((*a.shape, 3))
        points[..., axis] = sign * half[axis]
        points[..., others[0]], points[..., others[1]] = a, b
        core = np.clip(points, -(half - rounding), half - rounding)
        out = points - core
        out /= np.linalg.norm(out, axis=-1, keepdims=True)
        place = np.stack([(face + (a / half[others[0]] + 1) / 2) / 6, (b / half[others[1]] + 1) / 2], -1)
        part = sheet(name, core + rounding * out + np.asarray(centre), place)
        parts.append(replace(part, normals=out.reshape(-1, 3)))
    return joined(name, parts)


def _box_line(half: float, rounding: float) -> Array:
    # The rounded edge is sampled at even angles.
    edge = half - rounding + rounding * np.tan(np.linspace(0, np.pi / 4, 6))
    inner = np.linspace(-(half - rounding), half - rounding, 24)
    return np.concatenate([-edge[::-1], inner[1:-1], edge])


def joined(name: str | None, parts: Sequence[Part], finish: Finish | None = None) -> Part:
    """Several pieces as one part."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Part(
        name,
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.place for part in parts]),
        np.concatenate([np.broadcast_to(part.colour, part.vertices.shape) for part in parts]),
        finish or parts[0].finish,
        np.concatenate([normals(part) for part in parts]),
    )
