"""Everyday things that stand about."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from mesh import Array, Finish, Part, ball, box, curve, revolved, sheet, tube, turn
from patterns import colour, image_noise, mixed, noise, step
from scene import Prop


class Layout(Protocol):
    """Where the thing is, as the camera sees it."""

    radius: float
    height: float

    def at(self, ahead: float, aside: float, up: float = 0.0) -> Array:
        """A point of space."""
        ...


def _tint(rng: np.random.Generator) -> Array:
    return colour(rng.uniform(0, 360), rng.uniform(0.25, 0.75), rng.uniform(0.45, 0.92))


def item(rng: np.random.Generator) -> list[Part]:
    """One thing that stands on the origin: books, a ball, fruit, a vase, blocks, a candle or pencils."""
    make = rng.integers(7)
    if make == 0:
        return _books(rng)
    if make == 1:
        size = rng.uniform(0.14, 0.26)
        sphere = ball(None, (0, 0, size), size, 64)
        around = np.arctan2(sphere.vertices[:, 1], sphere.vertices[:, 0])
        stripes = step(0, np.sin(around * 4), 0.1)
        return [sphere.painted(mixed(_tint(rng), colour(40, 0.08, 0.96), stripes), Finish(0.3))]
    if make == 2:
        return _fruit(rng)
    if make == 3:
        return [_vase(rng)]
    if make == 4:
        blocks = []
        for level in range(int(rng.integers(1, 4))):
            block = box(None, (0, 0, 0), (0.2, 0.2, 0.2), 0.02).painted(_tint(rng), Finish(0.4))
            blocks.append(block.moved(turn("z", rng.uniform(0, 90)), (0, 0, 0.1 + 0.2 * level)))
        return blocks
    if make == 5:
        wide, tall = rng.uniform(0.08, 0.14), rng.uniform(0.2, 0.5)
        candle = revolved(None, np.array([[0, tall], [wide * 0.9, tall], [wide, tall - 0.02], [wide, 0]]), 64)
        wick = tube(None, np.array([[0, 0, tall], [0.005, 0, tall + 0.025], [0, 0, tall + 0.05]]), 0.006)
        return [candle.painted(colour(42, 0.15, 0.95), Finish(0.5)), wick.painted((0.1, 0.1, 0.1))]
    return _pencils(rng)


def _books(rng: np.random.Generator) -> list[Part]:
    parts, high = [], 0.0
    for _ in range(int(rng.integers(2, 6))):
        thick, deep, wide = rng.uniform(0.05, 0.11), rng.uniform(0.4, 0.52), rng.uniform(0.58, 0.75)
        spin, at = turn("z", rng.uniform(-14, 14)), (0, 0, high + thick / 2)
        cover = box(None, (0, 0, 0), (wide, deep, thick), 0.012).painted(_tint(rng), Finish(0.5))
        pages = box(None, (0.01, 0.01, 0), (wide, deep, thick * 0.78), 0.006).painted((0.93, 0.90, 0.82))
        parts += [cover.moved(spin, at), pages.moved(spin, at)]
        high += thick
    return parts


def _fruit(rng: np.random.Generator) -> list[Part]:
    angle = np.linspace(0.06, np.pi - 0.02, 50)
    size = rng.uniform(0.13, 0.18)
    dent = 1 - 0.16 * np.exp(-((angle / 0.5) ** 2)) - 0.10 * np.exp(-(((np.pi - angle) / 0.4) ** 2))
    outline = size * np.stack([np.sin(angle) * 1.04, 0.94 * np.cos(angle) * dent], 1)
    apple = revolved(None, outline, 64)
    apple = apple.moved(turn("x", rng.uniform(-12, 12)), (0, 0, size * 0.86))
    one, two = colour(rng.choice([2, 80, 40, 28]), 0.8, 0.8), colour(48, 0.7, 0.9)
    skin = mixed(
        one,
        two,
        np.clip(1.7 * noise(apple.vertices * [1, 1, 0.3], 0.1, int(rng.integers(1 << 30))) - 0.6, 0, 1),
    )
    stem = tube(None, np.array([[0, 0, 1.55], [0.02, 0, 1.75], [0.06, 0, 1.95]]) * size, 0.01)
    return [apple.painted(skin, Finish(0.25, clearcoat=0.4)), stem.painted((0.3, 0.2, 0.1))]


def _vase(rng: np.random.Generator) -> Part:
    tall, wide = rng.uniform(0.5, 0.95), rng.uniform(0.13, 0.2)
    outline = curve(
        [
            (wide * 0.6, 0),
            (wide * rng.uniform(0.9, 1.3), tall * 0.3),
            (wide * rng.uniform(0.5, 1.0), tall * 0.7),
            (wide * rng.uniform(0.3, 0.8), tall),
        ],
        80,
    )
    return revolved(None, outline, 96).painted(_tint(rng), Finish(rng.uniform(0.15, 0.5)))


def _pencils(rng: np.random.Generator) -> list[Part]:
    cup = revolved(
        None, np.array([[0.0, 0.02], [0.1, 0.02], [0.1, 0.25], [0.11, 0.25], [0.11, 0.0], [0, 0]]), 64
    )
    parts = [cup.painted(_tint(rng), Finish(0.4))]
    for _ in range(int(rng.integers(3, 7))):
        lean = rng.uniform(-0.08, 0.08, 2)
        end = np.array([lean[0], lean[1], rng.uniform(0.38, 0.5)])
        stick = np.linspace([-lean[0] * 0.6, -lean[1] * 0.6, 0.03], end, 12)
        parts.append(tube(None, stick, 0.014, up=(1, 0, 0), segments=12).painted(_tint(rng)))
    return parts


def strewn(spot: Layout, rng: np.random.Generator, count: int, depth: tuple[float, float]) -> list[Prop]:
    """Everyday things behind the thing, none in its way."""
    props: list[Prop] = []
    taken: list[Array] = []
    for _ in range(count * 4):
        ahead, aside = rng.uniform(*depth) + spot.radius * 0.6, rng.uniform(-2.0, 2.0)
        at = spot.at(ahead, aside)
        if all(np.linalg.norm(at - other) > 0.65 for other in taken) and len(taken) < count:
            taken.append(at)
            spin, size = turn("z", rng.uniform(0, 360)), rng.uniform(0.85, 1.35)
            props += [Prop(sized(part, size).moved(spin, at)) for part in item(rng)]
    return props


def sized(part: Part, size: float) -> Part:
    """Larger or smaller about the origin."""
    return Part(None, part.vertices * size, part.faces, part.place, part.colour, part.finish, part.normals)


def picture(spot: Layout, rng: np.random.Generator, distance: float) -> list[Prop]:
    """A framed picture on the wall."""
    wide, tall = rng.uniform(0.6, 1.2), rng.uniform(0.6, 1.0)
    left, low = rng.uniform(-1.6, 0.8), rng.uniform(0.55, 1.1)
    hue = rng.uniform(0, 360)
    canvas = mixed(
        colour(hue, 0.5, 0.8),
        colour(hue + 120, 0.4, 0.9),
        np.clip(0.5 + 0.5 * image_noise(96, 12, rng), 0, 1),
    )
    props = []
    for grow, back, texture in ((0.07, 0.0, None), (0.0, 0.035, canvas)):
        rows, columns = np.meshgrid(
            [low - grow, low + tall + grow], [left - grow, left + wide + grow], indexing="ij"
        )
        at = np.stack(
            [
                [spot.at(distance - back, float(c), float(r)) for r, c in zip(rr, cc, strict=True)]
                for rr, cc in zip(rows, columns, strict=True)
            ]
        )
        tint = colour(30, 0.5, rng.uniform(0.2, 0.6))
        props.append(Prop(sheet(None, at).painted(tint, Finish(0.5)), texture))
    return props
