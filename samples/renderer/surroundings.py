"""Where the things stand: studios, tables, meadows, water, foliage; with light, clutter and occluders.

Everything is laid out as the camera sees it: ``ahead`` runs from the camera over the ground, ``aside`` to its
right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import clutter
import nature
import numpy as np
import patterns
from light import daylight, room, underwater
from mesh import Array, Finish, Part, sheet
from patterns import colour, shade
from scene import Haze, Prop

MATT = Finish(0.85, 0.2)


@dataclass(frozen=True)
class Place:
    """The surroundings of one image: props, sky and haze."""

    props: list[Prop]
    sky: Array
    haze: Haze | None = None


@dataclass(frozen=True)
class Spot:
    """Where the thing is: the camera's two directions over the ground, the thing's radius and height."""

    ahead: Array
    aside: Array
    radius: float
    height: float

    def at(self, ahead: float, aside: float, up: float = 0.0) -> Array:
        """A point of space."""
        return self.ahead * ahead + self.aside * aside + np.array([0, 0, up])


def _plane(spot: Spot, corner: tuple[float, float], across: float, deep: float) -> Part:
    """The ground; ``corner`` is (ahead, aside) of its near left end."""
    rows, columns = np.meshgrid(np.linspace(0, deep, 3), np.linspace(0, across, 3), indexing="ij")
    at = (corner[0] + rows)[..., None] * spot.ahead + (corner[1] + columns)[..., None] * spot.aside
    return sheet(None, at, np.stack([columns / across * 2, rows / across * 2], -1))


def _wall(spot: Spot, distance: float, across: float, tall: float, low: float = 0.0) -> Part:
    rows, columns = np.meshgrid(
        np.linspace(low, tall, 3), np.linspace(-across / 2, across / 2, 3), indexing="ij"
    )
    at = distance * spot.ahead + columns[..., None] * spot.aside + rows[..., None] * np.array([0, 0, 1.0])
    return sheet(None, at, np.stack([columns / across * 2, rows / across * 2], -1))


def studio(spot: Spot, rng: np.random.Generator) -> Place:
    """A roll of coloured paper, swept up behind the thing."""
    tint = colour(
        rng.choice([18, 35, 45, 150, 195, 210, 260, 345]), rng.uniform(0.12, 0.42), rng.uniform(0.72, 0.95)
    )
    back, bend = rng.uniform(1.8, 2.6), 1.1
    turn = np.linspace(0, np.pi / 2, 40)
    deep = np.concatenate([np.linspace(-6, back, 20), back + bend * np.sin(turn), np.full(12, back + bend)])
    high = np.concatenate([np.zeros(20), bend * (1 - np.cos(turn)), np.linspace(bend, 7, 12)])
    side = np.linspace(-8, 8, 12)
    at = (
        deep[:, None, None] * spot.ahead
        + side[None, :, None] * spot.aside
        + high[:, None, None] * np.array([0, 0, 1])
    )
    paper = sheet(None, at).painted(tint, MATT)
    props = [Prop(paper)]
    if rng.random() < 0.5:
        props += clutter.strewn(spot, rng, int(rng.integers(1, 4)), (0.7, 1.6))
    return Place(props, room(spot, rng))


def table(spot: Spot, rng: np.random.Generator) -> Place:
    """A table before a wall, with everyday things about."""
    size = 1024
    make = rng.integers(5)
    if make <= 1:
        base = colour(rng.uniform(22, 36), rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.85))
        top, finish = (
            patterns.wood(size, shade(base, 0.1), shade(base, -0.55), rng, int(rng.integers(6, 11))),
            Finish(0.4),
        )
    elif make == 2:
        tint = colour(rng.choice([0, 205, 150, 40, 340]), rng.uniform(0.3, 0.65), 0.75)
        top = patterns.cloth(size, colour(40, 0.06, 0.95), tint, rng, int(rng.integers(6, 14)))
        finish = Finish(0.9, 0.2)
    elif make == 3:
        grey = colour(rng.choice([30, 210, 120]), 0.06, rng.uniform(0.6, 0.92))
        top, finish = patterns.stone(size, grey, shade(grey, -0.45), rng), Finish(0.22)
    else:
        tint = colour(rng.choice([30, 200, 100, 350, 50]), rng.uniform(0.15, 0.4), rng.uniform(0.55, 0.9))
        top, finish = patterns.plaster(size, tint, rng), Finish(0.55)
    floor = _plane(spot, (-5, -5), 10, 10).painted(np.full(3, 0.5), finish)
    distance = rng.uniform(2.0, 3.2)
    tint = colour(
        rng.choice([35, 20, 45, 160, 200, 215, 340, 90]), rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.92)
    )
    other = shade(tint, rng.choice([-0.2, 0.45]))
    paper = (
        patterns.wallpaper(size, tint, other, rng)
        if rng.random() < 0.45
        else patterns.plaster(size, tint, rng)
    )
    wall = _wall(spot, distance, 10, 6).painted(np.full(3, 0.5), MATT)
    props = [Prop(floor, top), Prop(wall, paper)]
    props += clutter.strewn(spot, rng, int(rng.integers(3, 7)), (0.55, distance - 0.4))
    if rng.random() < 0.6:
        props += clutter.picture(spot, rng, distance - 0.03)
    return Place(props, room(spot, rng))


def meadow(spot: Spot, rng: np.random.Generator) -> Place:
    """Grass, bushes, sky and hills."""
    hue = rng.uniform(72, 105)
    greens = [colour(hue, 0.62, 0.34), colour(hue - 12, 0.55, 0.62), colour(hue - 25, 0.45, 0.78)]
    if rng.random() < 0.3:
        greens = [colour(32, 0.4, 0.45), colour(36, 0.38, 0.66), colour(42, 0.3, 0.82)]  # a sandy path
    lawn = patterns.ground(1024, greens, 2.2, rng)
    floor = _plane(spot, (-10, -14), 28, 40).painted(np.full(3, 0.5), MATT)
    blades = nature.tufts(spot, rng, int(rng.integers(90, 180)), hue)
    bushes = nature.bushes(spot, rng, int(rng.integers(2, 6)), hue)
    return Place([Prop(floor, lawn), Prop(blades), *bushes], daylight(spot, rng))


def water(spot: Spot, rng: np.random.Generator) -> Place:
    """Sand, stones, weed and a blue distance."""
    sand = [colour(38, 0.32, 0.62), colour(40, 0.26, 0.82), colour(30, 0.3, 0.5)]
    floor = (
        _plane(spot, (-6, -7), 14, 22)
        .painted(np.full(3, 0.5), MATT)
        .moved(shift=(0, 0, -rng.uniform(0.55, 0.95)))
    )
    hue = rng.uniform(180, 212)
    deep = colour(hue, rng.uniform(0.55, 0.8), rng.uniform(0.45, 0.75))
    wall = _wall(spot, 6.0, 20, 9, -2).painted(deep, MATT)
    ground = float(floor.vertices[0, 2])
    props = [Prop(floor, patterns.ground(1024, sand, 3.0, rng)), Prop(wall)]
    props += nature.stones(spot, rng, int(rng.integers(4, 9)), ground)
    props += nature.weeds(spot, rng, int(rng.integers(4, 10)), ground)
    props += nature.bubbles(spot, rng, int(rng.integers(0, 9)))
    haze = Haze(np.asarray(deep**2.2 * 0.9), rng.uniform(0.16, 0.34))
    return Place(props, underwater(spot, rng, deep), haze)


def foliage(spot: Spot, rng: np.random.Generator) -> Place:
    """Leaves and blossoms behind the thing, out of focus."""
    hue = rng.uniform(80, 140)
    dark = colour(hue, rng.uniform(0.35, 0.6), rng.uniform(0.22, 0.5))
    wall = _wall(spot, 3.2, 14, 7, -5).painted(np.full(3, 0.5), MATT)
    back = patterns.ground(512, [dark, shade(dark, 0.25), colour(hue - 30, 0.3, 0.8)], 16, rng)
    props = [Prop(wall, back), *nature.leaves(spot, rng, int(rng.integers(10, 22)), hue)]
    props += nature.blossoms(spot, rng, int(rng.integers(2, 8)))
    return Place(props, daylight(spot, rng))


PLACES: dict[str, Callable[[Spot, np.random.Generator], Place]] = {
    "studio": studio,
    "table": table,
    "meadow": meadow,
    "water": water,
    "foliage": foliage,
}
