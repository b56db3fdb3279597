"""Samples of more than 8 bits become pixels that keep their contrast."""

from __future__ import annotations

import contextlib
import io
import random
import struct

import numpy as np
import pytest
import tifffile
from deep_greys import SCENE, WANTED, chunk, close, png16, tagged, tiff
from encoded import LIMITS, encode
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from congeal.errors import ImageError
from congeal.imaging.decoding import decode, inspect
from congeal.imaging.intensity_scaling import Samples, eight_bits, value_range

INTEGERS = {
    "10 bits of 16": (0, 1023, np.uint16),
    "12 bits of 16": (0, 4095, np.uint16),
    "counts from 100 to 400": (100, 400, np.uint16),
    "at the top of 16 bits": (33069, 36863, np.uint16),
    "all of 16 bits": (0, 65535, np.uint16),
    "signed, below zero": (-1000, 3000, np.int16),
    "all of signed 16 bits": (-32768, 32767, np.int16),
    "32 bits": (400, 900, np.int32),
    "below zero in 32 bits": (-70_000, 500_000, np.int32),
    "above 2^31": (2**31 + 5, 2**31 + 900_000, np.uint32),
    "all of unsigned 32 bits": (0, 2**32 - 1, np.uint32),
    "64 bits": (-(10**12), 10**12, np.int64),
}
FLOATS = {
    "kelvin": (270, 310),
    "celsius": (-5, 36),
    "reflectance": (0, 0.05),
    "fractions": (0, 1),
    "a highlight above 1": (0, 1.02),
    "metres": (400, 900),
    "tiny": (1e-30, 3e-30),
    "huge": (-3e30, 3e30),
}


@pytest.mark.parametrize(("low", "high", "kind"), INTEGERS.values(), ids=INTEGERS)
@pytest.mark.parametrize("order", "<>")
def test_integers_keep_their_contrast(low: int, high: int, kind: type, order: str) -> None:
    values = np.rint(low + SCENE * (float(high) - low)).clip(low, high).astype(kind)
    close(tiff(values, byteorder=order))
    close(tiff(values, byteorder=order, compression="zlib"))


@pytest.mark.parametrize(("low", "high"), FLOATS.values(), ids=FLOATS)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_keep_their_contrast(low: float, high: float, kind: type) -> None:
    if kind is np.float16 and (high > 60_000 or high < 1e-3):
        low, high = 1.0, 3.0
    values = (low + SCENE * (high - low)).astype(kind)
    atol = 20 if kind is np.float16 else 2.5  # kelvin in half precision has 160 levels
    close(tiff(values), atol=atol)
    close(tiff(values, byteorder=">", compression="zlib"), atol=atol)


def test_the_extremes_of_double_precision() -> None:
    for low, high in ((-1.7e308, 1.7e308), (0, 5e-322), (1.0, 1.0 + 1e-12)):
        values = low * (1 - SCENE) + high * SCENE
        pixels = decode(tiff(values), **LIMITS)
        assert pixels.min() == 0
        assert pixels.max() == 255


def test_deep_colours_are_not_cut_to_their_high_byte() -> None:
    colours = np.stack([SCENE, SCENE[::-1], SCENE[:, ::-1]], axis=-1)
    wanted = np.rint(colours * 255)
    values = np.rint(colours * 4095).astype(np.uint16)
    close(png16(values), wanted)
    for options in (
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "zlib"},
        {"tile": (16, 16)},
    ):
        planes = np.moveaxis(values, -1, 0) if "planarconfig" in options else values
        close(tiff(np.ascontiguousarray(planes), photometric="rgb", **options), wanted)
    close(tiff((colours * 0.05).astype(np.float32), photometric="rgb"), wanted)
    close(tiff(colours * 40 + 270, photometric="rgb"), wanted)


def test_colours_keep_their_hue() -> None:
    values = np.zeros((32, 32, 3), np.uint16)
    values[:, 16:] = (4000, 2000, 1000)
    assert decode(png16(values), **LIMITS)[5, 20].tolist() == [255, 128, 64]


def test_deep_greys_compressed_by_lzw() -> None:
    values = np.rint(SCENE * 4095).astype(np.uint16)
    close(encode(Image.fromarray(values), "TIFF", compression="tiff_lzw"))
    close(encode(Image.fromarray((270 + SCENE * 40).astype(np.float32)), "TIFF", compression="tiff_lzw"))


def test_alpha_of_sixteen_bits_is_laid_over_white() -> None:
    clear = np.full(SCENE.shape, 65535, np.uint16)
    clear[:, :10] = 0
    values = np.rint(SCENE * 1023).astype(np.uint16)
    wanted = WANTED.copy()
    wanted[:, :10] = 255
    seen = SCENE[:, 10:]
    wanted[:, 10:] = np.rint((seen - seen.min()) / np.ptp(seen) * 255)
    close(png16(np.stack([values, clear], -1)), wanted)
    close(png16(np.stack([values, values, values, clear], -1)), wanted)
    layers = np.stack([values, values, values, clear], -1)
    close(tiff(layers, photometric="rgb", extrasamples=["unassalpha"]), wanted)
    close(tiff(layers, photometric="rgb", extrasamples=["unassalpha"], compression="zlib"), wanted)
    # Multiplied by an alpha of one half, what is seen is half the colour over half of white.
    half = np.full(SCENE.shape, 32768, np.uint16)
    layers = np.stack([values // 2] * 3 + [half], -1)
    close(tiff(layers, photometric="rgb", extrasamples=["assocalpha"]), WANTED / 2 + 127.5)


def test_a_transparent_grey_of_a_png_is_white() -> None:
    values = np.rint(100 + SCENE * 900).astype(np.uint16)
    values[:4] = 7
    pixels = decode(png16(values, chunk(b"tRNS", struct.pack(">H", 7))), **LIMITS)
    assert (pixels[:4] == 255).all()
    close(
        png16(values, chunk(b"tRNS", struct.pack(">H", 7))), np.vstack([np.full((4, 64), 255), WANTED[4:]]), 6
    )


@pytest.mark.parametrize("shift", [0, 4], ids=["as counted", "as the standard wants"])
def test_significant_bits_of_a_png(shift: int) -> None:
    # A scene that uses half of its twelve bits stays in its half.
    values = np.rint(SCENE * 2047).astype(np.uint16) << shift
    close(png16(values, chunk(b"sBIT", bytes([12]))), WANTED / 2)
    # One that uses hardly any is stretched nevertheless.
    close(png16(np.rint(100 + SCENE * 300).astype(np.uint16), chunk(b"sBIT", bytes([12]))))


def test_bit_depths_are_known_before_the_pixels() -> None:
    assert inspect(tiff(np.zeros((16, 16), np.float64)), **LIMITS).depth == 64
    assert inspect(tiff(np.zeros((16, 16), np.int16)), **LIMITS).depth == 16
    assert inspect(png16(np.zeros((16, 16, 3), np.uint16)), **LIMITS).depth == 16
    eight = np.zeros((16, 16, 3), np.uint8)
    for kind in ("PNG", "TIFF", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000", "HEIF"):
        assert inspect(encode(eight, kind), **LIMITS).depth == 8


@pytest.mark.parametrize("bits", [9, 12, 16])
def test_deep_jpeg_2000(bits: int) -> None:
    values = np.rint(SCENE * (2**bits - 1) / 3).astype(np.uint16)
    data = bytearray(encode(Image.fromarray(values), "JPEG2000", irreversible=False))
    assert inspect(bytes(data), **LIMITS).depth == 16
    close(bytes(data))
    close(bytes(data), WANTED / 2, value_range=(0, 2 * int(values.max())))


def test_eight_bits_keep_their_bytes() -> None:
    grey = np.rint(60 + SCENE * 40).astype(np.uint8)
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(decode(encode(grey, kind), **LIMITS)[..., 0], grey)
        np.testing.assert_array_equal(decode(encode(grey, kind), **LIMITS, value_range=(0, 5))[..., 1], grey)
    colours = np.stack([grey, grey[::-1], grey[:, ::-1]], -1)
    np.testing.assert_array_equal(decode(encode(colours, "PNG"), **LIMITS), colours)
    stated = tagged(grey, (280, "H", 1, 60), (281, "H", 1, 100), (42113, "s", 0, "60"))
    np.testing.assert_array_equal(decode(stated, **LIMITS)[..., 0], grey)


def test_other_channels_than_a_picture_has_are_named() -> None:
    with pytest.raises(ImageError, match="5 channels of 16 bits"):
        decode(tiff(np.zeros((16, 16, 5), np.uint16), photometric="minisblack", planarconfig="contig"))


def test_a_strip_that_holds_more_than_its_share_is_refused() -> None:
    data = bytearray(tiff(np.zeros((64, 64), np.float64), compression="zlib", rowsperstrip=64))
    # The header promises a shorter image than the strip holds.
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        for name in ("ImageLength", "RowsPerStrip"):
            tag = file.pages.first.tags[name]
            data[tag.offset + 8 : tag.offset + 10] = struct.pack("<H", 16)
    with pytest.raises(ImageError, match="more than its share"):
        decode(bytes(data))


def test_deep_tiffs_that_are_cut_off() -> None:
    for values in (SCENE, SCENE.astype(np.float16), np.stack([SCENE] * 3, -1)):
        data = tiff(values, photometric="rgb" if values.ndim == 3 else "minisblack")
        for share in (0.3, 0.9):
            with pytest.raises(ImageError):
                decode(data[: int(len(data) * share)])


@settings(max_examples=60)
@given(
    st.floats(1e-6, 1e6),
    st.floats(-1e6, 1e6),
    st.integers(0, 2**32 - 1),
    st.integers(8, 40),
    st.integers(8, 40),
)
def test_the_unit_of_a_measurement_does_not_matter(
    factor: float, offset: float, seed: int, height: int, width: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(height, width))
    values *= max(1.0, abs(offset) / factor / 1e6)
    first = eight_bits(Samples(values, 64))
    second = eight_bits(Samples(values * factor + offset, 64))
    assert np.abs(first.astype(int) - second).max() <= 1


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint16, np.int32, np.float32]), st.booleans())
def test_brighter_stays_brighter(seed: int, kind: type, inverted: bool) -> None:
    chance = np.random.default_rng(seed)
    values = (chance.gamma(0.3, 2000, (24, 31))).astype(kind)
    pixels = eight_bits(Samples(values, 16, inverted=inverted)).astype(int)
    order = np.argsort(values.ravel(), kind="stable")
    steps = np.diff(pixels.ravel()[order])
    assert (steps <= 0).all() if inverted else (steps >= 0).all()


@settings(max_examples=40)
@given(st.lists(st.floats(width=32), min_size=64, max_size=64))
def test_any_floats_make_a_picture(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32).reshape(8, 8)
    low, high = value_range(Samples(values, 32))
    assert low <= high
    assert decode(tiff(values), **LIMITS).shape == (8, 8, 3)


def test_a_large_image_is_sampled() -> None:
    values = np.tile(np.linspace(1000, 2000, 1500).astype(np.uint16), (1500, 1))
    low, high = value_range(Samples(values, 16))
    assert low == pytest.approx(1000, abs=3)
    assert high == pytest.approx(2000, abs=3)


def test_tags_that_are_no_numbers_are_no_range() -> None:
    values = np.rint(SCENE * 1000).astype(np.uint16)
    close(tagged(values, (42113, "s", 0, "none at all"), (341, "s", 0, "many")))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_deep_images_are_turned_upright(orientation: int) -> None:
    turns = {1: 0, 3: 2, 6: 1, 8: -1}[orientation]
    stored = np.ascontiguousarray(np.rot90(SCENE, turns))
    told = (274, "H", 1, orientation)
    counts = np.rint(stored * 4095).astype(np.uint16)
    for values in (stored, stored.astype(np.float16), stored.astype(np.float32), counts):
        data = tagged(values, told)
        assert (inspect(data, **LIMITS).width, inspect(data, **LIMITS).height) == (64, 48)
        close(data)
    close(tagged(np.stack([counts] * 3, -1), told, photometric="rgb"))
    close(tagged(np.stack([stored] * 3, -1), told, photometric="rgb"))


@settings(max_examples=150)
@given(st.integers(0, 7), st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_hostile_bytes_in_deep_files_end_in_an_image_error_or_an_image(
    kind: int, seed: int, changes: int
) -> None:
    small = np.rint(SCENE[:20, :24] * 4000)
    colours = np.stack([small] * 3, -1).astype(np.uint16)
    data = bytearray(
        (
            lambda: png16(small.astype(np.uint16)),
            lambda: png16(colours),
            lambda: tiff(small.astype(np.uint16)),
            lambda: tiff(colours, photometric="rgb", compression="zlib"),
            lambda: tiff(small.astype(np.float64)),
            lambda: tiff(small.astype(np.float16), compression="zlib"),
            lambda: tiff(colours.astype(np.float32), photometric="rgb", planarconfig="contig"),
            lambda: encode(Image.fromarray(small.astype(np.uint16)), "JPEG2000"),
        )[kind]()
    )
    chance = random.Random(seed)
    for _ in range(changes):
        position = chance.randrange(min(len(data), 400) if chance.random() < 0.7 else len(data))
        data[position] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    for read in (inspect, decode):
        with contextlib.suppress(ImageError):
            assert read(bytes(data), **LIMITS) is not None
