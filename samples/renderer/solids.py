"""Soft solids: bones with flesh that flow into one another, as distance fields, and their meshes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mesh import Array, Part

Field = Callable[[Array], Array]


@dataclass(frozen=True)
class Bone:
    """A round cone between two points; ``part`` is the part of the kind whose surface it carries.

    ``squash`` narrows it along y.
    """

    part: str
    start: Sequence[float]
    end: Sequence[float]
    radius_start: float
    radius_end: float
    squash: float = 1.0

    def along(self, points: Array) -> Array:
        """Share of the way from start to end [n], of the foot of each point."""
        start, end = np.asarray(self.start, np.float64), np.asarray(self.end, np.float64)
        axis = end - start
        return np.clip((points - start) @ axis / max(float(axis @ axis), 1e-9), 0, 1)

    def distance(self, points: Array) -> Array:
        """About the signed distance [n]."""
        start, end = np.asarray(self.start, np.float64), np.asarray(self.end, np.float64)
        share = self.along(points)
        foot = start + share[:, None] * (end - start)
        gap = (points - foot) / np.array([1, self.squash, 1])
        radius = self.radius_start + share * (self.radius_end - self.radius_start)
        return (np.linalg.norm(gap, axis=1) - radius) * min(1.0, self.squash)


def blended(bones: Sequence[Bone], softness: float) -> Field:
    """The smooth union of the bones."""

    def field(points: Array) -> Array:
        total = np.full(len(points), np.inf)
        for bone in bones:
            other = bone.distance(points)
            mix = np.clip(0.5 + 0.5 * (other - total) / softness, 0, 1)
            mix = np.where(np.isfinite(total), mix, 0)
            total = np.where(np.isfinite(total), total, other)
            total = other + (total - other) * mix - softness * mix * (1 - mix)
        return total

    return field


def rounded_box(centre: Sequence[float], size: Sequence[float], rounding: float) -> Field:
    """A box with rounded edges."""
    half = np.asarray(size, np.float64) / 2 - rounding

    def field(points: Array) -> Array:
        out = np.abs(points - np.asarray(centre)) - half
        return np.linalg.norm(np.maximum(out, 0), axis=1) + np.minimum(out.max(1), 0) - rounding

    return field


def smooth_union(one: Field, two: Field, softness: float) -> Field:
    """Both, flowing into one another."""

    def field(points: Array) -> Array:
        a, b = one(points), two(points)
        mix = np.clip(0.5 + 0.5 * (b - a) / softness, 0, 1)
        return b + (a - b) * mix - softness * mix * (1 - mix)

    return field


def without(one: Field, two: Field, softness: float) -> Field:
    """The first with the second cut out of it."""

    def field(points: Array) -> Array:
        a, b = one(points), -two(points)
        mix = np.clip(0.5 - 0.5 * (b - a) / softness, 0, 1)
        return b + (a - b) * mix + softness * mix * (1 - mix)

    return field


def meshed(name: str, field: Field, low: Sequence[float], high: Sequence[float], cell: float) -> Part:
    """The surface of a field as a part without places; normals are the field's gradient."""
    from skimage.measure import marching_cubes

    axes = [np.arange(a, b + cell, cell) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    values = field(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(cell,) * 3)
    vertices = vertices.astype(np.float64) + [axis[0] for axis in axes]
    step = cell * np.eye(3)
    gradient = np.stack([field(vertices + move) - field(vertices - move) for move in step], 1)
    gradient /= np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)
    return Part(
        name, vertices, faces[:, ::-1].astype(np.int64), np.zeros((len(vertices), 2)), normals=gradient
    )


def fleshed(bones: Sequence[Bone], softness: float, cell: float) -> list[Part]:
    """The mesh of a skeleton, cut into the parts that its bones carry.

    A part's bones follow one another: s runs along them, t is the angle about the bone, from up over left.
    """
    ends = np.array([[bone.start, bone.end] for bone in bones], np.float64).reshape(-1, 3)
    reach = max(max(bone.radius_start, bone.radius_end) for bone in bones) + softness
    whole = meshed("", blended(bones, softness), ends.min(0) - reach, ends.max(0) + reach, cell)
    nearest = np.argmin([bone.distance(whole.vertices) for bone in bones], axis=0)
    place = np.zeros((len(whole.vertices), 2))
    for number, bone in enumerate(bones):
        mine = nearest == number
        family = [index for index, other in enumerate(bones) if other.part == bone.part]
        place[mine, 0] = (family.index(number) + bone.along(whole.vertices[mine])) / len(family)
        place[mine, 1] = _angle(bone, whole.vertices[mine])
    names = list(dict.fromkeys(bone.part for bone in bones))
    owner = np.array([names.index(bone.part) for bone in bones])[nearest]
    return [
        _cut(whole, place, owner, index, name) for index, name in enumerate(names) if (owner == index).any()
    ]


def _angle(bone: Bone, points: Array) -> Array:
    start, end = np.asarray(bone.start, np.float64), np.asarray(bone.end, np.float64)
    axis = (end - start) / max(np.linalg.norm(end - start), 1e-9)
    left = np.array([0, 1, 0]) - axis * axis[1]
    left /= np.linalg.norm(left)
    gap = points - start
    return (np.arctan2(gap @ left, gap @ np.cross(axis, left)) / (2 * np.pi)) % 1


def _cut(whole: Part, place: Array, owner: Array, index: int, name: str) -> Part:
    # A face on the border goes to the part of its first vertex, so that no gap opens.
    faces = whole.faces[owner[whole.faces[:, 0]] == index]
    used, renumbered = np.unique(faces, return_inverse=True)
    assert whole.normals is not None
    return Part(
        name,
        whole.vertices[used],
        renumbered.reshape(-1, 3),
        place[used],
        normals=whole.normals[used],
    )
