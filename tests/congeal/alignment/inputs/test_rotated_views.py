from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.inputs.rotated_views import EIGHTH, TURNS, Turned, turned_pixels
from congeal.geometry.frames import cell_centres

SIZE = 96


def spot(place: complex) -> np.ndarray:
    """A black square with a white spot at a place of the frame."""
    cells = cell_centres(SIZE)
    far = np.hypot(cells[..., 0] - place.real, cells[..., 1] - place.imag)
    white = (255 * np.exp(-((far / 0.06) ** 2))).astype(np.uint8)
    return np.repeat(white[..., None], 3, -1)


def middle(image: np.ndarray) -> complex:
    weight = image[..., 0].astype(float)
    cells = cell_centres(SIZE)
    return complex(*(weight[..., None] * cells).sum((0, 1)) / weight.sum())


@given(radius=st.floats(0, 0.7), angle=st.floats(-3.1, 3.1), turn=st.integers(0, TURNS - 1))
def test_what_is_shown_at_a_place_is_turned_with_it(radius: float, angle: float, turn: int) -> None:
    place = radius * np.exp(1j * angle)
    found = middle(turned_pixels(spot(place), turn))
    assert abs(found - place * np.exp(-1j * turn * EIGHTH)) < 0.01


def test_quarter_turns_lose_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 7, 3), np.uint8)
    np.testing.assert_array_equal(turned_pixels(image, 2), np.rot90(image))
    np.testing.assert_array_equal(turned_pixels(turned_pixels(image, 3 * 2), 2), image)


def test_corners_that_come_in_look_like_the_edge() -> None:
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    image[30:60, 30:60] = 0
    assert turned_pixels(image, 1)[0, 0].tolist() == [200, 200, 200]


@pytest.mark.parametrize("turn", range(TURNS))
def test_padding_is_turned_with_the_image(turn: int) -> None:
    g = 32
    # A wide image: above and below it there is nothing.
    valid = np.repeat((np.abs(cell_centres(g)[None, ..., 1]) < 0.5), 1, 0).astype(np.float32)
    blank = np.zeros((1, g, g, 2), np.float32)
    seven = Turned(np.zeros((1, TURNS - 1, g, g, 2)), np.zeros((1, TURNS - 1, g, g)))
    masks = seven.chosen(ImageArrays(blank, blank[..., 0], valid=valid), np.array([turn]), 1.0).valid
    assert masks is not None
    for x, y in ((0.0, 0.3), (0.3, 0.0), (0.0, 0.7), (0.7, 0.0), (0.45, 0.45)):
        place = complex(x, y) * np.exp(-1j * turn * EIGHTH)
        column, row = (int((part + 1) / 2 * g) for part in (place.real, place.imag))
        assert masks[0, row, column] == (abs(y) < 0.5)
