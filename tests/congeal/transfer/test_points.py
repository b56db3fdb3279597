from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_maps import from_atlas

from congeal.errors import CongealError
from congeal.geometry.frames import Frame, cell_centres
from congeal.transfer.points import Maps, interpolate, interpolate_many, transfer


def placed(frame: Frame, scale: float = 0.8, shift: float = 0.0, confidence: float = 1.0) -> Maps:
    """Maps of an image that shows the atlas scaled and shifted to the right."""
    cells = cell_centres(32).astype(np.float64)
    offset = np.array([shift, 0.0])
    full = np.full((32, 32), confidence)
    return Maps(frame, frame.to_pixels(cells * scale + offset), full, (cells - offset) / scale, full)


@settings(max_examples=30)
@given(x=st.floats(-0.99, 0.99), y=st.floats(-0.99, 0.99))
def test_interpolation_is_exact_on_linear_fields_up_to_the_border(x: float, y: float) -> None:
    at = np.array([[x, y]])
    assert np.allclose(interpolate(cell_centres(16).astype(np.float64), at), at, atol=1e-9)


def interpolated_plainly(field: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The same written down as the formula is: one field [r, r, c] as float64, a point at a time."""
    side = len(field)
    layers = field.astype(np.float64)
    values = []
    for u, v in at.astype(np.float64):
        index = [(v + 1) * side / 2 - 0.5, (u + 1) * side / 2 - 0.5]
        if side == 1:
            values.append(layers[0, 0])
            continue
        row, column = (int(min(max(np.floor(one), 0), side - 2)) for one in index)
        down, right = (min(max(one - low, -1.5), 2.5) for one, low in zip(index, (row, column), strict=True))
        top = layers[row, column] * (1 - right) + layers[row, column + 1] * right
        below = layers[row + 1, column] * (1 - right) + layers[row + 1, column + 1] * right
        values.append(top * (1 - down) + below * down)
    return np.array(values).reshape(len(at), layers.shape[2])


@pytest.mark.parametrize("side", [1, 2, 3, 7, 32])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 0), (1, 1), (1, 500), (5, 1), (5, 40), (33, 2)])
@pytest.mark.parametrize("channels", [1, 2])
def test_many_fields_are_interpolated_to_the_bits_of_the_plain_formula(
    side: int, kind: type, n: int, k: int, channels: int
) -> None:
    draw = np.random.default_rng([side, n, k, channels])
    fields = (draw.normal(size=(n, side, side, channels)) * 300).astype(kind)
    # On cells, on borders and far beyond them, too.
    at = draw.uniform(-1.2, 1.2, (k, 2))
    at[::3] = np.round(at[::3] * side) / side
    at[1::7] *= 10
    found = interpolate_many(fields, at)
    assert found.dtype == np.float64
    assert found.shape == (n, k, channels)
    for field, values in zip(fields, found, strict=True):
        assert values.tobytes() == interpolated_plainly(field, at).tobytes()
        assert interpolate(field, at).tobytes() == values.tobytes()
        assert interpolate(field[..., 0], at).tobytes() == values[:, 0].tobytes()


def test_a_point_goes_where_the_two_poses_say() -> None:
    source, target = placed(Frame(200, 200), 0.5), placed(Frame(400, 300), 1.0, shift=0.1)
    found = transfer(np.array([[99.5, 99.5], [124.5, 99.5]]), source, target)
    assert np.allclose(found.xy, [[219.5, 149.5], [319.5, 149.5]], atol=1e-6)
    assert found.visible.all()
    assert np.allclose(found.confidence, 1)


def test_there_and_back_is_the_same_point() -> None:
    one, other = placed(Frame(320, 200), 0.9, 0.05), placed(Frame(150, 220), 0.6, -0.1)
    points = np.array([[150.0, 90.0], [200.0, 120.0], [90.0, 60.0]])
    back = transfer(transfer(points, one, other).xy, other, one)
    assert np.allclose(back.xy, points, atol=1e-6)


def test_a_counterpart_off_the_target_is_not_visible() -> None:
    found = transfer(np.array([[190.0, 100.0]]), placed(Frame(200, 200), 0.95), placed(Frame(200, 200), 1.6))
    assert not found.visible[0]
    assert found.confidence[0] == 0


@pytest.mark.parametrize(("beyond", "sure"), [(0.9, 0.7), (1.1, 0.0)])
def test_an_atlas_reaches_a_cell_beyond_its_border(beyond: float, sure: float) -> None:
    maps = placed(Frame(200, 200), confidence=0.7)
    xy, confidence = from_atlas(np.array([[1 + beyond * 2 / 32, 0.3]]), maps)
    assert confidence[0] == pytest.approx(sure)
    if sure:
        assert np.allclose(xy, maps.frame.to_pixels(np.array([[0.8 * (1 + beyond * 2 / 32), 0.24]])))


def test_low_confidence_is_not_visible_but_answered() -> None:
    found = transfer(
        np.array([[100.0, 100.0]]), placed(Frame(200, 200)), placed(Frame(200, 200), confidence=0.01)
    )
    assert not found.visible[0]
    assert np.isfinite(found.xy).all()


def test_points_outside_the_source_are_named() -> None:
    maps = placed(Frame(100, 80))
    with pytest.raises(CongealError, match=r"point 1 at \(100, 10\) lies outside .* 100 x 80"):
        transfer(np.array([[5.0, 5.0], [100.0, 10.0]]), maps, maps)
    with pytest.raises(CongealError, match="outside"):
        transfer(np.array([[np.nan, 5.0]]), maps, maps)
    with pytest.raises(CongealError, match=r"\[k, 2\]"):
        transfer(np.zeros((3, 3)), maps, maps)


def test_no_points_are_no_points() -> None:
    maps = placed(Frame(100, 80))
    assert transfer(np.zeros((0, 2)), maps, maps).xy.shape == (0, 2)


def test_what_is_no_frame_and_no_maps_is_named() -> None:
    square, sure = np.zeros((4, 4, 2)), np.ones((4, 4))
    size: Any = (80, 60)
    nothing: Any = None
    with pytest.raises(CongealError, match=r"frame is tuple, not congeal\.Frame"):
        Maps(size, square, sure, square, sure)
    maps = Maps(Frame(80, 60), square, sure, square, sure)
    with pytest.raises(CongealError, match=r"target is NoneType, not congeal\.Maps"):
        transfer(np.zeros((1, 2)), maps, nothing)
    with pytest.raises(CongealError, match="width and height of a frame are numbers of pixels, not '80'"):
        Frame("80", 60)
