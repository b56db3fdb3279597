from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.alignment.inputs.windows import (
    Windows,
    to_whole_frames,
    window_anchor,
)
from congeal.alignment.model import Alignment, Anchor, Atlas, Exemplars
from congeal.alignment.outcomes import OK
from congeal.errors import CongealError
from congeal.geometry.frames import Frame, cell_centres
from congeal.imaging.decoding import square, window_pixels

R, M = 24, 64
LONG = 1000  # pixels of an image's longer side


def posed(rotation: float, scale: float, shift: tuple[float, float], mirrored: bool) -> Alignment:
    """An image whose maps are its pose, there and back."""
    sign = np.array([-1.0 if mirrored else 1.0, 1.0])
    cosine, sine = np.cos(rotation), np.sin(rotation)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    forward = (cell_centres(R).astype(float) @ turn.T * scale + np.array(shift) * sign) * sign
    backward = ((cell_centres(M) - np.array(shift)) * sign) @ turn / scale
    zero = np.zeros(1, np.float32)
    exemplars: Any = Exemplars(*(np.zeros((1, 1, 2)),) * 2, np.zeros((1, 1)))
    saliency = np.ones((R, R), np.float32)
    atlas = Atlas(np.zeros((R, R, 2), np.float16), saliency, zero, zero[None], zero, exemplars)
    return Alignment(
        status=OK,
        atlas=atlas,
        mirrored=np.array([mirrored]),
        rotation=np.float32([rotation]),
        scale=np.float32([scale]),
        translation=np.float32([shift]),
        forward=forward[None].astype(np.float32),
        forward_confidence=np.ones((1, R, R), np.float32),
        backward=backward[None].astype(np.float32),
        backward_confidence=np.ones((1, M, M), np.float32),
        residual=zero,
        cycle_error=zero,
        fold_fraction=zero,
        coverage=zero,
        support=zero,
        outlier=np.array([False]),
        outlier_reason=[None],
        margin=1.0,
        medoid=0,
    )


def pose(found: Alignment, places: np.ndarray) -> np.ndarray:
    """Places of the atlas in the frame, by an alignment's pose alone."""
    sign = np.array([-1.0 if found.mirrored[0] else 1.0, 1.0])
    cosine, sine = np.cos(float(found.rotation[0])), np.sin(float(found.rotation[0]))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return (places @ turn.T * float(found.scale[0])) * sign + found.translation[0]


poses = st.tuples(
    st.floats(-3, 3),
    st.floats(0.3, 1.0),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    st.booleans(),
)
squares = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(0.25, 1.0))
seen_as = st.one_of(st.just((0.0, False)), st.tuples(st.floats(-3.1, 3.1), st.booleans()))


def window(square: Any, how: Any = (0.0, False)) -> Windows:
    """One window: middle and half a side, turn and mirror state."""
    turn, mirrored = how
    return Windows(np.array([square[:2]]), np.array([square[2]]), np.array([turn]), np.array([mirrored]))


@given(of=poses, square=squares, how=seen_as)
def test_maps_found_in_a_window_are_right_in_the_whole_image(of: Any, square: Any, how: Any) -> None:
    windows = window(square, how)
    inner = posed(*of)
    whole = to_whole_frames(inner, windows)
    tenth = 0.1 * 2 / LONG
    # From the atlas: exactly where the window shows it.
    turn, sign = np.exp(1j * how[0]), np.array([-1.0 if how[1] else 1.0, 1.0])
    shown = (inner.forward[0].astype(float) * sign) @ np.array([1, 1j]) * turn
    expected = np.array(square[:2]) + square[2] * np.stack([shown.real, shown.imag], -1)
    assert np.abs(whole.forward[0] - expected).max() < tenth
    assert np.abs(pose(whole, cell_centres(R).astype(float)) - expected).max() < tenth
    # To the atlas and out again is where one came from, beyond the window, too.
    back = pose(whole, whole.backward[0].astype(float))
    assert np.abs(back - cell_centres(M)).max() < tenth
    assert whole.cycle_error[0] < 1e-3 or not (np.abs(whole.forward) < 1).all(-1).any()


@given(square=squares)
def test_nothing_is_sure_outside_the_window(square: Any) -> None:
    windows = Windows(np.array([square[:2]]), np.array([square[2]]))
    sure = to_whole_frames(posed(0.2, 0.8, (0.0, 0.0), mirrored=False), windows).backward_confidence[0]
    inside = (np.abs(cell_centres(M) - np.array(square[:2])) <= square[2]).all(-1)
    np.testing.assert_allclose(sure[inside], 1)
    assert (sure[~inside] == 0).all()


def test_a_bent_map_does_not_jump_at_the_edge_of_the_window() -> None:
    inner = posed(0.4, 0.9, (0.1, 0.0), mirrored=True)
    bent = 0.1 * np.sin(3 * cell_centres(M)).astype(np.float32)
    inner.backward[:] += bent
    whole = to_whole_frames(inner, Windows(np.array([[0.1, -0.2]]), np.array([0.4])))
    step = 2 / M / 0.4 / 0.9  # of the atlas a cell, by the pose
    for axis in (0, 1):
        assert np.linalg.norm(np.diff(whole.backward[0], axis=axis), axis=-1).max() < 1.6 * step


@given(of=poses, square=squares, how=seen_as)
def test_the_poses_of_an_anchor_go_the_other_way(of: Any, square: Any, how: Any) -> None:
    windows = window(square, how)
    inner = posed(*of)
    whole = to_whole_frames(inner, windows)
    anchor = Anchor(whole.mirrored, whole.rotation, whole.scale, whole.translation, np.ones(1, np.float32))
    back = window_anchor(anchor, windows)
    np.testing.assert_allclose(back.scale, inner.scale, rtol=1e-5)
    np.testing.assert_allclose(back.translation, inner.translation, atol=1e-5)
    np.testing.assert_array_equal(back.mirrored, inner.mirrored)
    np.testing.assert_allclose(np.exp(1j * back.rotation), np.exp(1j * inner.rotation), atol=1e-5)


@given(square=squares, how=seen_as, place=st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_a_place_of_a_window_comes_back_and_so_does_the_window(square: Any, how: Any, place: Any) -> None:
    windows, spot = window(square, how), np.array([place])
    np.testing.assert_allclose(windows.to_window(windows.to_frame(spot)), spot, atol=1e-9)
    read = Windows.stored(windows.as_array())
    np.testing.assert_allclose(read.to_frame(spot), windows.to_frame(spot), atol=1e-6)
    upright = Windows(windows.centre, windows.half)
    assert upright.as_array().shape == (1, 3)
    np.testing.assert_array_equal(Windows.stored(upright.as_array()).turns, 0)


@given(
    size=st.tuples(st.integers(40, 160), st.integers(40, 160)),
    square=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.2, 1.0)),
    place=st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)),
    how=seen_as,
)
def test_pixels_of_a_window_show_what_lies_there(size: Any, square: Any, place: Any, how: Any) -> None:
    width, height = size
    frame, windows = Frame(width, height), window(square, how)
    spot = windows.to_frame(np.array([place]))[0]
    at = frame.to_pixels(spot)
    if not frame.inside(at) or min(at.min(), width - at[0], height - at[1]) < 12:
        return  # too near to the edge of the image for all of the spot to show
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    white = 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 2 / 2.0**2)
    image = np.repeat(white.round().astype(np.uint8)[..., None], 3, -1)
    seen = windows.pixels(0, 128, partial(window_pixels, image))
    weight = seen[..., 0].astype(float) ** 2
    if weight[[0, -1]].any() or weight[:, [0, -1]].any():
        return
    middle = (weight[..., None] * cell_centres(128)).sum((0, 1)) / weight.sum()
    # In pixels of the image.
    assert np.abs(windows.to_frame(middle[None])[0] - spot).max() / frame.pixel_size < 0.1


def test_of_an_upright_window_the_very_pixels_are_read() -> None:
    halves = np.random.default_rng(0).uniform(0.1, 1, 50)
    windows, asked = Windows(np.zeros((50, 2)), halves), []

    def read(centre: Any, half: float, size: int) -> Any:
        asked.append(half)
        return np.zeros((size, size, 3), np.uint8)

    for row in range(len(windows)):
        windows.pixels(row, 448, read)
    assert asked == halves.tolist()  # to the last bit: so were those of older atlases


def test_what_a_window_shows_beyond_the_image_is_its_edge() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    image[:, -1] = 200
    seen = window_pixels(image, np.array([0.5, 0.0]), 1.0, 40)
    assert (seen[:, -8:] == seen[:, -9:-8]).all()
    assert seen.shape == (40, 40, 3)
    assert (window_pixels(image, np.array([3.0, 3.0]), 0.5, 8) >= 7).all()


def test_the_whole_frame_is_a_window() -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    np.testing.assert_array_equal(window_pixels(image, np.zeros(2), 1.0, 64), square(image, 64))


def test_tokens_beyond_the_image_are_known() -> None:
    windows = Windows(np.array([[0.75, 0.0]]), np.array([0.5]))
    mask = windows.on_image([Frame(100, 100)], 4, 1.0)[0]
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0]] * 4)


def test_a_window_has_a_side() -> None:
    with pytest.raises(CongealError, match="longer than 0"):
        Windows(np.zeros((1, 2)), np.zeros(1))
