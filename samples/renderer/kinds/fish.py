"""Fish: a body that bends, fins, eyes. The nose points forward (+x), the middle of the body is the origin."""

from __future__ import annotations

import numpy as np
from mesh import Array, Finish, Model, Part, ball, profile, sheet
from patterns import colour, mixed, noise, shade, spots, step

PARTS = ("body", "dorsal_fin", "tail_fin", "anal_fin", "left_fin", "right_fin")
COATS = [
    ((22, 0.85, 0.95), (40, 0.10, 0.97)),
    ((205, 0.75, 0.65), (50, 0.75, 0.95)),
    ((48, 0.80, 0.95), (30, 0.85, 0.55)),
    ((350, 0.65, 0.80), (30, 0.15, 0.95)),
    ((175, 0.60, 0.60), (320, 0.40, 0.80)),
    ((0, 0.0, 0.30), (45, 0.30, 0.92)),
    ((260, 0.45, 0.60), (48, 0.70, 0.95)),
    ((10, 0.80, 0.75), (210, 0.25, 0.90)),
    ((95, 0.45, 0.55), (55, 0.45, 0.90)),
    ((215, 0.35, 0.75), (0, 0.0, 0.95)),
    ((32, 0.70, 0.85), (200, 0.55, 0.45)),
    ((190, 0.55, 0.75), (15, 0.75, 0.90)),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One fish: shape, coat, bend of its spine."""
    tall, slim = rng.uniform(0.22, 0.30), rng.uniform(0.36, 0.46)
    bend, sway = rng.uniform(-0.5, 0.5), rng.uniform(-0.25, 0.25)
    flex = _Spine(bend, sway)
    along = np.linspace(0, 1, 220)
    hump = rng.uniform(0.30, 0.40)
    upper = tall * profile([0, 0.06, hump, 0.72, 0.93, 1], [0.02, 0.40, 1.0, 0.62, 0.24, 0.26], along)
    lower = tall * profile([0, 0.06, hump + 0.04, 0.72, 0.93, 1], [0.02, 0.34, 0.92, 0.52, 0.22, 0.24], along)
    width = tall * slim * profile([0, 0.08, 0.3, 0.7, 1], [0.03, 0.55, 1.0, 0.55, 0.10], along)
    angle = np.linspace(0, 2 * np.pi, 161)
    up = np.where(np.cos(angle) >= 0, upper[:, None], lower[:, None]) * np.cos(angle)
    side = width[:, None] * np.sin(angle)
    body = sheet("body", flex.place(along[:, None] + 0 * up, side, up))
    fins = _fins(rng, flex, along, upper, lower, width)
    body, fins = _coated(body, fins, rng, number)
    parts = [body, *fins.values()]
    keypoints = {
        "mouth": body.nearest(flex.place(np.array(0.0), np.array(0.0), np.array(0.0))),
        "tail_base_top": body.at(0.93, 0.0),
        "tail_base_bottom": body.at(0.93, 0.5),
        "belly": body.at(hump + 0.05, 0.5),
        "dorsal_front": fins["dorsal_fin"].at(0, 0.04),
        "dorsal_peak": fins["dorsal_fin"].at(1, 0.30),
        "dorsal_back": fins["dorsal_fin"].at(0, 0.96),
        "tail_top": fins["tail_fin"].at(1, 0.0),
        "tail_fork": fins["tail_fin"].at(1, 0.5),
        "tail_bottom": fins["tail_fin"].vertices[-1],
        "anal_fin_tip": fins["anal_fin"].at(1, 0.7),
        "left_gill": body.at(0.24, 0.25),
        "right_gill": body.at(0.24, 0.75),
    }
    for name, turned in (("left", 1), ("right", -1)):
        at, height = 0.115, 0.28
        top = float(np.interp(at, along, upper))
        out = float(np.interp(at, along, width)) * np.sqrt(1 - height**2)
        centre = flex.place(np.array(at), np.array(turned * out), np.array(top * height))
        size = tall * rng.uniform(0.14, 0.16)
        eye = ball(None, centre, (size, size * 0.45, size)).painted(
            (0.97, 0.95, 0.88), Finish(0.1, clearcoat=1)
        )
        iris = np.hypot(eye.vertices[:, 0] - centre[0], eye.vertices[:, 2] - centre[2]) < size * 0.62
        parts.append(eye.painted(np.where(iris[:, None], 0.03, eye.colour)))
        keypoints[f"{name}_eye"] = centre + [0, turned * size * 0.45, 0]
    return Model(parts, keypoints)


class _Spine:
    """Where the spine runs: bent sideways, more so towards the tail."""

    def __init__(self, bend: float, sway: float) -> None:
        along = np.linspace(0, 1.4, 400)
        heading = bend * 1.6 * np.clip(along - 0.25, 0, None) + sway * np.sin(4 * along) - 0.25 * bend
        step_x, step_y = -np.cos(heading), np.sin(heading)
        self._along, self._heading = along, heading
        self._x = 0.5 + np.concatenate([[0], np.cumsum((step_x[1:] + step_x[:-1]) / 2)]) * (along[1])
        self._y = np.concatenate([[0], np.cumsum((step_y[1:] + step_y[:-1]) / 2)]) * (along[1])
        middle = np.interp(0.5, along, self._y)
        self._y = self._y - middle

    def place(self, along: Array, side: Array, up: Array) -> Array:
        """Points of space for (share of the length, to the left, up)."""
        x, y = np.interp(along, self._along, self._x), np.interp(along, self._along, self._y)
        heading = np.interp(along, self._along, self._heading)
        return np.stack([x + side * np.sin(heading), y + side * np.cos(heading), up + 0 * x], -1)


def _fins(
    rng: np.random.Generator, flex: _Spine, along: Array, upper: Array, lower: Array, width: Array
) -> dict[str, Part]:
    rows, columns = np.meshgrid(np.linspace(0, 1, 50), np.linspace(0, 1, 90), indexing="ij")
    ripple = 0.012 * rows * np.sin(columns * 38)
    start, length = rng.uniform(0.28, 0.34), rng.uniform(0.40, 0.48)
    tall = rng.uniform(0.13, 0.20)
    crest = profile([0, 0.28, 0.65, 1], [0.1, 1.0, 0.62, 0.25], columns)
    at = start + columns * length + 0.10 * rows * (1 - 0.5 * columns)
    root = np.interp(start + columns * length, along, upper) - 0.012
    dorsal = sheet("dorsal_fin", flex.place(at, ripple, root + tall * crest * rows))
    spread, fork, reach = rng.uniform(0.20, 0.28), rng.uniform(0.35, 0.7), rng.uniform(0.26, 0.34)
    swing = 1 - 2 * columns
    edge = reach * (1 - fork * (1 - np.abs(swing) ** 1.3))
    base = float(np.interp(0.98, along, upper))
    tail = sheet(
        "tail_fin",
        flex.place(0.975 + rows * edge, ripple, swing * (base * 0.9 * (1 - rows) + spread * rows**0.8)),
    )
    under = rng.uniform(0.58, 0.64)
    at = under + columns * 0.22 + 0.08 * rows
    root = -np.interp(under + columns * 0.22, along, lower) + 0.012
    drop = rng.uniform(0.10, 0.15) * profile([0, 0.4, 1], [0.2, 1, 0.35], columns)
    anal = sheet("anal_fin", flex.place(at, ripple, root - drop * rows))
    fins = {"dorsal_fin": dorsal, "tail_fin": tail, "anal_fin": anal}
    flare, size, droop = rng.uniform(0.35, 0.8), rng.uniform(0.15, 0.20), rng.uniform(0.3, 0.7)
    for name, side in (("left_fin", 1), ("right_fin", -1)):
        spread = (columns - 0.5) * 1.5
        far = rows * size * (0.72 + 0.28 * np.cos(2 * spread))
        lean = -0.25 - droop * 0.6 + spread
        out = side * (float(np.interp(0.31, along, width)) * 0.93 + far * flare * 0.7)
        fins[name] = sheet(name, flex.place(0.30 + far * np.cos(lean), out, -0.035 + far * np.sin(lean)))
    return fins


def _coated(
    body: Part, fins: dict[str, Part], rng: np.random.Generator, number: int
) -> tuple[Part, dict[str, Part]]:
    one, two = (colour(*c) for c in COATS[number % len(COATS)])
    seed = int(rng.integers(1 << 30))
    s, t = body.place.T
    down = 0.5 - 0.5 * np.cos(2 * np.pi * t)
    style = number % 4
    flat = np.stack([s, np.abs(t - 0.5)], 1)
    if style == 0:  # bands, white with dark hems
        band = np.zeros_like(s)
        hem = np.zeros_like(s)
        for at in (0.24, 0.52, 0.82):
            wave = at + 0.03 * np.cos(np.pi * (t - 0.5) * 2)
            band = np.maximum(band, 1 - step(0.045, np.abs(s - wave), 0.012))
            hem = np.maximum(hem, 1 - step(0.060, np.abs(s - wave), 0.012))
        skin = mixed(mixed(one, 0.1 * one, hem), two, band)
    elif style == 1:  # stripes along, yellow tail
        skin = mixed(one, shade(one, -0.6), step(0.25, np.sin(down * 16), 0.3))
        skin = mixed(skin, two, step(0.86, s, 0.05))
    elif style == 2:  # spots
        dots = spots(np.stack([s * 9, np.abs(t - 0.5) * 11], 1), 1.0, 0.28, seed)
        skin = mixed(one, two, dots * step(0.2, s, 0.03))
    else:  # marbled
        skin = mixed(one, two, step(0.52, noise(flat, 0.11, seed), 0.08))
    skin = mixed(skin, shade(two, 0.4), 0.75 * step(0.72, down, 0.35))
    gill = np.exp(-(((s - 0.225 - 0.02 * np.cos(np.pi * 2 * (np.abs(t - 0.5) - 0.25) * 2)) / 0.006) ** 2))
    skin = mixed(skin, 0.45 * skin, 0.8 * gill * (np.abs(down - 0.5) < 0.34))
    lips = (s < 0.05) * np.exp(-(((down - 0.52) / 0.035) ** 2))
    skin = mixed(skin, 0.3 * skin, 0.85 * lips)
    scales = 0.5 + 0.5 * np.sin(s * 210) * np.sin(np.abs(t - 0.5) * 230)
    skin = skin * (0.93 + 0.09 * scales[:, None])
    wet = Finish(0.22, 0.6, clearcoat=0.7)
    painted = {}
    for name, fin in fins.items():
        rays = 0.5 + 0.5 * np.sin(fin.place[:, 1] * 2 * np.pi * 13)
        tint = mixed(one, two, 0.25 + 0.5 * fin.place[:, 0]) if style != 1 or name != "tail_fin" else two
        painted[name] = fin.painted(np.asarray(tint) * (0.80 + 0.2 * rays[:, None]), Finish(0.4))
    return body.painted(skin, wet), painted
