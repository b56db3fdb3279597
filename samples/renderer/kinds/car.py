"""Toy cars: a painted body with windows, and wheels. The front points forward (+x)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from mesh import Array, Finish, Model, Part, ball, box, joined, revolved, turn
from patterns import colour, mixed, shade, step
from solids import Field, meshed, rounded_box, smooth_union, without

PARTS = ("body", "wheel")
PAINTS = [
    (2, 0.78, 0.78),
    (205, 0.60, 0.72),
    (46, 0.80, 0.93),
    (150, 0.50, 0.55),
    (22, 0.80, 0.88),
    (190, 0.25, 0.88),
    (340, 0.42, 0.85),
    (225, 0.65, 0.42),
    (75, 0.45, 0.68),
    (35, 0.20, 0.93),
    (275, 0.35, 0.62),
    (0, 0.70, 0.45),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One car: proportions, paint, stripes."""
    long, wide, deck = rng.uniform(1.14, 1.3), rng.uniform(0.50, 0.58), rng.uniform(0.31, 0.37)
    roof, cabin = deck + rng.uniform(0.20, 0.27), long * rng.uniform(0.42, 0.54)
    shift = rng.uniform(-0.12, -0.02)
    wheel, low = rng.uniform(0.125, 0.15), 0.085
    axles = {"front": long * 0.305, "rear": -long * 0.305}
    rake_front, rake_rear = rng.uniform(0.55, 0.95), rng.uniform(0.25, 0.7)
    hull = rounded_box((0, 0, (low + deck) / 2), (long, wide, deck - low), 0.085)
    box_field = rounded_box((0, 0, (deck + roof) / 2 - 0.06), (cabin, wide * 0.84, roof - deck + 0.12), 0.075)

    def sloped(points: Array) -> Array:
        rise = np.clip((points[:, 2] - deck) / (roof - deck), 0, 1.3)
        bent = points.copy()
        ahead = points[:, 0] - shift
        bent[:, 0] = ahead + np.where(ahead > 0, rake_front, -rake_rear) * rise * 0.16
        bent[:, 1] = points[:, 1] * (1 + 0.10 * rise)
        return box_field(bent) * 0.85

    solid: Field = smooth_union(hull, sloped, 0.05)
    arch = min(wheel * 1.17, deck - wheel - 0.03)  # leaves some hood above
    for at in axles.values():
        solid = without(solid, _drum(at, wheel, wide, arch), 0.015)
    shell = meshed(
        "body",
        solid,
        (-long / 2 - 0.03, -wide / 2 - 0.03, 0.04),
        (long / 2 + 0.03, wide / 2 + 0.03, roof + 0.05),
        0.0115,
    )
    around = np.arctan2(shell.vertices[:, 2] - deck * 0.8, shell.vertices[:, 1])
    place = np.stack([shell.vertices[:, 0] / long + 0.5, (around / (2 * np.pi)) % 1], 1)
    shell = Part("body", shell.vertices, shell.faces, np.clip(place, 0, 1), normals=shell.normals)
    shell = _painted(shell, rng, number, deck, roof, cabin, shift, (rake_front, rake_rear), wide)
    parts, keypoints = [shell], {}
    for end, at in axles.items():
        for side, y in (("left", 1), ("right", -1)):
            centre = np.array([at, y * (wide / 2 - 0.035), wheel])
            parts.append(_wheel(wheel, y, rng, number).moved(shift=centre))
            keypoints[f"{end}_{side}_wheel"] = centre + [0, y * 0.052, 0]
    tip = (roof - 0.02, deck + 0.02)
    keypoints |= {
        "nose": shell.nearest((long, 0, (low + deck) / 2)),
        "rear": shell.nearest((-long, 0, (low + deck) / 2)),
        "hood": shell.nearest((long * 0.40, 0, deck + 0.1)),
        "windscreen_bottom": shell.nearest((shift + cabin / 2 - 0.01, 0, deck + 0.03)),
        "windscreen_top": shell.nearest((shift + cabin / 2 - 0.16 * rake_front - 0.04, 0, tip[0] + 0.05)),
        "roof": shell.nearest((shift - 0.02, 0, roof + 0.2)),
        "roof_rear": shell.nearest((shift - cabin / 2 + 0.16 * rake_rear + 0.04, 0, tip[0] + 0.05)),
        "boot": shell.nearest((-long * 0.46, 0, deck + 0.05)),
    }
    for side, y in (("left", 1), ("right", -1)):
        keypoints[f"{side}_window"] = shell.nearest((shift, y * wide * 0.45, (deck + roof) / 2))
        eye = shell.nearest((long, y * wide * 0.30, deck - 0.09))
        lamp = ball(None, eye, (0.03, 0.05, 0.05)).painted((0.98, 0.95, 0.80), Finish(0.08, clearcoat=1))
        tail = shell.nearest((-long, y * wide * 0.33, deck - 0.08))
        rear = ball(None, tail, (0.02, 0.045, 0.03)).painted((0.75, 0.06, 0.05), Finish(0.1, clearcoat=1))
        keypoints[f"{side}_headlight"] = eye + [0.03, 0, 0]
        parts += [lamp, rear]
    chrome = Finish(0.15, 0.5, metallic=1.0)
    for x in (long / 2 + 0.004, -long / 2 - 0.004):
        parts.append(
            box(None, (x, 0, low + 0.05), (0.05, wide * 0.92, 0.045), 0.02).painted(
                (0.82, 0.82, 0.82), chrome
            )
        )
    if number % 4 == 1:
        parts += _luggage(shift, roof, cabin, wide)
    return Model(parts, keypoints)


def _drum(at: float, height: float, wide: float, radius: float) -> Field:
    def field(points: Array) -> Array:
        round_ = np.hypot(points[:, 0] - at, points[:, 2] - height) - radius
        return np.maximum(round_, wide / 2 - 0.14 - np.abs(points[:, 1]))

    return field


def _wheel(radius: float, side: int, rng: np.random.Generator, number: int) -> Part:
    wide = 0.05
    tyre = np.array(
        [
            [radius * 0.62, wide],
            [radius * 0.93, wide],
            [radius, wide * 0.6],
            [radius, -wide * 0.6],
            [radius * 0.9, -wide],
            [0.0, -wide],
        ]
    )
    hub = np.array(
        [
            [0.0, wide * 1.08],
            [radius * 0.20, wide * 1.0],
            [radius * 0.26, wide * 0.75],
            [radius * 0.58, wide * 0.7],
            [radius * 0.62, wide],
        ]
    )
    fine = np.concatenate(
        [np.linspace(a, b, 14)[:-1] for a, b in pairwise(hub)]
        + [np.linspace(a, b, 10)[:-1] for a, b in pairwise(tyre)]
        + [tyre[-1:]]
    )
    wheel = revolved("wheel", fine, 120)
    spread = np.hypot(wheel.vertices[:, 0], wheel.vertices[:, 1]) / radius
    angle = np.arctan2(wheel.vertices[:, 1], wheel.vertices[:, 0])
    rim = [np.full(3, 0.85), colour(42, 0.25, 0.93), colour(*PAINTS[(number + 3) % len(PAINTS)])][number % 3]
    spokes = step(0.0, np.cos(angle * 6), 0.5) * (spread > 0.26) * (spread < 0.56)
    skin = np.where((spread < 0.61)[:, None], mixed(rim, rim * 0.35, spokes * 0.8), 0.06)
    return wheel.painted(skin, Finish(0.35)).moved(turn("x", -90 * side))


def _painted(
    shell: Part,
    rng: np.random.Generator,
    number: int,
    deck: float,
    roof: float,
    cabin: float,
    shift: float,
    rakes: tuple[float, float],
    wide: float,
) -> Part:
    paint = colour(*PAINTS[number % len(PAINTS)])
    second = [shade(paint, 0.75), colour(40, 0.12, 0.96), shade(paint, -0.5)][number % 3]
    x, y, z = shell.vertices.T
    assert shell.normals is not None
    out = shell.normals
    rise = np.clip((z - deck) / (roof - deck), 0, 1)
    style = number % 4
    skin = np.broadcast_to(paint, shell.vertices.shape)
    if style == 0:  # two tones
        skin = mixed(skin, second, step(deck + 0.02, z, 0.012))
    elif style == 1:  # stripes over the top
        skin = mixed(skin, second, (np.abs(np.abs(y) - 0.065) < 0.035) * (z > deck - 0.05))
    elif style == 2:  # a flash along the side
        skin = mixed(skin, second, np.abs(z - (deck - 0.10) - 0.05 * x) < 0.028)
    band = step(deck + 0.045, z, 0.012) * (1 - step(roof - 0.055, z, 0.012))
    ahead = x - shift
    front_edge = cabin / 2 - rakes[0] * rise * 0.16
    rear_edge = -cabin / 2 + rakes[1] * rise * 0.16
    pane = step(rear_edge + 0.065, ahead, 0.012) * (1 - step(front_edge - 0.065, ahead, 0.012))
    pane = pane * step(0.018, np.abs(ahead + 0.02), 0.008)
    side = (np.abs(out[:, 1]) > 0.6) * pane
    ends = (np.abs(out[:, 1]) < 0.45) * (np.abs(out[:, 0]) > 0.3) * (np.abs(y) < wide * 0.33)
    ends = ends * (ahead < front_edge + 0.05) * (ahead > rear_edge - 0.05)
    glass = band * np.clip(side + ends, 0, 1)
    skin = mixed(skin, np.array([0.10, 0.13, 0.17]), glass)
    seam = (np.abs(ahead + 0.02) < 0.006) | (np.abs(ahead - cabin * 0.40) < 0.006)
    door = seam & (np.abs(out[:, 1]) > 0.7) & (z < deck + 0.04) & (z > deck - 0.17)
    skin = np.where(door[:, None], skin * 0.5, skin)
    return shell.painted(skin, Finish(0.18, 0.5, clearcoat=0.9))


def _luggage(shift: float, roof: float, cabin: float, wide: float) -> list[Part]:
    leather = colour(25, 0.6, 0.5)
    case = box(None, (shift - 0.03, 0, roof + 0.075), (cabin * 0.42, wide * 0.5, 0.11), 0.025).painted(
        leather, Finish(0.5)
    )
    straps = [
        box(None, (shift - 0.03 + at, 0, roof + 0.076), (0.03, wide * 0.52, 0.118), 0.01)
        for at in (-0.06, 0.07)
    ]
    return [case, joined(None, straps).painted(leather * 0.45, Finish(0.5))]
