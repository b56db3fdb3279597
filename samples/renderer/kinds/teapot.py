"""Teapots: turned body and lid, swept spout and handle. The spout points forward (+x)."""

from __future__ import annotations

import numpy as np
from mesh import Finish, Model, Part, curve, even, profile, revolved, tube
from patterns import colour, mixed, noise, shade, step

PARTS = ("body", "lid", "spout", "handle")
GLAZES = [
    (205, 0.45, 0.70),
    (12, 0.58, 0.62),
    (48, 0.30, 0.92),
    (165, 0.38, 0.50),
    (35, 0.62, 0.80),
    (220, 0.55, 0.40),
    (345, 0.38, 0.85),
    (80, 0.35, 0.60),
    (20, 0.35, 0.35),
    (190, 0.30, 0.82),
    (0, 0.65, 0.70),
    (260, 0.25, 0.60),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One teapot."""
    height, radius = rng.uniform(0.62, 0.78), rng.uniform(0.46, 0.54)
    widest = rng.uniform(0.38, 0.55)
    foot, mouth = rng.uniform(0.52, 0.68), rng.uniform(0.40, 0.50)
    up = np.linspace(0, 1, 90)
    out = radius * profile([0, 0.12, widest, 0.88, 1], [foot, foot + 0.20, 1.0, mouth + 0.2, mouth], up)
    base = np.array([[0.0, 0.015], [out[0] * 0.85, 0.015], [out[0] * 0.9, 0.0]])
    wall = np.stack([out, 0.01 + up * height], 1)
    body = revolved("body", even(np.concatenate([base, wall, [[out[-1] * 0.9, height]]]), 240), 256)
    lid, knob = _lid(out[-1], height, rng)

    def skin(z: float) -> float:
        return float(np.interp(z, wall[:, 1], wall[:, 0]))

    low, rise = rng.uniform(0.24, 0.36) * height, rng.uniform(0.92, 1.12) * height
    start = skin(low) - 0.08
    tip = radius + rng.uniform(0.26, 0.38)
    bow = rng.uniform(0.2, 0.9)
    spout_path = curve(
        [
            (start, 0, low),
            (start + 0.17, 0, low + 0.04),
            (radius + 0.09 + 0.03 * bow, 0, low + (rise - low) * 0.42),
            (tip - 0.10 * bow, 0, low + (rise - low) * 0.80),
            (tip, 0, rise),
        ],
        140,
    )
    swell = np.linspace(0, 1, 140)
    spout = tube("spout", spout_path, profile([0, 0.3, 0.75, 1], [0.15, 0.11, 0.062, 0.055], swell), 0.95)
    top, bottom = rng.uniform(0.76, 0.86) * height, rng.uniform(0.22, 0.34) * height
    reach = rng.uniform(0.24, 0.34)
    handle_path = curve(
        [
            (-skin(top) + 0.03, 0, top),
            (-skin(top) - reach * 0.7, 0, top + rng.uniform(0.03, 0.12)),
            (-radius - reach, 0, (top + bottom) / 2 + 0.06),
            (-skin(bottom) - reach * 0.55, 0, bottom + 0.02),
            (-skin(bottom) + 0.03, 0, bottom),
        ],
        120,
    )
    handle = tube("handle", handle_path, rng.uniform(0.038, 0.05), rng.uniform(1.0, 1.4))
    body, lid, spout, handle = _glazed(body, lid, spout, handle, height, rng, number)
    middle = int(np.argmax(out))
    keypoints = {
        "spout_tip": spout.nearest(spout_path[-1] + [0.03, 0, 0.1]),
        "spout_middle": spout.nearest(spout_path[75] + [0.1, 0, -0.1]),
        "spout_base": spout.nearest((skin(low) + 0.04, 0, low - 0.12)),
        "knob_top": knob,
        "lid_front": lid.nearest((out[-1] * 1.05, 0, height)),
        "lid_back": lid.nearest((-out[-1] * 1.05, 0, height)),
        "handle_top": handle.nearest(handle_path[30] + [0, 0, 0.08]),
        "handle_outer": handle.nearest((-radius - reach - 0.1, 0, (top + bottom) / 2 + 0.06)),
        "handle_bottom": handle.nearest(handle_path[-22] - [0, 0, 0.08]),
        "base_front": body.nearest((out[5], 0, wall[5, 1])),
        "base_back": body.nearest((-out[5], 0, wall[5, 1])),
        "body_left": body.nearest((0, out[middle], wall[middle, 1])),
        "body_right": body.nearest((0, -out[middle], wall[middle, 1])),
    }
    return Model([body, lid, spout, handle], keypoints)


def _lid(mouth: float, height: float, rng: np.random.Generator) -> tuple[Part, np.ndarray]:
    dome, knob = rng.uniform(0.07, 0.14), rng.uniform(0.05, 0.07)
    turn = np.linspace(0, np.pi / 2, 24)
    rim = [[mouth * 0.98, height], [mouth * 1.05, height + 0.012], [mouth * 1.03, height + 0.03]]
    cap = np.stack([mouth * np.cos(turn) * 0.98, height + 0.03 + dome * np.sin(turn)], 1)
    top = height + 0.03 + dome
    neck = [[knob * 0.55, top - 0.004], [knob * 0.5, top + 0.025]]
    angle = np.linspace(-np.pi / 2.6, np.pi / 2, 24)
    head = np.stack([knob * np.cos(angle), top + 0.025 + knob * 0.85 * (1 + np.sin(angle))], 1)
    outline = np.concatenate([rim, cap[cap[:, 0] > knob * 0.6], neck, head])
    lid = revolved("lid", even(outline, 160), 160)
    return lid, lid.vertices[np.argmax(lid.vertices[:, 2])]


def _glazed(
    body: Part, lid: Part, spout: Part, handle: Part, height: float, rng: np.random.Generator, number: int
) -> tuple[Part, Part, Part, Part]:
    main, pale = colour(*GLAZES[number % len(GLAZES)]), colour(40, 0.10, 0.94)
    seed = int(rng.integers(1 << 30))
    gloss = Finish(rng.uniform(0.10, 0.28), 0.5, clearcoat=0.5)
    up, around = body.vertices[:, 2] / height, np.arctan2(body.vertices[:, 1], body.vertices[:, 0])
    trim, rest = main, main
    style = number % 5
    skin = np.broadcast_to(main, body.vertices.shape)
    if style == 1:  # a frieze of petals
        petal = np.abs(np.sin(around * 9)) * 0.16 + 0.42
        flower = step(0, petal - np.abs(up - 0.45) * 2.2 - 0.1, 0.03) * step(
            0.15, np.abs(np.sin(around * 9)), 0.1
        )
        skin, trim, rest = mixed(pale, main, flower), main, pale
    elif style == 2:  # two glazes
        line = 0.55 + 0.03 * np.sin(4 * around) + 0.02 * np.sin(9 * around + 2)
        skin = mixed(shade(main, -0.45), main, step(0, up - line, 0.02))
    elif style == 3:  # brushed steel with a dark handle
        grey = np.full(3, 0.78)
        steel = Finish(rng.uniform(0.16, 0.28), 0.5, metallic=1.0)
        dark = colour(25, 0.5, 0.25)
        return (
            body.painted(grey, steel),
            lid.painted(grey, steel),
            spout.painted(grey, steel),
            handle.painted(dark, Finish(0.45)),
        )
    elif style == 4:  # raku: crackled
        crack = np.exp(-np.abs(noise(body.vertices, 0.22, seed) - 0.5) * 70)
        skin = mixed(main, shade(main, -0.7), 0.65 * crack)
    cloud = (noise(body.vertices, 0.35, seed + 3) - 0.5)[:, None] * 0.07
    return (
        body.painted(skin + cloud, gloss),
        lid.painted(trim, gloss),
        spout.painted(rest, gloss),
        handle.painted(trim, gloss),
    )
