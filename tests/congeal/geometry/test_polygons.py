from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.geometry.polygons import area, bounds, clipped, densified, of_box, simplified

BOX = (-0.5, -0.5, 99.5, 79.5)
coordinate = st.floats(-150, 250, allow_nan=False).map(lambda value: round(value, 2))
outlines = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9).map(
    lambda points: np.array(points, np.float64)
)


def test_area_and_bounds_of_a_box() -> None:
    outline = of_box((2, 3, 12, 8))
    assert area(outline) == 50
    assert area(outline[::-1]) == 50
    assert bounds(outline) == (2, 3, 12, 8)


@settings(max_examples=60, deadline=None)
@given(outline=outlines)
def test_densifying_keeps_area_and_corners(outline: np.ndarray) -> None:
    dense = densified(outline, 1.0)
    gaps = np.linalg.norm(np.roll(dense, -1, axis=0) - dense, axis=1)
    assert gaps.max() <= 1 + 1e-9
    assert area(dense) == pytest.approx(area(outline), abs=1e-6)
    assert {tuple(point) for point in outline} <= {tuple(point) for point in dense}


@settings(max_examples=60, deadline=None)
@given(outline=outlines)
def test_simplifying_a_densified_outline_gives_no_more_than_its_corners(outline: np.ndarray) -> None:
    back = simplified(densified(outline, 1.0), 1e-6)
    assert len(back) <= max(len(outline) + 1, 4)
    assert area(back) == pytest.approx(area(outline), abs=1e-2)


@settings(max_examples=60, deadline=None)
@given(outline=outlines)
def test_clipping_stays_inside_and_is_idempotent(outline: np.ndarray) -> None:
    inside = clipped(outline, BOX)
    if len(inside):
        left, top, right, bottom = bounds(inside)
        assert left >= BOX[0] - 1e-9
        assert top >= BOX[1] - 1e-9
        assert right <= BOX[2] + 1e-9
        assert bottom <= BOX[3] + 1e-9
        assert area(clipped(inside, BOX)) == pytest.approx(area(inside), abs=1e-6)


def test_clipping_cuts_a_box_to_what_both_share() -> None:
    assert bounds(clipped(of_box((-20, 10, 50, 200)), BOX)) == (-0.5, 10, 50, 79.5)
    assert area(clipped(of_box((-20, 10, 50, 200)), BOX)) == pytest.approx(50.5 * 69.5)
    assert len(clipped(of_box((-20, -20, -10, -10)), BOX)) == 0
    np.testing.assert_array_equal(clipped(of_box((1, 2, 30, 40)), BOX), of_box((1, 2, 30, 40)))
