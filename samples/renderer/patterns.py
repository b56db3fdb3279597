"""Procedural patterns: noise, wood, spots, palettes. Colours are sRGB in [0, 1]."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

Array = np.ndarray


def colour(hue: float, saturation: float, value: float) -> Array:
    """A colour from hue in degrees, saturation and value in [0, 1]."""
    return np.array(colorsys.hsv_to_rgb((hue % 360) / 360, saturation, value))


def shade(base: Array, amount: float) -> Array:
    """Lighter (amount > 0, towards white) or darker (amount < 0, towards black)."""
    return base + (1 - base) * amount if amount > 0 else base * (1 + amount)


def mixed(one: Array, two: Array, share: Array) -> Array:
    """From ``one`` (share 0) to ``two`` (share 1); share [...] gives colours [..., 3]."""
    share = np.asarray(share)[..., None]
    return np.asarray(one) * (1 - share) + np.asarray(two) * share


def step(edge: float, value: Array, softness: float = 0.02) -> Array:
    """0 below the edge, 1 above it, smooth between."""
    x = np.clip((value - edge) / softness + 0.5, 0, 1)
    return x * x * (3 - 2 * x)


def noise(points: Array, scale: float, seed: int, octaves: int = 4) -> Array:
    """Smooth noise in [0, 1], about 0.5 in the mean, at points [..., d <= 3]; ``scale`` is its grain."""
    shape = points.shape[:-1]
    at = np.zeros((int(np.prod(shape)), 3))
    at[:, : points.shape[-1]] = points.reshape(-1, points.shape[-1])
    lattice = np.random.default_rng(seed).random((32, 32, 32))
    total, weight = np.zeros(len(at)), 0.0
    for octave in range(octaves):
        where = at / scale * 2**octave + 7.3 * octave
        total += map_coordinates(lattice, where.T % 32, order=1, mode="grid-wrap") * 0.5**octave
        weight += 0.5**octave
    return (total / weight).reshape(shape)


def spots(points: Array, spacing: float, size: float, seed: int, jitter: float = 0.35) -> Array:
    """1 inside spots strewn over space, 0 outside."""
    shape = points.shape[:-1]
    at = np.zeros((int(np.prod(shape)), 3))
    at[:, : points.shape[-1]] = points.reshape(-1, points.shape[-1]) / spacing
    cell = np.floor(at).astype(np.int64)
    nearest = np.full(len(at), np.inf)
    table = np.random.default_rng(seed).random((16, 16, 16, 3))
    for shift in np.ndindex(3, 3, 3):
        other = cell + np.array(shift) - 1
        centre = other + 0.5 + jitter * 2 * (table[tuple((other % 16).T)] - 0.5)
        nearest = np.minimum(nearest, np.linalg.norm(at - centre, axis=1))
    return step(-size, -nearest, 0.06).reshape(shape)


def image_noise(size: int, grain: float, rng: np.random.Generator, stretch: float = 1.0) -> Array:
    """Tileable noise [size, size] of unit variance; ``grain`` in pixels, longer by ``stretch`` along rows."""
    field = gaussian_filter(rng.normal(size=(size, size)), (grain, grain * stretch), mode="wrap")
    return (field - field.mean()) / field.std()


def wood(size: int, light: Array, dark: Array, rng: np.random.Generator, planks: int = 6) -> Array:
    """Boards with grain along the rows, [size, size, 3]."""
    rows = np.arange(size)[:, None] / size
    warp = 0.5 * image_noise(size, 24, rng, 6) + 0.12 * image_noise(size, 5, rng, 12)
    board = np.floor(rows * planks).astype(int) % planks
    offset = rng.random(planks)[board]
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (rows * planks * 2.2 + offset * 9 + 0.55 * warp))
    fibre = 0.5 + 0.12 * image_noise(size, 0.8, rng, 25)
    share = np.clip(0.15 + 0.45 * rings * fibre * 1.4 + 0.35 * (offset - 0.5), 0, 1)
    pixels = mixed(light, dark, share)
    gap = np.abs((rows * planks) % 1 - 0.5) > 0.492
    return np.where(gap[..., None], pixels * 0.45, pixels)


def cloth(size: int, base: Array, other: Array, rng: np.random.Generator, checks: int = 0) -> Array:
    """Woven cloth, plain or checked, [size, size, 3]."""
    y, x = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    weave = 0.5 + 0.5 * np.sin(2 * np.pi * 220 * x) * np.sin(2 * np.pi * 220 * y)
    share = 0.12 * weave + 0.05 * image_noise(size, 12, rng)
    if checks:
        share = share + 0.35 * ((x * checks) % 1 < 0.5) + 0.35 * ((y * checks) % 1 < 0.5)
    return mixed(base, other, np.clip(share, 0, 1))


def stone(size: int, base: Array, other: Array, rng: np.random.Generator) -> Array:
    """Veined stone, [size, size, 3]."""
    warp = sum(image_noise(size, 60 / 2**k, rng) * 0.5**k for k in range(5))
    veins = np.exp(-np.abs(warp) * 7)
    cloud = 0.5 + 0.15 * image_noise(size, 40, rng)
    return mixed(base, other, np.clip(0.75 * veins + 0.35 * (cloud - 0.3), 0, 1))


def plaster(size: int, base: Array, rng: np.random.Generator) -> Array:
    """A painted wall, nearly even, [size, size, 3]."""
    share = 0.5 + 0.16 * image_noise(size, 60, rng) + 0.06 * image_noise(size, 3, rng)
    return mixed(base * 0.9, np.clip(base * 1.08, 0, 1), np.clip(share, 0, 1))


def wallpaper(size: int, base: Array, other: Array, rng: np.random.Generator) -> Array:
    """Stripes, dots or diamonds, [size, size, 3]."""
    y, x = np.meshgrid(np.arange(size) / size, np.arange(size) / size, indexing="ij")
    kind, count = rng.integers(3), int(rng.integers(10, 18))
    if kind == 0:
        share = step(0.5, (x * count) % 1, 0.05)
    elif kind == 1:
        row = np.floor(y * count)
        share = step(-0.2, -np.hypot((x * count + 0.5 * (row % 2)) % 1 - 0.5, (y * count) % 1 - 0.5), 0.06)
    else:
        share = step(-0.32, -(np.abs((x * count) % 1 - 0.5) + np.abs((y * count) % 1 - 0.5)), 0.08)
    pixels = mixed(base, other, share)
    return pixels * (1 + 0.02 * image_noise(size, 40, rng))[..., None]


def ground(size: int, colours: Sequence[Array], grain: float, rng: np.random.Generator) -> Array:
    """Grass, sand or earth: three colours strewn over one another, [size, size, 3]."""
    one, two, three = colours
    broad = 0.5 + 0.3 * image_noise(size, grain * 14, rng)
    fine = 0.5 + 0.33 * image_noise(size, grain, rng)
    pixels = mixed(one, two, np.clip(0.4 * broad + 0.6 * fine, 0, 1))
    return mixed(pixels, three, np.clip(0.5 * image_noise(size, grain * 0.8, rng) - 0.4, 0, 1))
