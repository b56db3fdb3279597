"""Desk lamps: a foot, two arms that bend at joints, and a shade. The shade hangs forward (+x)."""

from __future__ import annotations

import numpy as np
from mesh import Finish, Model, Part, ball, curve, even, joined, revolved, tube, turn
from patterns import colour, shade

PARTS = ("foot", "lower_arm", "upper_arm", "shade")
COATS = [
    (6, 0.72, 0.72),
    (172, 0.50, 0.52),
    (46, 0.72, 0.90),
    (212, 0.55, 0.50),
    (0, 0.0, 0.16),
    (35, 0.12, 0.92),
    (25, 0.65, 0.80),
    (140, 0.32, 0.45),
    (340, 0.45, 0.75),
    (200, 0.22, 0.72),
    (0, 0.0, 0.75),
    (265, 0.30, 0.52),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One lamp: proportions, coat, and three angles of its joints."""
    coat = colour(*COATS[number % len(COATS)])
    brass, steel = colour(40, 0.55, 0.80), np.full(3, 0.75)
    metal = Finish(0.25, 0.5, metallic=1.0)
    paint = Finish(rng.uniform(0.2, 0.4), 0.5, clearcoat=0.4)
    fitting = brass if number % 3 == 0 else steel
    foot_radius, thick = rng.uniform(0.25, 0.32), rng.uniform(0.05, 0.08)
    outline = curve(
        [
            (0, 0),
            (foot_radius * 0.97, 0),
            (foot_radius, thick * 0.4),
            (foot_radius * 0.92, thick),
            (0.05, thick + 0.03),
            (0, thick + 0.035),
        ],
        120,
        degree=1,
    )
    foot = revolved("foot", _softened(outline), 160).painted(
        coat if number % 2 else shade(coat, -0.35), paint
    )
    lean, bend = rng.uniform(-38, -14), rng.uniform(42, 72)
    first, second = rng.uniform(0.52, 0.62), rng.uniform(0.48, 0.58)
    hip = np.array([-0.04, 0, thick + 0.05])
    elbow = hip + turn("y", lean) @ np.array([0, 0, first])
    wrist = elbow + turn("y", bend) @ np.array([0, 0, second])
    rod = rng.uniform(0.017, 0.024)
    slender = Finish(0.3, 0.5, metallic=1.0) if number % 2 else paint
    tone = fitting if number % 2 else coat
    lower = _arm("lower_arm", hip, elbow, rod).painted(tone, slender)
    upper = _arm("upper_arm", elbow, wrist, rod).painted(tone, slender)
    joints = [ball(None, at, (0.042, 0.036, 0.042)).painted(fitting, metal) for at in (hip, elbow, wrist)]
    tilt = rng.uniform(128, 158)
    shade_part, places, bulb = _shade(rng, coat, paint)
    spin = turn("y", tilt)
    head = shade_part.moved(spin, wrist)
    light = bulb.moved(spin, wrist)
    points = {name: spin @ at + wrist for name, at in places.items()}
    half_lower, half_upper = (hip + elbow) / 2, (elbow + wrist) / 2
    keypoints = {
        "foot_front": foot.nearest((foot_radius, 0, thick * 0.5)),
        "foot_back": foot.nearest((-foot_radius, 0, thick * 0.5)),
        "foot_joint": lower.nearest(hip + [0.02, 0, 0.06]),
        "lower_arm_middle": lower.nearest(half_lower + [0.05, 0, 0.0]),
        "elbow": joints[1].nearest(elbow + [-0.1, 0, 0.1]),
        "upper_arm_middle": upper.nearest(half_upper + [0, 0, 0.1]),
        "wrist": joints[2].nearest(wrist + [0.02, 0, 0.1]),
        **{name: head.nearest(at) for name, at in points.items()},
    }
    return Model([foot, lower, upper, head, light, *joints], keypoints)


def _softened(outline: np.ndarray) -> np.ndarray:
    kernel = np.ones(7) / 7
    padded = np.pad(outline, ((3, 3), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], 1)


def _arm(name: str, start: np.ndarray, end: np.ndarray, radius: float) -> Part:
    share = np.linspace(0, 1, 60)[:, None]
    return tube(name, start + share * (end - start), radius, up=(0, 1, 0), segments=32)


def _shade(
    rng: np.random.Generator, coat: np.ndarray, paint: Finish
) -> tuple[Part, dict[str, np.ndarray], Part]:
    """The shade hangs from the origin along +z, its mouth at the far end; with named points and its bulb."""
    length, mouth, neck = rng.uniform(0.34, 0.42), rng.uniform(0.21, 0.27), rng.uniform(0.065, 0.085)
    bell = rng.uniform(-0.1, 0.25)
    share = np.linspace(0, 1, 60)
    radius = neck + (mouth - neck) * (share ** (1 - bell)) ** 1.1
    outer = np.stack([radius, 0.02 + share * length], 1)
    inner = outer[::-1] - [0.012, 0]
    cap = np.array([[0.0, -0.07], [neck * 0.5, -0.068], [neck * 0.62, -0.05], [neck * 0.66, 0.0]])
    outline = even(np.concatenate([cap, outer, inner[:-2]]), 260)
    part = revolved("shade", outline, 200)
    inside = part.place[:, 0] > (part.place[:, 0][np.argmax(part.vertices[:, 2])] + 0.004)
    skin = np.where(inside[:, None], colour(42, 0.10, 0.97), coat)
    part = part.painted(skin, paint)
    bulb = joined(None, [ball(None, (0, 0, length * 0.62), 0.075)]).painted(
        (1.0, 0.86, 0.62), Finish(glow=9.0)
    )
    far = 0.02 + length
    # Turned down by about 145 degrees, -x of the shade looks up and forward, +x down and back.
    places = {
        "shade_cap": np.array([0.0, 0, -0.075]),
        "shade_rim_front": np.array([-mouth, 0, far]),
        "shade_rim_back": np.array([mouth, 0, far]),
        "shade_left": np.array([0.0, (mouth + neck) / 2, far * 0.55]),
        "shade_right": np.array([0.0, -(mouth + neck) / 2, far * 0.55]),
    }
    return part, places, bulb
