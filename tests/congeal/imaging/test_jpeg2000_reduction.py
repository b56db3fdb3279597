"""Large JPEG 2000 files of which less is decoded: within limits, and with every pixel in its place."""

from __future__ import annotations

import io

import numpy as np
import pytest
import spots
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from spots import HEIGHT, PLACES, WIDTH, centre

from congeal.errors import ImageLimitError
from congeal.imaging.decoding import decode, decode_window, inspect, square, squares
from congeal.imaging.decoding_cost import MIB, Limits
from congeal.imaging.jpeg2000_reduction import halvings_of

LITTLE = Limits(memory=5 * MIB)  # too little for the whole


def spot(x: float, y: float, deep: bool = False) -> np.ndarray:
    shown = spots.spot(x, y)
    return (shown * 200).astype(np.uint16) if deep else shown.round().astype(np.uint8)


def encoded(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG2000", **options)
    return buffer.getvalue()


@settings(max_examples=15)
@given(PLACES, st.sampled_from([1, 2, 3]), st.sampled_from(["lossless", "lossy", "deep", "tiled"]))
def test_what_is_shown_stays_in_its_place(place: tuple[float, float], times: int, kind: str) -> None:
    # Deep ones in tiles are none: Pillow 13.0.0 writes other pixels into them.
    tiled = kind == "tiled"
    tiles = {"tile_size": (208, 176)} if tiled else {}
    data = encoded(spot(*place, deep=kind == "deep"), irreversible=kind == "lossy", **tiles)
    target = WIDTH // 2**times
    made = decode(data, target=target, limits=None, reduced=True)
    scale = WIDTH / made.shape[1]
    assert scale == (4 if tiled and times == 3 else 2**times)
    assert made.shape[0] * scale == HEIGHT
    np.testing.assert_allclose(centre(made, scale), place, atol=0.12 if tiled else 0.1)


@pytest.mark.parametrize("deep", [False, True])
def test_one_that_does_not_fit_is_read_from_less_of_it(deep: bool) -> None:
    data = encoded(spot(500.3, 260.7, deep=deep))
    info = inspect(data, limits=LITTLE)
    assert (info.width, info.height, info.depth) == (WIDTH, HEIGHT, 16 if deep else 8)
    with pytest.raises(ImageLimitError):
        decode(data, limits=LITTLE)  # all its pixels are asked for
    made = decode(data, target=64, limits=LITTLE)
    assert made.shape == (HEIGHT // 8, WIDTH // 8, 3)
    shown = list(squares(data, (64, 48), limits=LITTLE))
    np.testing.assert_array_equal(shown[0], square(made, 64))
    whole = list(squares(data, (64, 48), limits=None))
    for less, all_ in zip(shown, whole, strict=True):
        assert np.abs(less.astype(int) - all_).max() < 12
    window = decode_window(data, (0.0, -0.3), 0.5, 32, limits=LITTLE)
    assert np.abs(window.astype(int) - decode_window(data, (0.0, -0.3), 0.5, 32, limits=None)).max() < 12


def test_one_that_fits_is_read_whole() -> None:
    data = encoded(spot(250.3, 130.7))
    assert decode(data, target=64).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("options", "size", "times"),
    [
        ({}, (WIDTH, HEIGHT), 3),
        ({"num_resolutions": 2}, (WIDTH, HEIGHT), 1),
        ({"num_resolutions": 1}, (WIDTH, HEIGHT), 0),
        ({"tile_size": (128, 128)}, (WIDTH, HEIGHT), 2),
        ({}, (WIDTH + 1, HEIGHT), 0),
        ({"no_jp2": True}, (WIDTH, HEIGHT - 2), 1),
    ],
)
def test_how_often_a_file_may_be_halved(
    options: dict[str, object], size: tuple[int, int], times: int
) -> None:
    data = encoded(np.zeros(size[::-1], np.uint8), **options)
    assert halvings_of(data, 1) == times
    assert halvings_of(data, max(size)) == 0
    assert halvings_of(data, None) == 0


def test_a_picture_that_begins_elsewhere_in_its_grid_comes_whole() -> None:
    data = bytearray(encoded(np.zeros((HEIGHT, WIDTH), np.uint8)))
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 11] += 1  # its right end
    data[at + 19] += 1  # and its left one
    assert halvings_of(bytes(data), 1) == 0


@given(st.binary(max_size=120))
def test_any_header_has_an_answer(rest: bytes) -> None:
    assert halvings_of(b"\xff\x4f\xff\x51" + rest, 1) in range(4)
