"""Grass, bushes, stones, weed, leaves and blossoms."""

from __future__ import annotations

import numpy as np
from clutter import Layout
from mesh import Array, Finish, Part, ball, joined, sheet, turn
from patterns import colour, mixed, noise, shade
from scene import Prop


def _blade(base: Array, tip: Array, width: float, side: Array) -> Part:
    share = np.linspace(0, 1, 8)[:, None]
    middle = (
        base
        + share * (tip - base)
        + np.array([0, 0, 0.25]) * np.linalg.norm(tip - base) * share * (1 - share)
    )
    half = width * (1 - share**2) * side
    return sheet(None, np.stack([middle - half, middle + half], 1))


def tufts(spot: Layout, rng: np.random.Generator, count: int, hue: float) -> Part:
    """Blades of grass all about; those before the thing are short."""
    blades = []
    for _ in range(count):
        ahead, aside = rng.uniform(-1.0, 4.0), rng.uniform(-2.2, 2.2)
        near = np.hypot(ahead, aside) < spot.radius * 1.05
        if near:
            continue
        base = spot.at(ahead, aside)
        for _ in range(4):
            lean = rng.normal(0, 0.05, 2)
            tall = rng.uniform(0.05, 0.10) if ahead < 0 else rng.uniform(0.1, 0.28)
            start = base + [*rng.normal(0, 0.03, 2), 0]
            angle = rng.uniform(0, np.pi)
            side = np.array([np.cos(angle), np.sin(angle), 0])
            blade = _blade(start, start + [*lean, tall], rng.uniform(0.008, 0.016), side)
            blades.append(
                blade.painted(colour(hue + rng.normal(0, 8), rng.uniform(0.45, 0.7), rng.uniform(0.35, 0.7)))
            )
    return joined(None, blades, Finish(0.6))


def bushes(spot: Layout, rng: np.random.Generator, count: int, hue: float) -> list[Prop]:
    """Round bushes in the distance."""
    props = []
    for _ in range(count):
        size = rng.uniform(0.4, 1.1)
        bush = ball(None, (0, 0, 0), (size, size, size * 0.85), 120)
        seed = int(rng.integers(1 << 30))
        rough = noise(bush.vertices, 0.14, seed, 3)
        points = bush.vertices * (0.85 + 0.35 * rough[:, None]) + spot.at(
            rng.uniform(3.0, 6.5), rng.uniform(-3.5, 3.5), size * 0.5
        )
        skin = mixed(colour(hue + 15, 0.6, 0.22), colour(hue, 0.55, 0.6), np.clip(rough * 1.5 - 0.25, 0, 1))
        props.append(Prop(Part(None, points, bush.faces, bush.place).painted(skin, Finish(0.8))))
    return props


def stones(spot: Layout, rng: np.random.Generator, count: int, ground: float) -> list[Prop]:
    """Stones on the sea floor."""
    props = []
    for _ in range(count):
        size = rng.uniform(0.12, 0.4)
        stone = ball(None, (0, 0, 0), (size * rng.uniform(0.8, 1.4), size, size * 0.7), 80)
        seed = int(rng.integers(1 << 30))
        rough = noise(stone.vertices, 0.3, seed, 3)
        points = stone.vertices * (0.75 + 0.5 * rough[:, None]) + spot.at(
            rng.uniform(-0.2, 3.2), rng.uniform(-2, 2), ground
        )
        tint = colour(rng.choice([30, 200, 350, 20]), rng.uniform(0.05, 0.35), rng.uniform(0.4, 0.75))
        grain = noise(stone.vertices, 0.05, seed + 1)
        props.append(
            Prop(Part(None, points, stone.faces, stone.place).painted(tint * (0.7 + 0.6 * grain[:, None])))
        )
    return props


def weeds(spot: Layout, rng: np.random.Generator, count: int, ground: float) -> list[Prop]:
    """Weed that sways, behind the thing."""
    return [
        Prop(weed(spot.at(rng.uniform(0.5, 2.6), rng.uniform(-1.7, 1.7), ground), rng)) for _ in range(count)
    ]


def weed(base: Array, rng: np.random.Generator, tall: float | None = None) -> Part:
    """One plant: a few ribbons from one root."""
    tint = colour(rng.choice([95, 130, 75, 15, 330]), rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.65))
    ribbons = []
    for _ in range(int(rng.integers(3, 7))):
        high, phase = (tall or rng.uniform(0.5, 1.5)) * rng.uniform(0.75, 1), rng.uniform(0, 6)
        up = np.linspace(0, 1, 40)
        sway = 0.07 * up * np.sin(phase + up * 6)
        lean = rng.normal(0, 0.16, 2)
        path = base + np.stack([lean[0] * up + sway, lean[1] * up + 0.5 * sway, high * up], 1)
        width = (0.035 * np.sin(np.pi * np.clip(up * 0.93 + 0.05, 0, 1)) ** 0.6)[:, None]
        angle = rng.uniform(0, np.pi)
        side = np.array([np.cos(angle), np.sin(angle), 0])
        ribbon = sheet(None, np.stack([path - width * side, path, path + width * side], 1))
        ribbons.append(ribbon.painted(shade(tint, rng.uniform(-0.25, 0.3))))
    return joined(None, ribbons, Finish(0.5))


def bubbles(spot: Layout, rng: np.random.Generator, count: int) -> list[Prop]:
    """A few pale beads."""
    return [
        Prop(
            ball(
                None,
                spot.at(rng.uniform(0.3, 1.5), rng.uniform(-1, 1), rng.uniform(-0.3, 0.9)),
                rng.uniform(0.015, 0.04),
                24,
            ).painted((0.85, 0.95, 1.0), Finish(0.08))
        )
        for _ in range(count)
    ]


def leaf(rng: np.random.Generator, hue: float, size: float) -> Part:
    """A leaf in the x, z plane about the origin."""
    s, t = np.meshgrid(np.linspace(0, 1, 50), np.linspace(-1, 1, 31), indexing="ij")
    half = 0.36 * np.sin(np.pi * s**0.8) ** 0.9
    points = np.stack([half * t, 0.10 * np.abs(t) * half * 3 + 0.25 * (s - 0.5) ** 2, s - 0.5], -1) * size
    rib = np.minimum(np.abs(t) * 6, np.abs(np.sin((s * 7 + np.abs(t) * 2.0) * np.pi)) * 3 + 0.2)
    tint = colour(hue + rng.normal(0, 10), rng.uniform(0.45, 0.7), rng.uniform(0.3, 0.62))
    skin = mixed(shade(tint, 0.4), tint, np.clip(rib, 0, 1)).reshape(-1, 3)
    return sheet(None, points).painted(skin, Finish(0.35))


def leaves(spot: Layout, rng: np.random.Generator, count: int, hue: float) -> list[Prop]:
    """Leaves behind the thing."""
    props = []
    for _ in range(count):
        spin = (
            turn("z", rng.uniform(0, 360)) @ turn("y", rng.uniform(-70, 70)) @ turn("x", rng.uniform(-40, 40))
        )
        at = spot.at(rng.uniform(0.55, 2.6), rng.uniform(-1.6, 1.6), rng.uniform(-1.3, 1.3))
        props.append(Prop(leaf(rng, hue, rng.uniform(0.5, 1.1)).moved(spin, at)))
    return props


def blossoms(spot: Layout, rng: np.random.Generator, count: int) -> list[Prop]:
    """Flowers behind the thing."""
    props: list[Prop] = []
    tint = colour(rng.choice([340, 45, 280, 15, 0, 205]), rng.uniform(0.2, 0.7), 0.95)
    for _ in range(count):
        at = spot.at(rng.uniform(0.7, 2.3), rng.uniform(-1.5, 1.5), rng.uniform(-1.2, 1.2))
        size, tilt = rng.uniform(0.16, 0.3), turn("z", rng.uniform(-40, 40)) @ turn("x", rng.uniform(-40, 40))
        frame = np.stack([spot.at(0, 1), spot.at(-1, 0), np.array([0, 0, 1.0])], 1)
        parts = [ball(None, (0, 0.04, 0), size * 0.32, 32).painted(colour(44, 0.8, 0.9))]
        for petal in range(8):
            angle = petal / 8 * 2 * np.pi
            centre = size * 0.66 * np.array([np.cos(angle), 0, np.sin(angle)])
            shape = ball(None, (0, 0, 0), (size * 0.42, size * 0.08, size * 0.24), 32).moved(
                turn("y", -petal * 45)
            )
            parts.append(shape.moved(shift=centre).painted(tint))
        props += [Prop(part.moved(frame @ tilt, at)) for part in parts]
    return props
