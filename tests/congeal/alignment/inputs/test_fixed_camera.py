"""Frames of a fixed camera: what moves is told from the scene, and nothing else is taken for frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import congeal
from congeal.alignment.config.inputs import FixedCameraConfig
from congeal.alignment.inputs.fixed_camera import find_motion, with_motion
from congeal.alignment.inputs.rotated_views import TURNS, Turned
from congeal.alignment.inputs.set_arrays import SetArrays

CONFIG = FixedCameraConfig()
CPU = torch.device("cpu")
GRID, CHANNELS, SIDE = 20, 48, 4


@dataclass(frozen=True)
class Filmed:
    """Frames, and where in each the thing is: bool [n, g, g]."""

    frames: SetArrays
    thing: np.ndarray


def filmed(
    count: int = 12,
    *,
    cameras: int = 1,
    moves: bool = True,
    side: int = SIDE,
    noise: float = 0.1,
    shake: int = 0,
    seed: int = 0,
) -> Filmed:
    """Frames of scenes that stay, in front of which a thing of distinct parts moves."""
    random = np.random.default_rng(seed)
    scenes = random.normal(size=(cameras, GRID + 2, GRID + 2, CHANNELS))
    # Parts differ, and have something in common, as fur has.
    parts = random.normal(size=(side, side, CHANNELS)) + 1.5 * random.normal(size=CHANNELS)
    features = np.empty((count, GRID, GRID, CHANNELS), np.float32)
    thing = np.zeros((count, GRID, GRID), bool)
    for row in range(count):
        down, right = random.integers(1, 2 + shake, 2)
        features[row] = scenes[row % cameras, down : down + GRID, right : right + GRID]
        top, left = random.integers(0, GRID - side + 1, 2) if moves else (8, 8)
        features[row, top : top + side, left : left + side] = parts
        thing[row, top : top + side, left : left + side] = True
    features += random.normal(size=features.shape, scale=noise).astype(np.float32)
    return Filmed(SetArrays(features, np.ones(features.shape[:3], np.float32)), thing)


def overlap(found: torch.Tensor, thing: np.ndarray) -> float:
    return float((found.numpy() & thing).sum() / (found.numpy() | thing).sum())


@pytest.mark.parametrize(("cameras", "shake"), [(1, 0), (1, 1), (2, 0)])
def test_what_moves_is_found(cameras: int, shake: int) -> None:
    made = filmed(16, cameras=cameras, shake=shake)
    found = find_motion(made.frames, CONFIG, CPU)
    assert found is not None
    assert overlap(found.moving, made.thing) > 0.5
    salient = found.saliency(CONFIG).numpy()
    assert salient[made.thing].mean() > 5 * salient[~made.thing].mean()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), shuffled=st.permutations(range(12)))
def test_the_order_of_the_frames_does_not_matter(seed: int, shuffled: list[int]) -> None:
    made = filmed(12, seed=seed)
    one = find_motion(made.frames, CONFIG, CPU)
    other = find_motion(replace(made.frames, features=made.frames.features[shuffled]), CONFIG, CPU)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        torch.testing.assert_close(one.change[shuffled], other.change, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [3, 4, 5])
def test_what_moves_is_found_in_few_frames(frames: int) -> None:
    made = filmed(frames, seed=3)  # it lies apart in all of them; where it does not, few frames do not tell
    found = find_motion(made.frames, CONFIG, CPU)
    assert found is not None
    assert overlap(found.moving, made.thing) > 0.5


def test_a_thing_that_stays_where_it_is_is_not_told_from_the_scene() -> None:
    assert find_motion(filmed(moves=False).frames, CONFIG, CPU) is None


def test_frames_in_which_nothing_moves() -> None:
    assert find_motion(filmed(moves=False, side=0).frames, CONFIG, CPU) is None


def test_photographs_of_different_scenes_are_no_frames() -> None:
    assert find_motion(filmed(12, cameras=12).frames, CONFIG, CPU) is None


def test_what_fills_the_frame_is_no_thing_before_a_scene() -> None:
    assert find_motion(filmed(12, side=15).frames, CONFIG, CPU) is None


def test_few_frames_do_not_tell() -> None:
    assert find_motion(filmed(CONFIG.least_frames - 1).frames, CONFIG, CPU) is None


def test_a_frame_that_is_not_finite_and_padding_are_left_out() -> None:
    made = filmed(12)
    features, valid = made.frames.features.copy(), np.ones((12, GRID, GRID), np.float32)
    valid[:, :3] = 0
    features[:, :3] = np.random.default_rng(1).normal(size=features[:, :3].shape)
    features[3, 0, 0, 0] = np.nan
    found = find_motion(replace(made.frames, features=features, valid=valid), CONFIG, CPU)
    assert found is not None
    assert float(found.change[3].abs().max()) == 0
    assert float(found.change[:, :3].abs().max()) == 0
    assert float(found.saliency(CONFIG)[:, :3].max()) == 0


def test_what_moves_becomes_the_saliency_of_every_view() -> None:
    made = filmed(12)
    g, turns = made.frames.features, TURNS - 1
    views = np.repeat(g[:, None], turns, 1)
    turned = Turned(views, np.ones(views.shape[:4], np.float32), views, np.ones(views.shape[:4], np.float32))
    mirrored = np.ascontiguousarray(g[:, :, ::-1])
    one = replace(
        made.frames, mirrored_features=mirrored, mirrored_saliency=np.ones(g.shape[:3]), turned=turned
    )
    seen = with_motion(one, CONFIG, CPU)
    assert seen is not None
    assert seen.mirrored_saliency is not None
    np.testing.assert_array_equal(seen.mirrored_saliency, seen.saliency[:, :, ::-1])
    assert seen.turned is not None
    # A quarter of a turn is exact: two of its eighths.
    np.testing.assert_allclose(seen.turned.saliency[:, 1], np.rot90(seen.saliency, 1, (1, 2)), atol=1e-5)
    np.testing.assert_array_equal(seen.turned.mirrored_saliency, seen.turned.saliency[..., ::-1])
    assert with_motion(one, FixedCameraConfig(looked_for=False), CPU) is None


def test_what_moves_is_aligned_and_the_atlas_says_why() -> None:
    made = filmed(12, side=6)
    found = congeal.align(made.frames.features, made.frames.saliency)
    assert found.atlas.fixed_camera
    assert not found.outlier.any()
    cells = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    for row in range(12):
        ys, xs = np.nonzero(made.thing[row])
        middle = np.array([cells[xs].mean(), cells[ys].mean()])
        assert np.abs(found.translation[row] - middle).max() < 0.25
    still = congeal.align(
        made.frames.features,
        made.frames.saliency,
        config=congeal.SolverConfig().replace({"fixed_camera.looked_for": False}),
    )
    assert not still.atlas.fixed_camera
    assert np.abs(still.translation).max() < 0.25
