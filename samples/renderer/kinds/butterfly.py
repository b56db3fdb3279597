"""Butterflies: two pairs of wings that open and close. The head is up (+z), the back is forward (+x).

Seen from the back with the head up, its left is at -y.
"""

from __future__ import annotations

import numpy as np
from mesh import Array, Finish, Model, Part, ball, curve, joined, profile, sheet, tube, turn
from patterns import colour, mixed, noise, shade, step

PARTS = ("body", "left_forewing", "right_forewing", "left_hindwing", "right_hindwing")
COATS = [
    ((22, 0.90, 0.92), (0, 0.0, 0.06)),
    ((208, 0.85, 0.85), (215, 0.5, 0.08)),
    ((50, 0.70, 0.97), (20, 0.5, 0.10)),
    ((0, 0.0, 0.95), (230, 0.2, 0.15)),
    ((350, 0.75, 0.80), (350, 0.6, 0.10)),
    ((165, 0.70, 0.65), (170, 0.6, 0.08)),
    ((30, 0.55, 0.75), (25, 0.6, 0.18)),
    ((275, 0.50, 0.75), (270, 0.6, 0.10)),
    ((14, 0.85, 0.78), (30, 0.6, 0.12)),
    ((60, 0.35, 0.95), (150, 0.4, 0.25)),
    ((195, 0.55, 0.90), (25, 0.4, 0.10)),
    ((38, 0.85, 0.95), (10, 0.8, 0.22)),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One butterfly: shape of its wings, coat, and how far they are open."""
    reach, tall, tail = rng.uniform(0.92, 1.08), rng.uniform(0.90, 1.12), rng.uniform(0.0, 0.16)
    fore = [(0.60, 0.62), (0.70, 0.56), (0.70, 0.40), (0.64, 0.20), (0.60, 0.02)]
    hind = [(0.53, 0.0), (0.56, -0.18), (0.46, -0.38), (0.30, -0.46 - tail), (0.18, -0.40), (0.07, -0.30)]
    lift, swing, spread = rng.uniform(4, 42), rng.uniform(-8, 8), rng.uniform(-5, 7)
    bow = rng.uniform(0.02, 0.08)
    wings = {}
    for side, sign in (("right", 1), ("left", -1)):
        open_by = lift + rng.uniform(-5, 5)
        for name, margin, root, angle in (
            ("forewing", fore, [(0.02, 0.14), (0.02, 0.02)], swing),
            ("hindwing", hind, [(0.02, 0.03), (0.02, -0.10)], swing * 0.4 + spread),
        ):
            scale = np.array([reach, tall])
            wing = _wing(f"{side}_{name}", np.array(margin) * scale, np.array(root), angle, bow)
            # The forewing lies over the hindwing.
            points = wing.vertices + [0.012 if name == "forewing" else 0, 0, 0]
            hinge = turn("z", -open_by) @ np.diag([1, 1, 1])
            points = points @ hinge.T
            points[:, 1] *= sign
            wings[wing.name] = Part(wing.name, points, wing.faces, wing.place)
    wings = _coated(wings, rng, number)
    trunk, head, feelers, tips = _trunk(rng, number)
    keypoints = {
        "head": head,
        "thorax": trunk.nearest((0.2, 0, 0.08)),
        "abdomen_tip": trunk.nearest((0.01, 0, -0.5)),
    }
    for number_, side in enumerate(("right", "left")):
        fore_wing, hind_wing = wings[f"{side}_forewing"], wings[f"{side}_hindwing"]
        keypoints |= {
            f"{side}_antenna_tip": tips[number_],
            f"{side}_forewing_tip": fore_wing.at(1, 0.12),
            f"{side}_forewing_corner": fore_wing.vertices[-1],
            f"{side}_hindwing_outer": hind_wing.at(1, 0.22),
            f"{side}_hindwing_tip": hind_wing.at(1, 0.62),
        }
    return Model([trunk, feelers, *wings.values()], dict(sorted(keypoints.items())))


def _wing(name: str, margin: Array, root: Array, angle: float, bow: float) -> Part:
    across = 150
    edge = curve(margin, across)
    s = np.linspace(0, 1, 130)[:, None, None]
    t = np.linspace(0, 1, across)[:, None]
    start = root[0] * (1 - t) + root[1] * t
    flat = start + s * (edge - start)
    # Leading edges bulge a little.
    flat[..., 1] += 0.10 * np.sin(np.pi * s[..., 0]) * (1 - t.T) ** 3
    pivot = root.mean(0)
    c, si = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    flat = (flat - pivot) @ np.array([[c, si], [-si, c]]) + pivot
    depth = bow * np.sin(np.pi * s[..., 0]) + 0.006 * np.sin(2 * np.pi * 6.5 * t.T) * s[..., 0]
    return sheet(name, np.concatenate([depth[..., None] * np.ones_like(flat[..., :1]), flat], -1))


def _coated(wings: dict[str, Part], rng: np.random.Generator, number: int) -> dict[str, Part]:
    main, dark = (colour(*c) for c in COATS[number % len(COATS)])
    light = colour(45, 0.12, 0.98)
    seed, style = int(rng.integers(1 << 30)), number % 4
    rim, veins = rng.uniform(0.78, 0.88), 7
    painted = {}
    for name, wing in wings.items():
        s, t = wing.place.T
        hind = "hind" in name
        skin = mixed(shade(main, -0.25), main, step(0.15, s, 0.5))
        if style == 1:  # glow towards the margin
            skin = mixed(skin, shade(main, 0.55), step(0.55, s, 0.35))
        elif style == 2:  # bars
            skin = mixed(
                skin, dark, 0.9 * step(0.6, np.sin(s * 21 + 2.5 * t), 0.3) * (1 - step(0.55, t, 0.2))
            )
        elif style == 3:  # mottled
            grain = noise(np.stack([s, t], 1), 0.14, seed)
            skin = mixed(skin, dark, 0.8 * step(0.56, grain, 0.08))
        line = np.abs((t * veins) % 1 - 0.5)
        skin = mixed(
            skin,
            dark,
            0.85 * (1 - step(0.05, line / np.maximum(1.4 * (1 - s) + 0.35, 0.3), 0.04)) * (s > 0.3),
        )
        skin = mixed(skin, dark, np.maximum(step(rim, s, 0.05), (1 - step(0.055, t, 0.03)) * (not hind)))
        beads = np.hypot(((t * veins * 1.0 + 0.5) % 1 - 0.5) / 0.24, (s - (rim + 1) / 2 - 0.005) / 0.035)
        skin = mixed(skin, light, 1 - step(1.0, beads, 0.3))
        if style in (1, 2) or (style == 0 and hind):  # eye-spots
            at = np.hypot((s - 0.62) / 0.15, (t - (0.55 if hind else 0.32)) / 0.11)
            for size, tint in ((1.0, dark), (0.72, colour(45, 0.8, 0.95)), (0.45, dark), (0.16, light)):
                skin = mixed(skin, tint, 1 - step(size, at, 0.1))
        fuzz = 1 + 0.16 * (noise(np.stack([s * 4, t * 4], 1), 0.09, seed + 1, 2)[:, None] - 0.5)
        painted[name] = wing.painted(skin * fuzz, Finish(0.55, 0.3))
    return painted


def _trunk(rng: np.random.Generator, number: int) -> tuple[Part, Array, Part, list[Array]]:
    dark = shade(colour(*COATS[number % len(COATS)][1]), 0.08)
    length = rng.uniform(0.36, 0.44)
    sway = rng.uniform(-0.04, 0.04)
    path = curve([(0.02, sway, -length), (0.025, sway * 0.4, -0.15), (0.03, 0, 0.03), (0.03, 0, 0.17)], 160)
    share = np.linspace(0, 1, 160)
    radius = profile(
        [0, 0.15, 0.45, 0.58, 0.75, 0.92, 1], [0.012, 0.033, 0.038, 0.028, 0.060, 0.05, 0.03], share
    )
    trunk = tube("body", path, radius, up=(1, 0, 0))
    rings = 0.8 + 0.3 * np.sin(trunk.place[:, 0] * 70) * (trunk.place[:, 0] < 0.55)
    fur = noise(trunk.vertices, 0.03, 5, 2)
    trunk = trunk.painted(dark * (rings * (0.7 + 0.9 * fur))[:, None] + 0.03, Finish(0.7))
    head = ball("body", (0.035, 0, 0.205), (0.042, 0.046, 0.04)).painted(dark * 0.8, Finish(0.5))
    eyes = [
        ball(None, (0.055, y, 0.22), 0.02).painted((0.05, 0.03, 0.03), Finish(0.1)) for y in (0.034, -0.034)
    ]
    feelers, tips = [], []
    for sign in (1, -1):
        out, high = rng.uniform(0.17, 0.24), rng.uniform(0.46, 0.54)
        line = curve(
            [(0.05, sign * 0.02, 0.23), (0.07, sign * out * 0.45, 0.36), (0.09, sign * out, high)], 60
        )
        club = 0.0065 + 0.011 * np.exp(-(((np.linspace(0, 1, 60) - 0.97) / 0.06) ** 2))
        feelers.append(tube(None, line, club, up=(1, 0, 0), segments=16).painted(dark * 0.7, Finish(0.5)))
        tips.append(line[-1] + [0.012, 0, 0])
    seen = joined(None, [*feelers, *eyes])
    # The head's places continue the trunk's, so that one part keeps one place a point.
    whole = joined("body", [trunk, head])
    size = len(trunk.vertices)
    place = whole.place.copy()
    place[:size, 0] *= 0.85
    place[size:, 0] = 0.85 + 0.15 * (1 - place[size:, 0])
    body = Part("body", whole.vertices, whole.faces, place, whole.colour, whole.finish, whole.normals)
    return body, np.array([0.075, 0, 0.215]), seen, tips
