"""Mugs: a turned body and a swept handle. The handle points forward (+x)."""

from __future__ import annotations

import numpy as np
from mesh import Finish, Model, Part, curve, even, profile, revolved, tube
from patterns import colour, mixed, noise, shade, spots, step

PARTS = ("body", "handle")
GLAZES = [
    (16, 0.62, 0.80),
    (200, 0.55, 0.62),
    (45, 0.62, 0.90),
    (150, 0.35, 0.58),
    (350, 0.50, 0.82),
    (215, 0.65, 0.45),
    (30, 0.18, 0.93),
    (95, 0.32, 0.62),
    (275, 0.30, 0.62),
    (8, 0.70, 0.62),
    (180, 0.45, 0.60),
    (25, 0.40, 0.42),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One mug; ``number`` picks its glaze, so that a set has many."""
    height, radius = rng.uniform(0.88, 1.12), rng.uniform(0.40, 0.47)
    belly, mouth, foot = rng.uniform(-0.03, 0.06), rng.uniform(-0.03, 0.06), rng.uniform(-0.09, 0.0)
    wall = 0.035
    up = np.linspace(0.04, 1, 60)
    out = radius * (1 + profile([0, 0.5, 1], [foot * 1.4, belly, mouth], up))
    outer = np.stack([out, up * height], 1)
    edge = np.array([out[-1] - wall / 2, height]) + wall / 2 * np.stack(
        [np.cos(np.linspace(0, np.pi, 14)), np.sin(np.linspace(0, np.pi, 14))], 1
    )
    inner = np.stack([out[::-1] - wall, up[::-1] * height], 1)[:-3]
    floor = np.array([[inner[-1, 0] - 0.05, wall * 1.5], [0.0, wall * 1.5]])
    base = np.array([[0.0, 0.012], [out[0] * 0.86, 0.012], [out[0] * 0.9, 0.0], [out[0] * 0.97, 0.0]])
    outline = even(np.concatenate([base, outer, edge, inner, floor]), 360)
    body = revolved("body", outline, 256)
    top, low, reach = (
        rng.uniform(0.78, 0.86) * height,
        rng.uniform(0.2, 0.3) * height,
        rng.uniform(0.26, 0.36),
    )
    square = rng.uniform(0.55, 0.95)
    middle = (top + low) / 2
    attach = [np.interp(z, outer[:, 1], outer[:, 0]) - wall * 0.6 for z in (top, low)]
    x = max(attach) + reach
    path = curve(
        [
            (attach[0], 0, top),
            (attach[0] + reach * 0.62, 0, top + 0.03 + 0.03 * square),
            (x, 0, middle + (top - middle) * square * 0.72),
            (x - reach * 0.06, 0, middle - (middle - low) * square * 0.6),
            (attach[1] + reach * 0.45, 0, low - 0.01),
            (attach[1], 0, low),
        ],
        120,
    )
    thick = rng.uniform(0.045, 0.06)
    handle = tube("handle", path, thick, flatness=rng.uniform(1.1, 1.5), up=(0, 1, 0))
    body, handle = _glazed(body, handle, height, rng, number)
    middle_row = float(np.interp(height * 0.5, outline[20:200, 1], np.linspace(0, 1, 360)[20:200]))
    keypoints = {
        "rim_front": body.nearest((out[-1] - wall / 2, 0, height + wall)),
        "rim_back": body.nearest((-out[-1] + wall / 2, 0, height + wall)),
        "base_front": body.nearest((out[0], 0, 0.06 * height)),
        "base_back": body.nearest((-out[0], 0, 0.06 * height)),
        "base_left": body.nearest((0, out[0], 0.06 * height)),
        "base_right": body.nearest((0, -out[0], 0.06 * height)),
        "body_left": body.at(middle_row, 0.25),
        "body_right": body.at(middle_row, 0.75),
        "handle_top": handle.nearest(path[34] + [0, 0, 0.08]),
        "handle_middle": handle.nearest((x + 0.1, 0, middle)),
        "handle_bottom": handle.nearest(path[-26] - [0, 0, 0.08]),
    }
    parts = [body, handle]
    if rng.random() < 0.5:
        parts.append(_drink(out[-1] - wall * 1.2, height * 0.86, rng))
    return Model(parts, keypoints)


def _drink(radius: float, height: float, rng: np.random.Generator) -> Part:
    disc = revolved(None, np.array([[radius, height], [radius * 0.5, height], [0.0, height]]), 96)
    drinks = [(0.20, 0.10, 0.05), (0.45, 0.26, 0.14), (0.50, 0.23, 0.08)]
    return disc.painted(drinks[rng.integers(len(drinks))], Finish(0.12))


def _glazed(
    body: Part, handle: Part, height: float, rng: np.random.Generator, number: int
) -> tuple[Part, Part]:
    main = colour(*GLAZES[number % len(GLAZES)])
    pale = shade(colour(38, 0.10, 0.95), 0.0)
    accent = colour(*GLAZES[(number * 5 + 4) % len(GLAZES)])
    up, around = body.vertices[:, 2] / height, np.arctan2(body.vertices[:, 1], body.vertices[:, 0])
    seed = int(rng.integers(1 << 30))
    style = number % 6
    grip = main
    if style == 0:
        skin = np.broadcast_to(main, body.vertices.shape)
    elif style == 1:  # dipped: the glaze ends in a wavy line
        line = 0.42 + 0.02 * np.sin(3 * around + 1) + 0.012 * np.sin(7 * around)
        skin = mixed(shade(colour(28, 0.35, 0.80), 0), main, step(0, up - line, 0.012))
    elif style == 2:  # bands
        band = step(0.62, up) * (1 - step(0.74, up)) + step(0.30, up) * (1 - step(0.36, up))
        skin, grip = mixed(pale, main, band), pale
    elif style == 3:  # dots
        dots = spots(body.vertices, 0.24, 0.30, seed, 0.15)
        skin = mixed(main, pale, dots)
    elif style == 4:  # upright stripes
        skin = mixed(pale, main, step(0.0, np.sin(around * 14), 0.2) * step(0.1, up) * (1 - step(0.9, up)))
    else:  # speckled stoneware with a darker rim
        flecks = step(0.66, noise(body.vertices, 0.035, seed, 2), 0.03)
        skin = mixed(mixed(main, shade(main, -0.6), 0.7 * flecks), accent, step(0.9, up, 0.03))
    inside = (
        np.hypot(body.vertices[:, 0], body.vertices[:, 1])
        < 0.97 * np.interp(body.vertices[:, 2], *_outer(body))
    ) & (up > 0.05)
    skin = np.where(inside[:, None], pale if style != 0 else shade(main, 0.55), skin)
    gloss = Finish(rng.uniform(0.12, 0.32), 0.5, clearcoat=0.6 if style % 2 else 0.2)
    cloud = (noise(body.vertices, 0.3, seed + 1) - 0.5)[:, None] * 0.06
    return body.painted(skin + cloud, gloss), handle.painted(grip, gloss)


def _outer(body: Part) -> tuple[np.ndarray, np.ndarray]:
    radius, height = np.hypot(body.vertices[:, 0], body.vertices[:, 1]), body.vertices[:, 2]
    bins = np.linspace(height.min(), height.max(), 80)
    which = np.digitize(height, bins)
    widest = np.array([radius[which == k].max() if (which == k).any() else np.nan for k in range(1, 81)])
    return bins, np.where(np.isnan(widest), np.nanmax(widest), widest)
