from __future__ import annotations

from typing import Any

import numpy as np

from congeal.geometry.frames import cell_centres
from congeal.transfer.temporal_maps import Smoothed, smooth_maps

T, R, M = 24, 8, 8
CELLS = np.asarray(cell_centres(R), np.float64)


def course(noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps of a thing that moves across, there and back, and where it is in each frame."""
    random = np.random.default_rng(seed)
    at = np.stack([np.linspace(-0.3, 0.3, T), 0.1 * np.sin(np.arange(T) / 8)], -1)
    moved = at + noise * random.normal(size=at.shape)
    forward = 0.5 * CELLS + moved[:, None, None]
    backward = (np.asarray(cell_centres(M), np.float64) - moved[:, None, None]) / 0.5
    return forward, backward, at


def smooth(forward: np.ndarray, backward: np.ndarray, period: float = 8.0, **more: Any) -> Smoothed:
    given = {"mirrored": np.zeros(T, bool), "fits": np.ones(T, bool), "times": np.arange(float(T)), **more}
    return smooth_maps(forward, np.ones((T, R, R)), backward, period=period, **given)


def places(forward: np.ndarray) -> np.ndarray:
    return np.asarray(forward.mean((1, 2)))


def test_what_trembles_is_steadied_and_does_not_lag() -> None:
    forward, backward, at = course(0.02)
    found = smooth(forward, backward)
    before, after = places(forward) - at, places(found.forward) - at
    assert np.square(after).mean() < 0.4 * np.square(before).mean()
    assert (
        np.abs(np.diff(places(found.forward), 2, axis=0)).mean()
        < 0.2 * np.abs(np.diff(before, 2, axis=0)).mean()
    )
    # Behind the course by as much as ahead of it.
    assert abs((after[:, 0]).mean()) < 0.01
    # The way back has moved with it.
    there = (np.asarray(cell_centres(M), np.float64) - places(found.forward)[:, None, None]) / 0.5
    inside = np.abs(there).max(-1) < 0.8
    assert np.abs(found.backward - there)[inside].max() < 0.02


def test_steady_movement_stays_to_the_last_digits() -> None:
    at = np.stack([np.linspace(-0.3, 0.3, T), np.zeros(T)], -1)
    forward = 0.5 * CELLS + at[:, None, None]
    backward = (np.asarray(cell_centres(M), np.float64) - at[:, None, None]) / 0.5
    found = smooth(forward, backward)
    np.testing.assert_allclose(found.forward, forward, atol=1e-6)
    np.testing.assert_allclose(found.backward, backward, atol=1e-4)


def test_a_facing_mistaken_in_one_frame_is_overruled_and_a_lasting_one_is_not() -> None:
    forward, backward, at = course()
    flipped = forward.copy()
    flipped[9] = (0.5 * CELLS) * [-1, 1] + at[9]
    mirrored = np.zeros(T, bool)
    mirrored[9] = True
    found = smooth(flipped, backward, mirrored=mirrored)
    assert found.turned.nonzero()[0].tolist() == [9]
    assert not found.mirrored.any()
    np.testing.assert_allclose(found.forward[9], forward[9], atol=0.01)
    np.testing.assert_allclose(found.backward[9], backward[9], atol=0.05)
    flipped = forward.copy()
    flipped[12:] = (0.5 * CELLS) * [-1, 1] + at[12:, None, None]
    found = smooth(flipped, backward, mirrored=np.arange(T) >= 12)
    assert not found.turned.any()
    assert found.mirrored.sum() == 12
    np.testing.assert_allclose(found.forward, flipped, atol=0.02)


def test_short_gaps_are_bridged_and_long_ones_left() -> None:
    forward, backward, _ = course()
    lost = forward.copy()
    fits = np.ones(T, bool)
    fits[[5, 6]] = fits[12:20] = False
    lost[~fits] += 3
    found = smooth(lost, backward, fits=fits)
    assert found.bridged.nonzero()[0].tolist() == [5, 6]
    np.testing.assert_allclose(found.forward[5:7], forward[5:7], atol=0.01)
    np.testing.assert_array_equal(found.forward[12:20], lost[12:20])


def test_without_a_period_nothing_is_changed() -> None:
    forward, backward, _ = course(0.05)
    found = smooth(forward, backward, period=0)
    np.testing.assert_array_equal(found.forward, forward)
    np.testing.assert_array_equal(found.backward, backward)
