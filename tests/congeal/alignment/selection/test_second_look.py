from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.selection import SecondLookConfig
from congeal.alignment.inputs.image_set import PreparedSet
from congeal.alignment.inputs.windows import Windows, to_whole_frames, window_anchor
from congeal.alignment.model import Alignment, Anchor, Atlas, Exemplars
from congeal.alignment.outcomes import NOTHING_IN_COMMON, OK
from congeal.alignment.selection.second_look import (
    Evidence,
    Looked,
    better,
    compare,
    find_windows,
    place_windows,
)
from congeal.geometry.frames import cell_centres
from congeal.geometry.warps import sample

G, R, M = 32, 24, 64
CENTRES = np.array([[-0.5, 0.4], [0.3, -0.4], [0.1, 0.5], [-0.2, -0.1], [0.5, 0.0]])
HALF = 0.2  # of the thing, in each image


def look(centres: np.ndarray, half: float, seen_at: np.ndarray | None = None) -> Looked:
    """A thing of so many different tokens in n images, and an alignment that puts it at some places."""
    n = len(centres)
    places = torch.as_tensor(cell_centres(G)).expand(n, -1, -1, -1)
    own = (places - torch.as_tensor(centres).float().view(n, 1, 1, 2)) / half
    thing = torch.as_tensor(np.random.default_rng(0).normal(size=(1, 12, 12, 16))).float()
    shown = (own.abs() <= 1).all(-1)
    noise = torch.as_tensor(np.random.default_rng(1).normal(size=(n, G, G, 16))).float()
    features = torch.where(shown[..., None], sample(thing.expand(n, -1, -1, -1), own), noise)
    features = torch.nn.functional.normalize(features, dim=-1)
    ones, flags = torch.ones((n, G, G)), torch.ones(n, dtype=torch.bool)
    nothing: Any = None
    images = PreparedSet(
        features, features.flip(2), shown.float(), shown.float().flip(2), ones, flags, ~flags, 1.0,
        nothing, nothing,
    )  # fmt: skip
    return Looked(images, aligned(centres if seen_at is None else seen_at, half))


def aligned(centres: np.ndarray, half: float) -> Alignment:
    n = len(centres)
    ones = np.ones(n, np.float32)
    forward = centres[:, None, None] + half * cell_centres(R)
    backward = (cell_centres(M) - centres[:, None, None]) / half
    atlas = Atlas(
        np.zeros((R, R, 2), np.float16), np.ones((R, R), np.float32), ones, ones[None], ones,
        Exemplars(*(np.zeros((1, 1, 2)),) * 2, np.zeros((1, 1))),
    )  # fmt: skip
    return Alignment(
        OK, atlas, np.zeros(n, bool), 0 * ones, half * ones, centres.astype(np.float32),
        forward.astype(np.float32), np.ones((n, R, R), np.float32),
        backward.astype(np.float32), np.ones((n, M, M), np.float32),
        ones, ones, ones, ones, ones, np.zeros(n, bool), [None] * n, 1.0, 0,
    )  # fmt: skip


def test_windows_lie_around_the_thing() -> None:
    config = SecondLookConfig()
    found = find_windows(look(CENTRES, HALF), config)
    assert found is not None
    np.testing.assert_allclose(found.centre, CENTRES, atol=0.05)
    assert (found.half >= HALF).all()
    assert (found.half <= HALF * config.margin * 1.2).all()


def test_a_thing_that_fills_the_frame_needs_no_second_look() -> None:
    assert find_windows(look(CENTRES * 0.1, 0.8), SecondLookConfig()) is None


@pytest.mark.parametrize("status", [NOTHING_IN_COMMON, "single", "collapsed"])
def test_nor_does_a_set_whose_alignment_means_nothing(status: str) -> None:
    one = look(CENTRES, HALF)
    assert find_windows(replace(one, aligned=replace(one.aligned, status=status)), SecondLookConfig()) is None


def test_where_a_pose_is_wrong_the_image_itself_says_where_the_thing_is() -> None:
    wrong = CENTRES.copy()
    wrong[1] = [-0.6, 0.7]
    found = find_windows(look(CENTRES, HALF, wrong), SecondLookConfig())
    assert found is not None
    np.testing.assert_allclose(found.centre[1], CENTRES[1], atol=0.05)


def test_a_part_of_the_thing_that_the_map_misses_is_in_its_window() -> None:
    one = look(CENTRES, HALF)
    half = replace(one.aligned, forward=one.aligned.forward - np.float32([0.15, 0]))
    found = find_windows(replace(one, aligned=half), SecondLookConfig())
    assert found is not None
    assert (np.abs(found.centre - CENTRES) + HALF <= found.half[:, None] + 2 / G).all()


def test_windows_stay_on_the_frame_and_enlarge_no_more_than_is_allowed() -> None:
    config = SecondLookConfig()
    found = find_windows(look(np.sign(CENTRES) * 0.9, 0.08), config)
    assert found is not None
    assert (np.abs(found.centre) + found.half[:, None] <= 1 + 1e-9).all()
    np.testing.assert_allclose(found.half, 1 / config.most_zoom)


def seen_in(windows: Windows, centres: np.ndarray, at: np.ndarray) -> Looked:
    """The second look: the same thing in windows, aligned as if it lay elsewhere."""
    inner = windows.to_window(centres)
    assert np.ptp(windows.half) == 0
    half = HALF / windows.half[0]
    return replace(look(inner, half, windows.to_window(at)), windows=windows)


def test_the_solution_that_explains_the_matches_is_kept() -> None:
    config = SolverConfig()
    windows = Windows(CENTRES, np.full(len(CENTRES), 0.3))
    off = CENTRES + np.random.default_rng(0).normal(size=CENTRES.shape) * 0.1
    for first, second, kept in ((off, CENTRES, True), (CENTRES, off, False), (CENTRES, CENTRES, False)):
        one, two = look(CENTRES, HALF, first), seen_in(windows, CENTRES, second)
        whole = to_whole_frames(two.aligned, windows)
        evidence = compare(one, two, whole, 0, config)
        assert better(evidence, whole, config.second_look) is kept
        assert evidence == compare(one, two, whole, 0, config)


def test_a_second_solution_without_meaning_is_not_kept() -> None:
    evidence = Evidence(0.1, 0.9, ((0.1, 0.9), (0.1, 0.9)))
    whole = aligned(CENTRES, HALF)
    assert better(evidence, whole, SecondLookConfig())
    assert not better(evidence, replace(whole, status=NOTHING_IN_COMMON), SecondLookConfig())
    lost = Evidence(0.5, 0.4, ((0.7, 0.4), (0.3, 0.4)))
    assert not better(lost, whole, SecondLookConfig())


def test_maps_that_are_no_numbers_leave_the_image_to_itself() -> None:
    one = look(CENTRES, HALF)
    forward = one.aligned.forward.copy()
    forward[2] = np.nan
    found = find_windows(replace(one, aligned=replace(one.aligned, forward=forward)), SecondLookConfig())
    assert found is not None
    np.testing.assert_allclose(found.centre[2], CENTRES[2], atol=0.05)


def test_where_nothing_is_salient_the_window_is_the_frame() -> None:
    one = look(CENTRES, HALF)
    wrong = replace(one.aligned, forward=np.full_like(one.aligned.forward, np.nan))
    images = replace(one.images, saliency=0 * one.images.saliency)
    found = place_windows(Looked(images, wrong), SecondLookConfig())
    np.testing.assert_array_equal(found.half, 1)
    np.testing.assert_array_equal(found.centre, 0)


def test_turned_windows_show_things_as_they_stand_in_the_atlas() -> None:
    one = look(CENTRES, HALF)
    angles, flips = np.float32([0.0, 0.7, -2.5, 3.0, 1.6]), np.array([False, True, False, True, True])
    posed = replace(one.aligned, rotation=angles, mirrored=flips)
    found = find_windows(replace(one, aligned=posed), SecondLookConfig(), turned=True)
    assert found is not None
    np.testing.assert_allclose(found.centre, CENTRES, atol=0.05)
    assert (np.abs(found.to_window(one.aligned.forward)) <= 1).all()
    # As windows show them, things are neither turned nor mirrored.
    anchor = Anchor(flips, angles, posed.scale, posed.translation, np.ones(5, np.float32))
    within = window_anchor(anchor, found)
    np.testing.assert_allclose(np.exp(1j * within.rotation), 1, atol=1e-5)
    assert not within.mirrored.any()
