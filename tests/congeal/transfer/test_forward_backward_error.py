from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment.model import SALIENT
from congeal.alignment.solver import align
from congeal.geometry.frames import cell_centres
from congeal.transfer.forward_backward_error import forward_backward_error

SIDE = 24
EVERYWHERE = np.ones((SIDE, SIDE), np.float32)


def similarity(scale: float, angle: float, shift: tuple[float, float], *, mirrored: bool) -> np.ndarray:
    """The matrix [2, 2] and, below it, the shift [2] that take the atlas to the frame."""
    c, s = np.cos(angle), np.sin(angle)
    matrix = scale * np.array([[c, s], [-s, c]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return np.vstack([matrix, shift])


def both_ways(pose: np.ndarray, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Exact maps [1, side, side, 2], float32 as they are stored."""
    cells = cell_centres(side).astype(np.float64)
    forward = cells @ pose[:2] + pose[2]
    backward = (cells - pose[2]) @ np.linalg.inv(pose[:2])
    return forward[None].astype(np.float32), backward[None].astype(np.float32)


@given(
    scale=st.floats(0.2, 1.5),
    angle=st.floats(-3, 3),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    mirrored=st.booleans(),
)
def test_maps_that_are_each_others_inverse_have_no_error(
    scale: float, angle: float, shift: tuple[float, float], mirrored: bool
) -> None:
    forward, backward = both_ways(similarity(scale, angle, shift, mirrored=mirrored))
    assert forward_backward_error(forward, backward, EVERYWHERE, SALIENT)[0] == pytest.approx(0, abs=1e-5)


@given(
    which=st.sampled_from(["forward", "backward"]),
    gap=st.floats(0.01, 0.3),
    direction=st.floats(-3, 3),
    scale=st.floats(0.3, 0.6),
)
def test_a_disturbance_of_one_map_is_the_error(
    which: str, gap: float, direction: float, scale: float
) -> None:
    """A shift of the backward map is that long in the atlas; one of the forward map counts by the scale."""
    forward, backward = both_ways(similarity(scale, 0.4, (0.0, 0.0), mirrored=False))
    shift = np.float32(gap * np.array([np.cos(direction), np.sin(direction)]))
    if which == "forward":
        found = forward_backward_error(forward + shift * np.float32(scale), backward, EVERYWHERE, SALIENT)
    else:
        found = forward_backward_error(forward, backward + shift, EVERYWHERE, SALIENT)
    assert found[0] == pytest.approx(gap, rel=1e-3)


def test_it_grows_with_noise_and_with_the_part_that_is_disturbed() -> None:
    forward, backward = both_ways(similarity(0.7, 0.2, (0.1, 0.0), mirrored=True))
    noise = np.random.default_rng(0).normal(0, 1, forward.shape).astype(np.float32)
    by_noise = [
        forward_backward_error(forward + s * noise, backward, EVERYWHERE, SALIENT)[0] for s in (0, 0.01, 0.1)
    ]
    by_part = []
    for rows in (0, 3, 12, 24):
        wrong = forward.copy()
        wrong[:, :rows] += 0.2
        by_part.append(forward_backward_error(wrong, backward, EVERYWHERE, SALIENT)[0])
    assert by_noise == sorted(set(by_noise))
    assert by_part == sorted(set(by_part))


def test_only_salient_cells_within_the_frame_count() -> None:
    forward, backward = both_ways(similarity(0.5, 0.0, (0.0, 0.0), mirrored=False))
    left = np.zeros((SIDE, SIDE), np.float32)
    left[:, : SIDE // 2] = 0.31
    left[:, SIDE // 2 :] = 0.29
    forward[:, :, SIDE // 2 :] += 0.3
    assert forward_backward_error(forward, backward, left, SALIENT)[0] == pytest.approx(0, abs=1e-5)
    forward[:, : SIDE // 2] += 5
    assert forward_backward_error(forward, backward, left, SALIENT)[0] == pytest.approx(0, abs=1e-5)
    forward[:] = np.nan
    assert np.isnan(forward_backward_error(forward, backward, left, SALIENT)[0])
    assert np.isnan(forward_backward_error(forward, backward, np.zeros_like(left), SALIENT)[0])


@settings(max_examples=10)
@given(side=st.integers(1, 3), other=st.integers(1, 3))
def test_the_smallest_grids(side: int, other: int) -> None:
    forward, _ = both_ways(similarity(0.7, 0.0, (0.0, 0.0), mirrored=False), side)
    _, backward = both_ways(similarity(0.7, 0.0, (0.0, 0.0), mirrored=False), other)
    found = forward_backward_error(forward, backward, np.ones((side, side), np.float32), SALIENT)
    # A single cell a side knows one place; two and more know a similarity.
    assert found[0] == pytest.approx(0, abs=1e-5) or other == 1 < side


@pytest.fixture(scope="module")
def six() -> Scene:
    return scene([Thing(0)] * 6, varied_poses(6, mirrored=True))


def test_an_alignment_has_that_of_its_own_maps_whatever_its_features_match(six: Scene) -> None:
    found = align(**six.arguments())
    own = forward_backward_error(found.forward, found.backward, found.atlas.saliency, SALIENT)
    np.testing.assert_array_equal(found.cycle_error, own)
    assert found.cycle_error.max() < 0.005
    # The maps of other images are as sound: what is measured is no likeness of features.
    strange = align(**scene([Thing(seed) for seed in range(6)], varied_poses(6)).arguments())
    assert strange.status == "nothing-in-common"
    assert strange.cycle_error.max() < 1e-4
    swapped = forward_backward_error(
        found.forward, np.roll(found.backward, 1, 0), found.atlas.saliency, SALIENT
    )
    assert swapped.min() > 0.05
