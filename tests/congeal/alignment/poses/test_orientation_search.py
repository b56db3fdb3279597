from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from synthetic import CHANNELS, GRID, Pose, Thing
from transfer_errors import errors

from congeal.alignment.atlas_fitting import fit
from congeal.alignment.inputs.rotated_views import EIGHTH, TURNS, Turned
from congeal.alignment.model import Anchor
from congeal.alignment.solver import align
from congeal.errors import CongealError
from congeal.geometry.frames import cell_centres

COUNT = 9


def turned(pose: Pose, turn: int, *, mirrored: bool) -> Pose:
    """The pose of a thing in the image turned against the clock by eighths, and then mirrored or not."""
    angle = pose.angle + turn * EIGHTH * (1 if pose.mirrored else -1)
    shift = complex(*pose.shift) * np.exp((1j if pose.mirrored else -1j) * turn * EIGHTH)
    return dataclasses.replace(
        pose, angle=angle, shift=(shift.real, shift.imag), mirrored=pose.mirrored != mirrored
    )


def seen(pose: Pose, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and saliency of a view in which the thing has this pose.

    As a backbone's, they depend on the angle and the side that the thing is seen from.
    """
    random = np.random.default_rng([8, number])
    thing, posture = Thing(0), np.random.default_rng(9).normal(0, 1.5, (3, CHANNELS))
    u = pose.to_thing(cell_centres(GRID))
    at = np.array([np.cos(pose.angle), np.sin(pose.angle), float(pose.mirrored)])
    look = np.cos(u @ thing.waves + thing.phase + at @ posture) + 0.7 * thing.common
    inside = thing.inside(u)
    features = np.where(inside[..., None], look, random.normal(0, 1, (GRID, GRID, CHANNELS)))
    features = features + 0.2 * random.normal(0, 1, features.shape)
    return np.float32(features), np.float32(inside + 0.05 * random.random((GRID, GRID)))


def made(poses: list[Pose]) -> dict[str, Any]:
    """The arguments of `align` for images of one thing in these poses."""
    views = [
        [
            [seen(turned(pose, turn, mirrored=mirrored), number) for turn in range(TURNS)]
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


@pytest.fixture(scope="module")
def poses() -> list[Pose]:
    random = np.random.default_rng(3)
    return [
        Pose(
            scale=float(random.uniform(0.55, 0.75)),
            angle=float(random.uniform(-np.pi, np.pi)),
            shift=(float(random.uniform(-0.15, 0.15)), float(random.uniform(-0.15, 0.15))),
            mirrored=number % 3 == 1,
        )
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def arguments(poses: list[Pose]) -> dict[str, Any]:
    return made(poses)


def rows(arguments: dict[str, Any], chosen: slice) -> dict[str, Any]:
    some = arguments["turned"]
    fields = [getattr(some, field.name)[chosen] for field in dataclasses.fields(some)]
    plain = {name: array[chosen] for name, array in arguments.items() if name != "turned"}
    return {**plain, "turned": Turned(*fields)}


def test_things_are_found_at_any_angle(poses: list[Pose], arguments: dict[str, Any]) -> None:
    found = align(**arguments)
    off = errors(found, poses, list(range(COUNT)))
    assert np.median(off) < 0.5
    assert np.quantile(off, 0.95) < 1.0
    assert not found.outlier.any()
    truth = np.array([pose.mirrored for pose in poses])
    assert np.array_equal(found.mirrored, truth) or np.array_equal(found.mirrored, ~truth)
    # Poses are told as those of the images as they are: one turn of the atlas explains all the angles.
    angle = np.array([pose.angle for pose in poses])
    sign = 1 if np.array_equal(found.mirrored, truth) else -1
    turn = np.exp(1j * (found.rotation - sign * angle))
    assert np.abs(turn / turn[0] - 1).max() < 0.1


def test_without_turned_features_they_are_not(poses: list[Pose], arguments: dict[str, Any]) -> None:
    upright = {name: array for name, array in arguments.items() if name != "turned"}
    off = errors(align(**upright), poses, list(range(COUNT)))
    assert np.median(off) > 1
    assert np.quantile(off, 0.9) > 3


def test_newcomers_may_lie_at_any_angle(poses: list[Pose], arguments: dict[str, Any]) -> None:
    old = align(**rows(arguments, slice(0, 6)))
    new = fit(old.atlas, **rows(arguments, slice(6, None)))
    assert not new.outlier.any()
    both = dataclasses.replace(
        old,
        **{
            name: np.concatenate([getattr(old, name), getattr(new, name)])
            for name in ("forward", "forward_confidence", "backward", "backward_confidence")
        },
    )
    off = errors(both, poses, list(range(COUNT)))
    assert np.median(off) < 0.6
    assert np.quantile(off, 0.95) < 1.5


def test_an_anchor_holds_the_atlas_of_turned_images(arguments: dict[str, Any]) -> None:
    first = align(**arguments)
    moved = np.exp(0.7j)
    centre = first.translation
    anchor = Anchor(
        first.mirrored,
        np.angle(np.exp(1j * (first.rotation + np.angle(moved)))),
        first.scale * 1.1,
        centre,
        np.ones(COUNT),
    )
    held = align(**arguments, anchor=anchor)
    np.testing.assert_array_equal(held.mirrored, first.mirrored)
    np.testing.assert_allclose(np.exp(1j * held.rotation), np.exp(1j * anchor.rotation), atol=0.05)
    np.testing.assert_allclose(held.scale, anchor.scale, rtol=0.05)
    np.testing.assert_allclose(held.translation, centre, atol=0.03)


def test_an_image_without_finite_features_is_an_outlier_at_any_angle(arguments: dict[str, Any]) -> None:
    some = rows(arguments, slice(0, 5))
    broken = some["turned"].features.copy()
    broken[2] = np.nan
    some["features"] = some["features"].copy()
    some["features"][2] = np.nan
    some["turned"] = dataclasses.replace(some["turned"], features=broken)
    found = align(**some)
    assert found.outlier.tolist() == [False, False, True, False, False]
    assert np.isfinite(found.forward).all()


def test_turned_features_of_other_images_are_refused(arguments: dict[str, Any]) -> None:
    fewer = rows(arguments, slice(0, 4))
    with pytest.raises(
        CongealError, match=r"turned features \[9, 7, 24, 24, 24\] do not go with features \[4,"
    ):
        align(**{**fewer, "turned": arguments["turned"]})
    with pytest.raises(CongealError, match=r"have the shape \[n, 7, g, g, c\], not \[4, 24"):
        Turned(fewer["features"], fewer["saliency"])
