"""Wooden chairs: seat, legs, back. The seat opens forward (+x)."""

from __future__ import annotations

import numpy as np
from mesh import Array, Finish, Model, Part, box, curve, joined, tube, turn
from patterns import colour, mixed, noise, shade

PARTS = ("seat", "front_left_leg", "front_right_leg", "back_left_leg", "back_right_leg", "back")
COATS = [
    (28, 0.55, 0.68),
    (190, 0.42, 0.55),
    (20, 0.60, 0.38),
    (46, 0.70, 0.88),
    (0, 0.0, 0.93),
    (8, 0.68, 0.65),
    (34, 0.40, 0.82),
    (150, 0.30, 0.50),
    (0, 0.0, 0.14),
    (215, 0.42, 0.55),
    (16, 0.45, 0.28),
    (340, 0.32, 0.78),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One chair: proportions, the make of its back, wood or paint."""
    deep, wide, seat = rng.uniform(0.42, 0.48), rng.uniform(0.42, 0.50), rng.uniform(0.44, 0.50)
    top, lean, splay = seat + rng.uniform(0.46, 0.58), rng.uniform(4, 12), rng.uniform(0.0, 0.06)
    thick = rng.uniform(0.028, 0.04)
    round_legs = number % 2 == 0
    parts, feet = [], {}
    plate = box("seat", (0, 0, seat - thick / 2), (deep, wide, thick), 0.016)
    parts.append(plate)
    inset = 0.045
    for end, x in (("front", 1), ("back", -1)):
        for side, y in (("left", 1), ("right", -1)):
            head = np.array([x * (deep / 2 - inset), y * (wide / 2 - inset), seat - thick])
            foot = np.array([x * (deep / 2 - inset + splay), y * (wide / 2 - inset + splay), 0.0])
            parts.append(_leg(f"{end}_{side}_leg", head, foot, round_legs))
            feet[f"{end}_{side}_foot"] = foot + [0, 0, 0.012]
    rails = [
        box(None, (0, y * (wide / 2 - inset), seat - thick - 0.035), (deep - 2 * inset, 0.018, 0.045), 0.006)
        for y in (1, -1)
    ]
    rails += [
        box(None, (x * (deep / 2 - inset), 0, seat - thick - 0.035), (0.018, wide - 2 * inset, 0.045), 0.006)
        for x in (1, -1)
    ]
    parts.append(joined(None, rails))
    back, corners = _back(deep, wide, seat, top, lean, number)
    parts.append(back)
    half = thick / 2
    keypoints = {
        "seat_front_left": plate.nearest((deep / 2, wide / 2, seat - half + 0.01)),
        "seat_front_right": plate.nearest((deep / 2, -wide / 2, seat - half + 0.01)),
        "seat_back_left": plate.nearest((-deep / 2, wide / 2, seat)),
        "seat_back_right": plate.nearest((-deep / 2, -wide / 2, seat)),
        "seat_middle": plate.nearest((0, 0, seat + 0.1)),
        **corners,
        **feet,
    }
    return Model(_finished(parts, rng, number), keypoints)


def _leg(name: str, head: Array, foot: Array, rounded: bool) -> Part:
    share = np.linspace(0, 1, 80)
    path = head + share[:, None] * (foot - head)
    if rounded:
        radius = 0.024 - 0.008 * share + 0.004 * np.sin(share * np.pi * 3) ** 2
        path[:, 2] = np.maximum(path[:, 2], 0.012)
        return tube(name, path, radius, up=(1, 0, 0), segments=36)
    middle, length = (head + foot) / 2, head[2] - foot[2]
    straight = box(name, (0, 0, 0), (0.042, 0.042, length), 0.006)
    slant = (head - foot)[:2] / length
    leaning = straight.vertices + np.outer(straight.vertices[:, 2], [*slant, 0]) + middle
    return Part(name, leaning, straight.faces, straight.place, normals=straight.normals)


def _back(
    deep: float, wide: float, seat: float, top: float, lean: float, number: int
) -> tuple[Part, dict[str, Array]]:
    tall, half = top - seat, wide / 2 - 0.04
    pieces = [box(None, (0, y, tall / 2 - 0.02), (0.034, 0.036, tall + 0.04), 0.010) for y in (half, -half)]
    make = number % 3
    if make == 0:  # ladder
        pieces += [_bowed(half, tall * share, 0.075) for share in (0.45, 0.70, 0.94)]
    elif make == 1:  # spindles
        pieces += [_bowed(half, tall * 0.94, 0.08), _bowed(half, tall * 0.22, 0.035)]
        for y in np.linspace(-half, half, 6)[1:-1]:
            bow = -0.03 * (1 - (y / half) ** 2)
            line = curve([(bow, y, tall * 0.22), (bow, y, tall * 0.92)], 30, 1)
            pieces.append(tube(None, line, 0.011, up=(1, 0, 0), segments=20))
    else:  # a panel
        pieces.append(_bowed(half, tall * 0.72, tall * 0.50))
    whole = joined("back", pieces)
    # One place for each point of the back as a board: across and up, and which of its two faces.
    assert whole.normals is not None
    across, up = whole.vertices[:, 1] / wide + 0.5, whole.vertices[:, 2] / (tall + 0.1)
    place = np.stack([(np.clip(across, 0, 1) + (whole.normals[:, 0] < 0)) / 2, np.clip(up, 0, 1)], 1)
    board = Part("back", whole.vertices, whole.faces, place, normals=whole.normals)
    slant, shift = turn("y", -lean), np.array([-deep / 2 + 0.02, 0, seat - 0.005])
    corners = {
        "back_top_left": board.nearest((0.017, half, tall + 0.1)),
        "back_top_right": board.nearest((0.017, -half, tall + 0.1)),
        "back_top_middle": board.nearest((0.1, 0, tall * 0.98)),
    }
    moved = {name: slant @ at + shift for name, at in corners.items()}
    return board.moved(slant, shift), moved


def _bowed(half: float, height: float, tall: float) -> Part:
    board = box(None, (0, 0, 0), (0.018, half * 2, tall), 0.007)
    points = board.vertices.copy()
    points[:, 0] -= 0.03 * (1 - (points[:, 1] / half) ** 2)
    points[:, 2] += height
    return Part(None, points, board.faces, board.place, normals=board.normals)


def _finished(parts: list[Part], rng: np.random.Generator, number: int) -> list[Part]:
    base = colour(*COATS[number % len(COATS)])
    raw = number % len(COATS) in (0, 2, 6, 10)
    seed = int(rng.integers(1 << 30))
    second = shade(colour(34, 0.45, 0.75), 0) if number % 4 == 1 else base
    done = []
    for part in parts:
        stretch = [0.10, 1, 1] if part.name == "seat" else [1, 1, 0.10]
        grain = noise(part.vertices * stretch, 0.035, seed, 3)
        tint = second if part.name == "seat" else base
        amount = 0.75 if raw else 0.12
        skin = mixed(shade(tint, -0.45 * amount), tint, np.clip(1.6 * grain - 0.3, 0, 1))
        done.append(part.painted(skin, Finish(0.45 if raw else 0.3, 0.5, clearcoat=0.15)))
    return done
