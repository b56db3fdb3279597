"""Pictures that belong to no kind: one each, so that no set of them can form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from camera import Camera, framed
from mesh import Array, Finish, Part, curve, tube
from patterns import colour, mixed, step
from scene import Scene
from surroundings import PLACES, Spot

Made = tuple[Scene, Camera]


def _spot(azimuth: float) -> Spot:
    az = np.radians(azimuth)
    ahead, aside = np.array([-np.cos(az), -np.sin(az), 0]), np.array([-np.sin(az), np.cos(az), 0])
    return Spot(ahead, aside, 0.5, 1.0)


def _around(size: float) -> Array:
    return np.array([[x, y, z] for x in (-size, size) for y in (-size, size) for z in (0, 2 * size)])


def landscape(rng: np.random.Generator) -> Made:
    """A meadow with nobody on it."""
    place = PLACES["meadow"](_spot(-70), rng)
    camera = framed(_around(1.1), -70, 19, 0, (384, 272), 0.9, (0, 0.2), field=30)
    return Scene([], place.props, place.sky), camera


def knot(rng: np.random.Generator) -> Made:
    """A knotted tube."""
    angle = np.linspace(0, 2 * np.pi, 600)
    path = np.stack(
        [
            (0.36 + 0.14 * np.cos(3 * angle)) * np.cos(2 * angle),
            0.16 * np.sin(3 * angle),
            (0.36 + 0.14 * np.cos(3 * angle)) * np.sin(2 * angle) + 0.58,
        ],
        1,
    )
    part = tube(None, path, 0.075, cap=False)
    skin = mixed(colour(265, 0.55, 0.75), colour(40, 0.7, 0.95), step(0, np.sin(part.place[:, 0] * 90), 0.2))
    place = PLACES["studio"](_spot(-90), rng)
    thing = part.painted(skin, Finish(0.2, clearcoat=0.6))
    return Scene([thing], place.props, place.sky), framed(
        thing.vertices[::9], -90, 8, 0, (320, 320), 0.75, (0, 0), aperture=0.03
    )


def shell(rng: np.random.Generator) -> Made:
    """A spiral shell on sand, under water."""
    angle = np.linspace(0, 7.2 * np.pi, 500)
    grow = np.exp(0.105 * (angle - angle[-1]))
    path = np.stack([0.46 * grow * np.cos(angle), 0.46 * grow * np.sin(angle), 0.9 - 0.9 * grow], 1) + [
        0,
        0,
        -0.45,
    ]
    part: Part = tube(None, path[60:], 0.24 * grow[60:], up=(0, 0, 1), segments=80)
    skin = mixed(colour(25, 0.35, 0.9), colour(12, 0.5, 0.55), step(0.1, np.sin(part.place[:, 0] * 170), 0.5))
    place = PLACES["water"](_spot(-90), rng)
    floor = float(min(prop.part.vertices[:, 2].min() for prop in place.props[:1]))
    thing = part.painted(skin, Finish(0.3, clearcoat=0.5)).moved(
        shift=(0, 0, floor - part.vertices[:, 2].min() - 0.03)
    )
    return Scene([thing], place.props, place.sky, place.haze), framed(
        thing.vertices[::9], -90, 24, 0, (352, 288), 0.6, (0.2, 0)
    )


def fruit(rng: np.random.Generator) -> Made:
    """A table with things on it, and none in the middle."""
    place = PLACES["table"](_spot(-110), np.random.default_rng(int(rng.integers(1 << 30))))
    camera = framed(_around(0.7), -110, 14, 3, (336, 272), 0.9, (0, -0.3), field=34)
    return Scene([], place.props, place.sky), camera


def wreath(rng: np.random.Generator) -> Made:
    """Leaves and blossoms alone."""
    place = PLACES["foliage"](_spot(0), rng)
    path = curve([(0, -0.6, -0.7), (0.02, -0.2, -0.2), (-0.03, 0.1, 0.3), (0, 0.15, 0.8)], 80)
    stem = tube(None, path, 0.02).painted(colour(95, 0.5, 0.4))
    return Scene([stem], place.props, place.sky), framed(
        _around(0.6), 0, 5, 0, (288, 352), 0.9, (0, 0), aperture=0.02
    )


OTHERS: tuple[Callable[[np.random.Generator], Made], ...] = (landscape, knot, shell, fruit, wreath)
