"""What a rendered image is known to show: keypoints with visibility, and places on the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from camera import Camera
from mesh import Array, Model
from scene import Caster, Scene

BEHIND, ROUND = 0.02, 0.07
"""A keypoint is hidden by what lies this far before it, in the scene's unit: something else, or the thing.

The second is larger, so that a point on an outline stays seen where the surface just turns away.
"""

UNPLACED = 255


@dataclass(frozen=True)
class Truth:
    """Attributes:
    points: name to (x, y), or None where hidden or outside.
    box: x0, y0, x1, y1 of what is seen of the thing.
    part, place: [h, w] number of the part from 1 (0: not the thing; UNPLACED: the thing, but no part that has
        places, such as a dog's collar), [h, w, 2] its (s, t).
    """

    points: dict[str, tuple[float, float] | None]
    box: tuple[float, float, float, float]
    part: Array
    place: Array


def known(model: Model, scene: Scene, camera: Camera, part_names: Sequence[str], shrink: int) -> Truth:
    """The truth of one image; the surface map has a cell for every ``shrink`` x ``shrink`` pixels."""
    caster = Caster(scene)
    part, place, box = _surface(model, caster, camera, part_names, shrink)
    return Truth(_seen(model, caster, camera), box, part, place)


def _seen(model: Model, caster: Caster, camera: Camera) -> dict[str, tuple[float, float] | None]:
    names, points = list(model.keypoints), np.stack(list(model.keypoints.values()))
    gap = points - camera.origin
    distance = np.linalg.norm(gap, axis=1)
    hits = caster.cast(camera.origin, gap / distance[:, None])
    at = camera.project(points)
    inside = (at >= -0.5).all(1) & (at <= [camera.width - 0.5, camera.height - 0.5]).all(1)
    # A ray that just misses an edge goes on behind it: what must not be is something in front.
    own = (hits.part >= 0) & (hits.part < len(model.parts))
    visible = inside & (hits.distance >= distance - np.where(own, ROUND, BEHIND))
    return {
        name: (round(float(x), 2), round(float(y), 2)) if ok else None
        for name, (x, y), ok in zip(names, at, visible, strict=True)
    }


def _surface(
    model: Model, caster: Caster, camera: Camera, part_names: Sequence[str], shrink: int
) -> tuple[Array, Array, tuple[float, float, float, float]]:
    rows, columns = np.meshgrid(np.arange(camera.height), np.arange(camera.width), indexing="ij")
    pixels = np.stack([columns, rows], -1).reshape(-1, 2).astype(np.float64)
    hits = caster.cast(camera.origin, camera.rays(pixels))
    thing = (hits.part >= 0) & (hits.part < len(model.parts))
    seen = pixels[thing]
    box = (*(seen.min(0) - 0.5), *(seen.max(0) + 0.5))
    # The centre of a cell is the middle of its pixels.
    cells = [(np.arange(size // shrink) + 0.5) * shrink - 0.5 for size in (camera.height, camera.width)]
    rows, columns = np.meshgrid(*cells, indexing="ij")
    hits = caster.cast(camera.origin, camera.rays(np.stack([columns, rows], -1).reshape(-1, 2)))
    part, place = np.zeros(len(hits.part), np.uint8), np.zeros((len(hits.part), 2))
    for index, piece in enumerate(model.parts):
        mine = hits.part == index
        part[mine] = UNPLACED
        if piece.name is not None:
            part[mine] = 1 + list(part_names).index(piece.name)
            place[mine] = piece.place[hits.vertex[mine]]
    return part.reshape(rows.shape), place.reshape(*rows.shape, 2), tuple(float(x) for x in box)  # type: ignore[return-value]
