from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.evaluation.calibration import calibration


def test_a_confidence_that_means_what_it_says_has_no_error() -> None:
    confidence = np.repeat([0.25, 0.75], 400)
    correct = np.r_[np.arange(400) < 100, np.arange(400) < 300]
    found = calibration(confidence, correct)
    assert found.error == pytest.approx(0)
    assert found.count.tolist() == [0, 0, 400, 0, 0, 0, 0, 400, 0, 0]
    assert found.correct[[2, 7]].tolist() == [0.25, 0.75]
    assert np.isnan(found.correct[0])


def test_the_error_is_the_mean_distance_weighted_by_points() -> None:
    # Three points say 0.9 and are wrong, one says 0.2 and is right: (3 · 0.9 + 1 · 0.8) / 4.
    found = calibration(np.array([0.9, 0.9, 0.9, 0.2]), np.array([False, False, False, True]))
    assert found.error == pytest.approx(0.875)


def test_both_ends_of_the_scale_are_counted() -> None:
    found = calibration(np.array([0.0, 1.0, 0.5]), np.array([True, True, True]), bins=2)
    assert found.count.tolist() == [2, 1]


def test_what_is_no_confidence_is_refused() -> None:
    for wrong in ([1.1], [np.nan], [-0.1]):
        with pytest.raises(CongealError, match="between 0 and 1"):
            calibration(np.array(wrong), np.array([True]))
    with pytest.raises(CongealError, match="no points"):
        calibration(np.array([]), np.array([], bool))


def test_lists_will_do_and_what_does_not_fit_is_named() -> None:
    assert calibration([0.9, 0.1], [True, False]).error == pytest.approx(0.1)
    with pytest.raises(
        CongealError, match=r"correct has the shape \[2\], not \[m\] with m = 1 as in confidence"
    ):
        calibration(np.array([0.9]), np.array([True, False]))
    with pytest.raises(CongealError, match="bins is a whole number, at least 1, not 0"):
        calibration(np.array([0.9]), np.array([True]), 0)
