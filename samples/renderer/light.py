"""Light: skies as radiance by direction, [256, 512, 3], linear, z up."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import patterns
from mesh import Array

ROWS = 256


class Directions(Protocol):
    """The camera's two directions over the ground."""

    ahead: Array
    aside: Array


def _directions(rows: int = ROWS) -> Array:
    theta = (np.arange(rows) + 0.5) / rows * np.pi
    phi = (np.arange(2 * rows) + 0.5) / (2 * rows) * 2 * np.pi
    theta, phi = np.meshgrid(theta, phi, indexing="ij")
    return np.stack([np.sin(phi) * np.sin(theta), np.cos(phi) * np.sin(theta), np.cos(theta)], -1)


def _toward(spot: Directions, azimuth: float, elevation: float) -> Array:
    """A direction; azimuth 0 is behind the camera, 90 to its right, 180 in front of it."""
    az, el = np.radians(azimuth), np.radians(elevation)
    level = -np.cos(az) * spot.ahead + np.sin(az) * spot.aside
    return np.cos(el) * level + np.sin(el) * np.array([0, 0, 1.0])


def _lamp(sky: Array, toward: Array, size: float, power: float, tint: Array, soft: float = 0.25) -> Array:
    """Adds a round lamp of ``size`` degrees in radius; ``power`` is the irradiance that it gives."""
    angle = np.degrees(np.arccos(np.clip(_directions(len(sky)) @ toward, -1, 1)))
    disc = np.clip((size - angle) / (soft * size) + 0.5, 0, 1)
    area = 2 * np.pi * (1 - np.cos(np.radians(size)))
    return sky + (disc * power / area)[..., None] * tint


def _warmth(rng: np.random.Generator) -> Array:
    warm = rng.uniform(-0.08, 0.22)
    return np.array([1 + warm * 0.6, 1.0, 1 - warm])


def room(spot: Directions, rng: np.random.Generator) -> Array:
    """A key light from one side, a weak one from the other, pale walls."""
    d = _directions()
    tint = _warmth(rng)
    sky = (0.26 + 0.22 * np.clip(d[..., 2], -0.4, 1))[..., None] * np.array([1.0, 0.98, 0.95])
    side = rng.choice([-1, 1])
    key = _toward(spot, side * rng.uniform(20, 75), rng.uniform(30, 60))
    sky = _lamp(sky, key, rng.uniform(9, 20), rng.uniform(1.9, 3.0), tint)
    fill = _toward(spot, -side * rng.uniform(40, 80), rng.uniform(10, 40))
    sky = _lamp(sky, fill, 24, rng.uniform(0.3, 0.9), np.array([0.94, 0.98, 1.05]))
    rim = _toward(spot, side * 165, 62)
    return _lamp(sky, rim, 14, rng.uniform(0.2, 1.0), np.ones(3))


def daylight(spot: Directions, rng: np.random.Generator) -> Array:
    """Sky, clouds, hills and a veiled sun."""
    d = _directions()
    up = d[..., 2]
    top = patterns.colour(rng.uniform(200, 216), rng.uniform(0.35, 0.6), 0.9) ** 2.2
    low = patterns.colour(rng.choice([35, 205, 45]), rng.uniform(0.06, 0.2), 1.0) ** 2.2
    sky = patterns.mixed(low * 1.1, top, np.clip(up * 2.2, 0, 1) ** 0.7)
    seed = int(rng.integers(1 << 30))
    cloud = patterns.noise(d * [1, 1, 2.5], 0.55, seed, 5)
    sky = patterns.mixed(sky, np.full(3, 1.25), patterns.step(0.55, cloud, 0.2) * (up > 0))
    azimuth = np.arctan2(d[..., 1], d[..., 0])
    round_ = np.stack([np.cos(azimuth), np.sin(azimuth)], -1)
    for step in range(3):
        ridge = 0.16 - 0.05 * step + 0.16 * (patterns.noise(round_, 0.5 - 0.1 * step, seed + step + 1) - 0.5)
        hue = rng.uniform(85, 130) + 30 * (2 - step)
        hill = patterns.colour(hue, 0.25 + 0.12 * step, 0.62 - 0.12 * step) ** 2.2
        leaf = 0.75 + 0.5 * patterns.noise(d, 0.02, seed + 9 + step, 3)
        sky = np.where((up < ridge)[..., None], hill * leaf[..., None], sky)
    sky = np.where((up < 0)[..., None], patterns.colour(85, 0.4, 0.5) ** 2.2, sky)
    sun = _toward(spot, rng.choice([-1, 1]) * rng.uniform(20, 80), rng.uniform(35, 62))
    return _lamp(sky, sun, 6, rng.uniform(1.6, 2.8), _warmth(rng) * [1.05, 1, 0.88])


def underwater(spot: Directions, rng: np.random.Generator, deep: Array) -> Array:
    """Light from above, blue from everywhere."""
    d = _directions()
    water = deep**2.2
    sky = water * (0.5 + 0.5 * np.clip(d[..., 2:], -0.5, 1)) + 0.12
    sun = _toward(spot, rng.uniform(-70, 70), rng.uniform(48, 70))
    sky = _lamp(sky, sun, rng.uniform(10, 18), rng.uniform(2.2, 3.2), np.array([0.96, 1.02, 1.0]))
    front = _toward(spot, rng.uniform(-50, 50), 20)
    return _lamp(sky, front, 30, 0.9, np.array([0.95, 1.0, 1.02]))
