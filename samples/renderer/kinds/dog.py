"""Dogs: a skeleton with flesh, posed in mid-step. The nose points forward (+x)."""

from __future__ import annotations

import numpy as np
from mesh import Array, Finish, Model, Part, ball, revolved, turn
from patterns import colour, mixed, noise, step
from solids import Bone, fleshed

SIDES = (("left", 1), ("right", -1))
LEGS = tuple(f"{side}_{end}_leg" for side, _ in SIDES for end in ("front", "hind"))
PARTS = ("torso", "neck", "head", "muzzle", "left_ear", "right_ear", *LEGS, "tail")
COATS = [
    ((30, 0.60, 0.72), (38, 0.18, 0.95)),
    ((22, 0.55, 0.35), (32, 0.50, 0.75)),
    ((0, 0.0, 0.93), (20, 0.45, 0.40)),
    ((38, 0.45, 0.86), (40, 0.14, 0.97)),
    ((215, 0.08, 0.45), (0, 0.0, 0.93)),
    ((0, 0.0, 0.15), (28, 0.60, 0.70)),
    ((18, 0.65, 0.55), (0, 0.0, 0.95)),
    ((42, 0.20, 0.92), (25, 0.40, 0.70)),
    ((25, 0.40, 0.50), (0, 0.0, 0.15)),
    ((0, 0.0, 0.90), (0, 0.0, 0.14)),
    ((33, 0.70, 0.80), (0, 0.0, 0.95)),
    ((20, 0.25, 0.60), (40, 0.10, 0.90)),
]


def build(rng: np.random.Generator, number: int) -> Model:
    """One dog: proportions, coat, and the angles of its limbs, neck and tail."""
    long, leg, stout = rng.uniform(0.27, 0.34), rng.uniform(0.34, 0.46), rng.uniform(0.92, 1.12)
    back = leg + 0.13
    hip, chest = np.array([-long, 0, back]), np.array([long - 0.03, 0, back])
    torso = [
        Bone("torso", hip, (0, 0, back + 0.01), 0.135 * stout, 0.132 * stout, 0.85),
        Bone("torso", (0, 0, back + 0.01), chest, 0.132 * stout, 0.165 * stout, 0.85),
    ]
    nod, look = rng.uniform(-14, 16), rng.uniform(-16, 16)
    root = chest + [0.06, 0, 0.06]
    pose = turn("z", look) @ turn("y", nod)

    def held(x: float, y: float, z: float) -> Array:
        return root + pose @ np.array([x, y, z])

    snout, size = rng.uniform(0.14, 0.20), rng.uniform(0.95, 1.1)
    bones = [
        *torso,
        Bone("neck", root - [0.03, 0, 0.02], held(0.12, 0, 0.19), 0.12 * stout, 0.088),
        Bone("head", held(0.13, 0, 0.25), held(0.20, 0, 0.25), 0.112 * size, 0.098 * size),
        Bone("muzzle", held(0.22, 0, 0.222), held(0.22 + snout, 0, 0.20), 0.072 * size, 0.050 * size),
    ]
    upright = number % 3 == 1
    ears = {}
    for side, y in SIDES:
        base = held(0.11, y * 0.075, 0.32)
        tip = held(0.09, y * 0.105, 0.48) if upright else held(0.12, y * 0.165, 0.20)
        middle = held(0.10, y * 0.095, 0.40) if upright else held(0.10, y * 0.15, 0.31)
        ears[side] = tip
        wide = 0.048 if upright else 0.04
        bones += [
            Bone(f"{side}_ear", base, middle, wide, wide * 0.95, 0.6),
            Bone(f"{side}_ear", middle, tip, wide * 0.95, 0.018 if upright else 0.045, 0.6),
        ]
    paws = {}
    stride = rng.uniform(6, 22) * rng.choice([-1, 1])
    for side, y in SIDES:
        for end, sign in (("front", y), ("hind", -y)):
            name = f"{side}_{end}_leg"
            swing = sign * stride + rng.uniform(-5, 5)
            legs, paws[name] = _leg(name, end, hip if end == "hind" else chest, y, swing, leg, stout)
            bones += legs
    lift = rng.uniform(15, 75)
    tail = _tail(hip, lift, rng.uniform(-20, 20), rng.uniform(0.8, 1.1))
    bones += tail
    parts = fleshed(bones, 0.045, 0.0115)
    nose = held(0.22 + snout + 0.035 * size, 0, 0.212)
    extras = [ball(None, nose, (0.028, 0.034, 0.026)).painted((0.05, 0.04, 0.045), Finish(0.25))]
    keypoints = {
        "nose": nose + pose @ np.array([0.028, 0, 0.0]),
        "neck": _part(parts, "neck").nearest(held(0.0, 0, 0.22)),
        "chest": _part(parts, "torso").nearest(chest + [0.2, 0, -0.12]),
        "back": _part(parts, "torso").nearest((0, 0, back + 0.3)),
        "belly": _part(parts, "torso").nearest((0, 0, back - 0.3)),
        "tail_base": _part(parts, "tail").nearest(np.asarray(tail[0].start) + [-0.03, 0, 0.08]),
        "tail_tip": _part(parts, "tail").nearest(np.asarray(tail[-1].end) * 1.1 - hip * 0.1),
    }
    for side, y in SIDES:
        at = held(0.252, y * 0.068 * size, 0.29)
        extras.append(ball(None, at, 0.0185).painted((0.04, 0.025, 0.02), Finish(0.08, clearcoat=1)))
        keypoints[f"{side}_eye"] = at + pose @ np.array([0.008, y * 0.016, 0.004])
        ear = _part(parts, f"{side}_ear")
        keypoints[f"{side}_ear_tip"] = ear.nearest(ears[side] + (ears[side] - held(0.11, y * 0.075, 0.32)))
        for end in ("front", "hind"):
            name = f"{side}_{end}_leg"
            keypoints[f"{side}_{end}_paw"] = _part(parts, name).nearest(paws[name] + [0.06, y * 0.05, 0.01])
    coated = _coated(parts, rng, number, back)
    model = Model([*coated, *extras, _collar(root, held, stout, rng)], keypoints)
    lowest = min(part.vertices[:, 2].min() for part in parts)
    return model.moved(shift=(0, 0, -lowest)).scaled(1.12)


def _part(parts: list[Part], name: str) -> Part:
    return next(part for part in parts if part.name == name)


def _leg(
    name: str, end: str, joint: Array, y: float, swing: float, length: float, stout: float
) -> tuple[list[Bone], Array]:
    front = end == "front"
    top = joint + [0.0 if front else -0.02, y * 0.085 * stout, -0.03]
    upper = turn("y", -swing * 0.8 + (4 if front else -12)) @ np.array([0, 0, -length * 0.52])
    lower = turn("y", -swing * 0.6 + (-2 if front else 14)) @ np.array([0, 0, -length * 0.50])
    knee = top + upper + [0, y * 0.005, 0]
    ankle = knee + lower
    thigh = 0.075 if front else 0.095
    return [
        Bone(name, top, knee, thigh * stout, 0.050 * stout, 0.8),
        Bone(name, knee, ankle, 0.046 * stout, 0.038 * stout),
        Bone(name, ankle, ankle + [0.055, 0, -0.012], 0.044 * stout, 0.040 * stout),
    ], ankle + [0.05, 0, -0.01]


def _tail(hip: Array, lift: float, wag: float, long: float) -> list[Bone]:
    at, bones = hip + [-0.10, 0, 0.06], []
    for link in range(3):
        heading = turn("z", wag * link) @ turn("y", lift + 16 * link - 20)
        end = at + heading @ np.array([-0.11 * long, 0, 0.01])
        thick = [0.046, 0.040, 0.032, 0.020]
        bones.append(Bone("tail", at, end, thick[link], thick[link + 1]))
        at = end
    return bones


def _collar(root: Array, held: object, stout: float, rng: np.random.Generator) -> Part:
    assert callable(held)
    middle = (root - [0.03, 0, 0.02]) * 0.35 + held(0.12, 0, 0.19) * 0.65
    axis = held(0.12, 0, 0.19) - root + [0.03, 0, 0.02]
    axis /= np.linalg.norm(axis)
    side = np.cross(axis, [0, 1, 0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(axis, side), axis], 1)
    angle = np.linspace(0, 2 * np.pi, 24)
    radius = 0.105 * (0.35 * stout + 0.65) + 0.004
    ring = np.stack([radius + 0.013 * np.cos(angle), 0.026 * np.sin(angle)], 1)
    tint = colour(rng.choice([0, 210, 350, 140, 45, 280]), 0.75, 0.75)
    return revolved(None, ring, 96).moved(frame, middle).painted(tint, Finish(0.4))


def _coated(parts: list[Part], rng: np.random.Generator, number: int, back: float) -> list[Part]:
    main, other = (colour(*c) for c in COATS[number % len(COATS)])
    seed, style = int(rng.integers(1 << 30)), number % 4
    painted = []
    for part in parts:
        at, name = part.vertices, part.name or ""
        if style == 0:  # pale belly, socks and muzzle
            share = 1 - step(back - 0.07, at[:, 2] + 0.10 * (noise(at, 0.2, seed) - 0.5), 0.06)
            share = share * ("leg" not in name) + (1 - step(0.16, at[:, 2], 0.05)) * ("leg" in name)
            share = np.where("head" in name or "ear" in name, 0, share)
            share = np.ones(len(at)) if name == "muzzle" else share
        elif style == 1:  # a saddle over the back
            share = step(back + 0.0, at[:, 2] + 0.08 * (noise(at, 0.2, seed) - 0.5), 0.06)
            share = (
                (1 - share) if name in ("torso", "neck") else np.full(len(at), float(name not in ("tail",)))
            )
        elif style == 2:  # patches
            share = step(0.55, noise(at, 0.34, seed, 2), 0.03)
            share = np.ones(len(at)) if "ear" in name else share
        else:  # one colour, darker ears and muzzle
            share = np.full(len(at), 0.9 if "ear" in name or name == "muzzle" else 0.0)
        skin = mixed(main, other, share)
        fur = noise(at * [1, 1, 0.45], 0.018, seed + 1, 2)
        painted.append(part.painted(skin * (0.80 + 0.36 * fur[:, None]), Finish(0.75, 0.25)))
    return painted
