"""Large TIFF files that are read in bands at less than their size: every pixel in its place."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import spots
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from spots import HEIGHT, PLACES, WIDTH, centre

from congeal.errors import ImageError, ImageLimitError
from congeal.imaging import tiff_bands
from congeal.imaging.decoding import decode, decode_window, inspect, square, squares
from congeal.imaging.decoding_cost import MIB, Limits
from congeal.imaging.tiff_bands import banded
from congeal.imaging.tiff_reduction import halvings_of

LITTLE = Limits(memory=5 * MIB // 2)  # too little for the whole


def spot(x: float, y: float) -> np.ndarray:
    shown = spots.spot(x, y)
    return np.stack([shown, shown * 0.7, 250 - shown], 2).round().astype(np.uint8)


def by_pillow(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", **options)
    return buffer.getvalue()


def by_tifffile(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    colours = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, pixels, **{"photometric": colours} | options)
    return buffer.getvalue()


def deep(pixels: np.ndarray) -> np.ndarray:
    """200 times as bright, in 16 bits."""
    return pixels.astype(np.uint16) * 200


def opaque(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], 2)


# The same picture in files of several kinds.
FILES: dict[str, Callable[[np.ndarray], bytes]] = {
    "strips": lambda pixels: by_pillow(pixels, compression="tiff_adobe_deflate", strip_size=5_000),
    "lzw": lambda pixels: by_pillow(pixels, compression="tiff_lzw"),
    "jpeg": lambda pixels: by_pillow(pixels, compression="jpeg", quality=95),
    "alpha": lambda pixels: by_pillow(opaque(pixels)),
    "one strip": lambda pixels: by_tifffile(pixels, rowsperstrip=HEIGHT),
    "tiles": lambda pixels: by_tifffile(pixels, tile=(176, 208), compression="zlib"),
    "big": lambda pixels: by_tifffile(pixels, tile=(64, 64), bigtiff=True),
    "the other order": lambda pixels: by_tifffile(pixels, rowsperstrip=7, byteorder=">"),
    "deep": lambda pixels: by_tifffile(deep(pixels), rowsperstrip=10, compression="zlib"),
    "deep greys": lambda pixels: by_pillow(deep(pixels)[..., 0]),
    "deep tiles": lambda pixels: by_tifffile(
        deep(pixels)[..., 0], tile=(64, 96), byteorder=">", compression="zlib"
    ),
    "floats": lambda pixels: by_tifffile(deep(pixels)[..., 0].astype(np.float32) / 7, rowsperstrip=33),
}


def means(pixels: np.ndarray, scale: int) -> np.ndarray:
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    return pixels.reshape(height, scale, width, scale, 3).mean((1, 3))


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=2)
@given(PLACES, st.sampled_from([1, 2, 3]))
def test_a_pixel_is_the_mean_of_those_it_stands_for(
    kind: str, place: tuple[float, float], times: int
) -> None:
    data, scale = FILES[kind](spot(*place)), 2**times
    # By themselves, deep ones take black and white from the values that there are, and means are others.
    given = None if not kind.startswith(("deep", "floats")) else (0.0, 7e3 if kind == "floats" else 5e4)
    whole = decode(data, value_range=given, limits=None)
    made = decode(data, target=WIDTH // scale, value_range=given, limits=None, reduced=True)
    assert made.shape == (HEIGHT // scale, WIDTH // scale, 3)
    np.testing.assert_allclose(made, means(whole, scale), atol=1.01 if given else 0.51)
    np.testing.assert_allclose(centre(made, scale), place, atol=0.1)


@pytest.mark.parametrize("kind", ["strips", "tiles"])
def test_one_that_does_not_fit_is_read_in_bands(kind: str) -> None:
    data = FILES[kind](spot(500.3, 260.7))
    assert inspect(data, limits=LITTLE) == inspect(data, limits=None)
    with pytest.raises(ImageLimitError):
        decode(data, limits=LITTLE)  # all its pixels are asked for
    made = decode(data, target=64, limits=LITTLE)
    np.testing.assert_array_equal(made, decode(data, target=64, limits=None, reduced=True))
    assert made.shape == (HEIGHT // 8, WIDTH // 8, 3)
    np.testing.assert_array_equal(next(squares(data, (64, 48), limits=LITTLE)), square(made, 64))
    assert decode(data, target=64).shape == (HEIGHT, WIDTH, 3)  # one that fits is read whole


def test_what_lies_on_its_side_is_turned() -> None:
    turned = by_pillow(spot(200.3, 260.7), tiffinfo={274: 6}, compression="tiff_lzw")
    whole = decode(turned, limits=None)
    made = decode(turned, target=128, limits=None, reduced=True)
    np.testing.assert_allclose(made, means(whole, 8), atol=0.51)
    info = inspect(turned, limits=None, reduced=True)
    assert (info.width, info.height) == (HEIGHT, WIDTH)
    assert info == inspect(turned, limits=None)


def test_squares_and_windows_are_of_the_smaller_picture() -> None:
    data = FILES["tiles"](spot(500.3, 260.7))
    shown = list(squares(data, (64, 48), limits=None, reduced=True))
    np.testing.assert_array_equal(shown[0], square(decode(data, target=64, limits=None, reduced=True), 64))
    for less, all_ in zip(shown, squares(data, (64, 48), limits=None), strict=True):
        assert np.abs(less.astype(int) - all_).max() < 12
    window = decode_window(data, (0.0, -0.3), 0.5, 32, limits=None, reduced=True)
    assert np.abs(window.astype(int) - decode_window(data, (0.0, -0.3), 0.5, 32, limits=None)).max() < 12


def test_what_is_missing_is_no_part_of_a_mean() -> None:
    values = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    values[:, ::2], values[100:132, 200:232] = 5.0, np.nan
    values[0, 0] = 9.0
    made = decode(by_tifffile(values, rowsperstrip=16), target=WIDTH // 8, limits=None, reduced=True)
    assert (made[13:16, 26:28] == 0).all()
    assert len(np.unique(made[1:12, :, 0])) == 1


@pytest.mark.parametrize(
    ("options", "size", "times"),
    [
        ({}, (WIDTH, HEIGHT), 3),
        ({}, (WIDTH + 4, HEIGHT), 2),
        ({}, (WIDTH + 1, HEIGHT), 0),
        ({"compression": "zlib", "rowsperstrip": HEIGHT}, (WIDTH, HEIGHT), 0),  # one strip is all of it
        ({"planarconfig": "separate"}, (WIDTH, HEIGHT), 0),
    ],
)
def test_how_often_a_file_may_be_halved(
    options: dict[str, object], size: tuple[int, int], times: int
) -> None:
    shape = (3, *size[::-1]) if "planarconfig" in options else (*size[::-1], 3)
    data = by_tifffile(np.zeros(shape, np.uint8), **options)
    assert halvings_of(data, 1) == times
    assert halvings_of(data, max(size)) == 0
    assert halvings_of(data, None) == 0


def test_a_file_that_claims_more_than_it_has_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 2**22
    claims = {256: WIDTH, 257: rows, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: rows, 279: 2**32 - 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in claims.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(claims)) + entries + bytes(104)

    def cut(*_: object) -> None:
        pytest.fail("strips are made of rows that the file does not have")

    monkeypatch.setattr(tiff_bands, "_cut", cut)
    assert halvings_of(data, 1) == 0
    with pytest.raises(ImageError, match="more than the"):
        inspect(data)


def test_what_an_editor_wrote_beside_the_picture_is_not_in_every_band() -> None:
    xmp = b" " * 200_000
    data = by_tifffile(spot(300, 300), rowsperstrip=16, extratags=[(700, 1, len(xmp), xmp, True)])
    bands = banded(data)
    assert bands is not None
    assert sum(len(band) for band in bands) < len(data)
    made = decode(data, target=WIDTH // 8, limits=None, reduced=True)
    np.testing.assert_allclose(made, means(spot(300, 300), 8), atol=0.51)


def test_a_big_file_whose_numbers_are_of_8_bytes_is_read_in_bands() -> None:
    data = bytearray(by_tifffile(spot(300, 300), rowsperstrip=16, bigtiff=True, metadata=None))
    (at,) = struct.unpack_from("<Q", data, 8)
    (count,) = struct.unpack_from("<Q", data, at)
    for place in range(at + 8, at + 8 + 20 * count, 20):
        tag, _, values = struct.unpack_from("<HHQ", data, place)
        if tag in (256, 257, 278) and values == 1:
            struct.pack_into("<H", data, place + 2, 16)  # as Bio-Formats has them
    made = decode(bytes(data), target=WIDTH // 8, limits=None, reduced=True)
    np.testing.assert_allclose(made, means(spot(300, 300), 8), atol=0.51)


def test_one_that_ends_too_soon_is_no_picture() -> None:
    data = by_tifffile(spot(300, 300), tile=(64, 64), compression="zlib", metadata=None)
    bands = banded(data)
    assert bands is not None
    cut = data[: max(offset for offset, _ in bands.pieces)]
    with pytest.raises(ImageError, match=r"truncated|damaged|not an image"):
        inspect(cut, limits=None, reduced=True)


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"]), st.binary(max_size=120))
def test_any_header_has_an_answer(start: bytes, rest: bytes) -> None:
    assert halvings_of(start + rest, 1) in range(4)
