from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from congeal.geometry.polygons import area, bounds, clipped, densified, of_box, simplified

BOX = (-0.5, -0.5, 99.5, 79.5)
coordinate = st.floats(-150, 250, allow_nan=False).map(lambda value: round(value, 2))
outlines = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9, unique=True).map(
    lambda points: np.array(points, np.float64)
)


def test_area_and_bounds_of_a_box() -> None:
    outline = of_box((2, 3, 12, 8))
    assert area(outline) == 50
    assert area(outline[::-1]) == 50
    assert bounds(outline) == (2, 3, 12, 8)


@settings(max_examples=60)
@given(outline=outlines)
def test_densifying_keeps_area_and_corners(outline: np.ndarray) -> None:
    dense = densified(outline, 1.0)
    gaps = np.linalg.norm(np.roll(dense, -1, axis=0) - dense, axis=1)
    assert gaps.max() <= 1 + 1e-9
    assert area(dense) == pytest.approx(area(outline), abs=1e-6)
    assert {tuple(point) for point in outline} <= {tuple(point) for point in dense}


@settings(max_examples=60)
@given(outline=outlines)
def test_simplifying_a_densified_outline_gives_no_more_than_its_corners(outline: np.ndarray) -> None:
    dense = densified(outline, 1.0)
    back = simplified(dense, 1e-9)
    assert area(back) == pytest.approx(area(outline), abs=1e-2)
    if area(outline) > 1 and shapely.Polygon(outline).is_valid:
        assert len(back) <= len(outline) + 1


@pytest.mark.parametrize("size", [0.1, 30])
def test_simplifying_leaves_an_inside(size: float) -> None:
    small = of_box((10, 10, 10 + size, 10 + size))
    dense = densified(small, size / 3)
    assert len(dense) > 4
    assert area(simplified(dense, 0.25)) == pytest.approx(size**2)
    assert len(simplified(of_box((0, 0, 50, 50)), 0.25)) == 4


@settings(max_examples=100)
@given(outline=outlines)
@example(outline=np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))  # with a spike beyond the box
def test_clipping_stays_inside_and_is_idempotent(outline: np.ndarray) -> None:
    for part in clipped(outline, BOX):
        left, top, right, bottom = bounds(part)
        assert left >= BOX[0] - 1e-9
        assert top >= BOX[1] - 1e-9
        assert right <= BOX[2] + 1e-9
        assert bottom <= BOX[3] + 1e-9
        again = clipped(part, BOX)
        assert sum(area(one) for one in again) == pytest.approx(area(part), abs=1e-6)


@settings(max_examples=60)
@given(outline=outlines, cut=st.floats(5, 70))
def test_what_two_boxes_share_out_is_all_that_is_in_both(outline: np.ndarray, cut: float) -> None:
    left, top, right, bottom = BOX
    halves = [(left, top, right, cut), (left, cut, right, bottom)]
    found = sum(area(part) for half in halves for part in clipped(outline, half))
    assert found == pytest.approx(sum(area(part) for part in clipped(outline, BOX)), abs=1e-3)


def one(outline: np.ndarray) -> np.ndarray:
    (part,) = clipped(outline, BOX)
    return part


def test_clipping_cuts_a_box_to_what_both_share() -> None:
    assert bounds(one(of_box((-20, 10, 50, 200)))) == (-0.5, 10, 50, 79.5)
    assert area(one(of_box((-20, 10, 50, 200)))) == pytest.approx(50.5 * 69.5)
    assert clipped(of_box((-20, -20, -10, -10)), BOX) == []
    np.testing.assert_array_equal(one(of_box((1, 2, 30, 40))), of_box((1, 2, 30, 40)))


def test_parts_that_the_box_separates_are_parts() -> None:
    # Two prongs that are joined beyond the right edge: cut off, they are two, and nothing joins them.
    prongs = [[50, 10], [120, 10], [120, 60], [50, 60], [50, 50], [110, 50], [110, 20], [50, 20]]
    parts = clipped(np.array(prongs, np.float64), BOX)
    assert sorted(bounds(part) for part in parts) == [(50, 10, 99.5, 20), (50, 50, 99.5, 60)]
    assert all(shapely.Polygon(part).is_valid for part in parts)


def test_an_outline_that_crosses_itself_has_its_whole_area() -> None:
    bow = np.array([[10, 10], [30, 30], [30, 10], [10, 30]], np.float64)
    assert area(bow) == pytest.approx(200)
    assert one(bow) is bow
    # Half of it is cut off, but for half a pixel beside the middle.
    found = sum(area(part) for part in clipped(bow - [20, 0], BOX))
    assert found == pytest.approx(100 + 0.5**2)


def test_a_hole_stays_a_hole() -> None:
    # A ring is drawn as one outline with a slit.
    ring = [[-9, 0], [60, 0], [60, 60], [-9, 60], [-9, 30], [20, 30], [20, 40], [40, 40], [40, 20], [20, 20]]
    ring += [[20, 30], [-9, 30]]
    parts = clipped(np.array(ring, np.float64), BOX)
    assert sum(area(part) for part in parts) == pytest.approx(60.5 * 60 - 20 * 20)
    middle = shapely.Point(30, 30)
    assert not any(shapely.Polygon(part).covers(middle) for part in parts)


@pytest.mark.parametrize("far", [1e12, 1e154, 1e308])
def test_corners_out_of_all_reason(far: float) -> None:
    (corner,) = clipped(np.array([[0, 0], [far, 0], [0, far]]), BOX)
    assert bounds(corner) == (0, 0, 99.5, 79.5)
    assert clipped(np.array([[-far, far], [far, far], [0, far / 2]]), BOX) == []
