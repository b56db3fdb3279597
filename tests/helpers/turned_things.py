"""Made-up things that lie at any angle, seen from eight, with features that depend on the angle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from synthetic import CHANNELS, GRID, Pose, Thing

from congeal.alignment.inputs.rotated_views import EIGHTH, TURNS, Turned
from congeal.geometry.frames import cell_centres


def poses_at_any_angle(count: int) -> list[Pose]:
    """Poses of a thing, every third mirrored."""
    random = np.random.default_rng(3)
    return [
        Pose(
            scale=float(random.uniform(0.55, 0.75)),
            angle=float(random.uniform(-np.pi, np.pi)),
            shift=(float(random.uniform(-0.15, 0.15)), float(random.uniform(-0.15, 0.15))),
            mirrored=number % 3 == 1,
        )
        for number in range(count)
    ]


def turned(pose: Pose, turn: int, *, mirrored: bool) -> Pose:
    """The pose of a thing in the image turned against the clock by eighths, and then mirrored or not."""
    angle = pose.angle + turn * EIGHTH * (1 if pose.mirrored else -1)
    shift = complex(*pose.shift) * np.exp((1j if pose.mirrored else -1j) * turn * EIGHTH)
    return dataclasses.replace(
        pose, angle=angle, shift=(shift.real, shift.imag), mirrored=pose.mirrored != mirrored
    )


def seen(pose: Pose, number: int, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features and saliency of a view in which the thing has this pose.

    As a backbone's, they depend on the angle and the side that the thing is seen from. One that looks the
    same in a mirror is seen there at the opposite angle.
    """
    random = np.random.default_rng([8, number])
    thing, posture = Thing(0), np.random.default_rng(9).normal(0, 1.5, (3, CHANNELS))
    u = pose.to_thing(cell_centres(GRID))
    at = np.array([np.cos(pose.angle), np.sin(pose.angle), float(pose.mirrored)])
    own = u
    if symmetric:
        own, at = np.abs(u) * [1, 0] + u * [0, 1], at * [1, -1 if pose.mirrored else 1, 0]
    look = np.cos(own @ thing.waves + thing.phase + at @ posture) + 0.7 * thing.common
    inside = thing.inside(u)
    features = np.where(inside[..., None], look, random.normal(0, 1, (GRID, GRID, CHANNELS)))
    features = features + 0.2 * random.normal(0, 1, features.shape)
    return np.float32(features), np.float32(inside + 0.05 * random.random((GRID, GRID)))


def made(poses: list[Pose], *, symmetric: bool = False) -> dict[str, Any]:
    """The arguments of `align` for images of one thing in these poses.

    symmetric: it looks the same in a mirror.
    """
    views = [
        [
            [seen(turned(pose, turn, mirrored=mirrored), number, symmetric) for turn in range(TURNS)]
            for mirrored in (False, True)
        ]
        for number, pose in enumerate(poses)
    ]
    features = np.stack([[[view[0] for view in row] for row in image] for image in views])
    saliency = np.stack([[[view[1] for view in row] for row in image] for image in views])
    return {
        "features": features[:, 0, 0],
        "saliency": saliency[:, 0, 0],
        "mirrored_features": features[:, 1, 0],
        "mirrored_saliency": saliency[:, 1, 0],
        "turned": Turned(features[:, 0, 1:], saliency[:, 0, 1:], features[:, 1, 1:], saliency[:, 1, 1:]),
    }
