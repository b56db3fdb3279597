from __future__ import annotations

import numpy as np

from congeal.transfer.fusion import combine_points

SIDES = np.array([200.0])


def points(*places: tuple[float, float]) -> np.ndarray:
    """One point of one image, as each source says: [s, 1, 1, 2]."""
    return np.array(places, np.float64).reshape(-1, 1, 1, 2)


def sure(*values: float) -> np.ndarray:
    return np.array(values).reshape(-1, 1, 1)


def test_one_source_comes_back_as_it_is() -> None:
    xy, confidence = combine_points(points((3.1, 4.7)), sure(0.0), SIDES)
    assert xy.tolist() == [[[3.1, 4.7]]]
    assert confidence.tolist() == [[0.0]]


def test_sources_that_agree_are_averaged_by_confidence() -> None:
    xy, confidence = combine_points(points((100, 50), (101, 50)), sure(0.8, 0.4), SIDES)
    np.testing.assert_allclose(xy[0, 0], [100.2, 50], atol=0.03)
    assert 0.65 < confidence[0, 0] < 0.72


def test_one_that_is_far_off_loses_its_say_and_lowers_confidence() -> None:
    xy, confidence = combine_points(points((100, 50), (101, 51), (20, 150)), sure(0.7, 0.7, 0.7), SIDES)
    np.testing.assert_allclose(xy[0, 0], [100.5, 50.5], atol=0.2)
    assert confidence[0, 0] < 0.5
    _, agreed = combine_points(points((100, 50), (101, 51), (100, 51)), sure(0.7, 0.7, 0.7), SIDES)
    assert agreed[0, 0] > 0.65


def test_who_does_not_know_is_not_asked() -> None:
    xy, confidence = combine_points(points((100, 50), (np.nan, np.nan)), sure(0.6, 0.9), SIDES)
    np.testing.assert_allclose(xy[0, 0], [100, 50])
    np.testing.assert_allclose(confidence, 0.6)
    xy, confidence = combine_points(points((np.nan, np.nan), (np.nan, np.nan)), sure(0.6, 0.9), SIDES)
    assert np.isnan(xy).all()
    assert confidence[0, 0] == 0


def test_sources_without_confidence_still_have_a_mean() -> None:
    xy, confidence = combine_points(points((10, 10), (12, 10)), sure(0.0, 0.0), SIDES)
    np.testing.assert_allclose(xy[0, 0], [11, 10])
    assert confidence[0, 0] == 0
