from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.geometry.whittaker import smoothed, stiffness


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(3, 30), st.floats(0.01, 100))
def test_it_is_the_solution_of_its_equations(seed: int, count: int, penalty: float) -> None:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.5, 2, count))
    values, weights = random.normal(size=(count, 3, 2)), random.uniform(0.1, 1, (count, 3))
    found = smoothed(values, weights, times, penalty)
    step = np.diff(times) / np.median(np.diff(times))
    second = np.zeros((count - 2, count))
    for row in range(count - 2):
        a, b = step[row], step[row + 1]
        second[row, row : row + 3] = [2 / (a * (a + b)), -2 / (a * b), 2 / (b * (a + b))]
    for series in range(3):
        matrix = np.diag(weights[:, series]) + penalty * second.T @ second
        exact = np.linalg.solve(matrix, weights[:, series, None] * values[:, series])
        np.testing.assert_allclose(found[:, series], exact, atol=1e-6)


def test_steady_movement_is_left_as_it_is_however_strong_the_penalty() -> None:
    times = np.array([0.0, 1, 2, 3.5, 4, 7])
    line = np.stack([3 * times, 1 - times], -1)[:, None]
    np.testing.assert_allclose(smoothed(line, np.ones((6, 1)), times, 1e4), line, atol=1e-6)


def test_half_of_a_movement_with_the_period_is_kept_and_it_does_not_lag() -> None:
    times = np.arange(200.0)
    wave = np.sin(2 * np.pi * times / 8)[:, None, None]
    found = smoothed(wave, np.ones((200, 1)), times, stiffness(8))
    np.testing.assert_allclose(found[50:150], wave[50:150] / 2, atol=1e-6)


def test_a_value_without_weight_is_filled_in() -> None:
    times = np.arange(9.0)
    line = (2 * times)[:, None, None]
    spoiled, weights = line.copy(), np.ones((9, 1))
    spoiled[4], weights[4] = 1e3, 0
    np.testing.assert_allclose(smoothed(spoiled, weights, times, 3.0), line, atol=1e-3)


@pytest.mark.parametrize(("count", "penalty"), [(2, 3.0), (9, 0.0)])
def test_too_few_or_no_penalty_changes_nothing(count: int, penalty: float) -> None:
    values = np.random.default_rng(0).normal(size=(count, 2, 2))
    np.testing.assert_array_equal(
        smoothed(values, np.ones((count, 2)), np.arange(float(count)), penalty), values
    )
