from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from synthetic import Pose
from transfer_errors import errors
from turned_things import made, poses_at_any_angle

from congeal.alignment.atlas_fitting import fit
from congeal.alignment.inputs.rotated_views import Turned
from congeal.alignment.model import Anchor
from congeal.alignment.solver import align
from congeal.errors import CongealError

COUNT = 9


@pytest.fixture(scope="module")
def poses() -> list[Pose]:
    return poses_at_any_angle(COUNT)


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


def test_what_looks_the_same_in_a_mirror_is_not_mirrored_at_any_angle() -> None:
    poses = [dataclasses.replace(pose, mirrored=False) for pose in poses_at_any_angle(8)]
    arguments = made(poses, symmetric=True)
    old = align(**rows(arguments, slice(0, 6)))
    assert not old.mirrored.any()
    assert not fit(old.atlas, **rows(arguments, slice(6, None))).mirrored.any()
    assert np.quantile(errors(old, poses[:6], list(range(6))), 0.9) < 1.0


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
