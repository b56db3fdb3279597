from __future__ import annotations

import base64
import itertools
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoded import FORMATS, LIMITS, encode, smooth
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from congeal.errors import CongealError, ImageError
from congeal.geometry.frames import Frame
from congeal.imaging import decoding
from congeal.imaging.decoding import decode, inspect, square, squares


@pytest.mark.parametrize(("kind", "options"), FORMATS.items())
def test_every_format_is_read(kind: str, options: dict[str, object]) -> None:
    pixels = smooth(60, 44)
    data = encode(pixels, kind, **options)
    info = inspect(data, **LIMITS)
    assert (info.width, info.height, info.format) == (60, 44, kind)
    decoded = decode(data, **LIMITS)
    assert decoded.dtype == np.uint8
    assert decoded.shape == (44, 60, 3)
    # A GIF holds 256 colours.
    assert np.abs(decoded.astype(int) - pixels).mean() < (8 if kind == "GIF" else 2)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_image_upright(kind: str, orientation: int) -> None:
    upright = smooth(64, 40)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    # pillow-heif takes an orientation from bytes alone.
    written = exif.tobytes() if kind == "HEIF" else exif
    data = encode(np.ascontiguousarray(stored), kind, exif=written, **FORMATS[kind])
    info = inspect(data, **LIMITS)
    assert (info.width, info.height) == (64, 40)
    decoded = decode(data, **LIMITS)
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).mean() < 3


def test_a_damaged_exif_block_does_not_lose_the_image() -> None:
    blocks = (b"Exif\0\0garbage that is no TIFF header", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    for block, kind in itertools.product(blocks, ("JPEG", "PNG", "WEBP")):
        data = encode(smooth(40, 32), kind, exif=block)
        assert inspect(data, **LIMITS).width == 40
        assert decode(data, **LIMITS).shape == (32, 40, 3)


COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 190), "white": (255, 255, 255)}


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_looks_right(kind: str, colour: tuple[int, int, int]) -> None:
    data = encode(Image.new("RGB", (32, 32), colour).convert("CMYK"), kind)
    # Pillow writes CMYK JPEGs as Adobe does: inverted, with Adobe's marker.
    assert (b"Adobe" in data) == (kind == "JPEG")
    np.testing.assert_allclose(decode(data, **LIMITS)[16, 16], colour, atol=4)


def test_a_palette_and_its_transparency() -> None:
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 120, 230])
    assert decode(encode(palette, "PNG"), **LIMITS)[3, 3].tolist() == [10, 120, 230]
    palette.paste(0, (0, 0, 8, 16))
    for transparency in (0, b"\0\xff"):
        pixels = decode(encode(palette, "PNG", transparency=transparency), **LIMITS)
        assert pixels[3, 3].tolist() == [255, 255, 255]
        assert pixels[3, 12].tolist() == [10, 120, 230]
    pixels = decode(encode(palette, "GIF", transparency=0), **LIMITS)
    assert pixels[3, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    image = Image.new(mode, (16, 16), (100, 100, 100, 0) if mode == "RGBA" else (100, 0))
    image.paste((100, 100, 100, 255) if mode == "RGBA" else (100, 255), (8, 0, 16, 16))
    image.putpixel((4, 4), (0, 0, 0, 128) if mode == "RGBA" else (0, 128))
    pixels = decode(encode(image, "PNG"), **LIMITS)
    assert pixels[0, 0].tolist() == [255] * 3
    assert pixels[0, 12].tolist() == [100] * 3
    np.testing.assert_allclose(pixels[4, 4], 127, atol=1)


def test_one_bit_and_eight_bit_grey() -> None:
    bits = np.zeros((16, 16), bool)
    bits[:, 8:] = True
    for kind in ("PNG", "TIFF", "BMP"):
        pixels = decode(encode(Image.fromarray(bits), kind), **LIMITS)
        assert pixels[0, 0].tolist() == [0] * 3
        assert pixels[0, 12].tolist() == [255] * 3
    assert decode(encode(np.full((16, 16), 77, np.uint8), "JPEG"), **LIMITS)[8, 8].tolist() == [77] * 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = np.tile(ramp, (16, 1))
    pixels = decode(encode(image, kind), **LIMITS)
    np.testing.assert_allclose(pixels[8, :, 0], ramp / 257, atol=1)
    assert np.ptp(pixels, axis=2).max() == 0


def test_the_bit_depth_a_tiff_states_is_believed() -> None:
    ramp = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (16, 1))
    data = bytearray(encode(ramp, "TIFF"))
    entry = data.index(struct.pack("<HHI", 258, 3, 1)) + 8
    packed = bytearray()
    for first, second in ramp.reshape(-1, 2).tolist():
        packed += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    data[entry : entry + 2] = struct.pack("<H", 12)
    offset = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 273, 4, 1)) + 8)[0]
    data[offset : offset + len(packed)] = packed
    np.testing.assert_allclose(decode(bytes(data), **LIMITS)[8, :, 0], ramp[0] / 4095 * 255, atol=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(0, 1, 64, dtype=np.float32), np.linspace(0, 255, 64)),
        (np.linspace(0, 255, 64, dtype=np.float32), np.linspace(0, 255, 64)),
        (np.linspace(-3, 9, 64, dtype=np.float32), np.linspace(0, 255, 64)),
        (np.linspace(0, 60_000, 64).astype(np.int32), np.linspace(0, 255, 64)),
        (np.linspace(-500_000, 700_000, 64).astype(np.int32), np.linspace(0, 255, 64)),
        (np.full(64, np.nan, np.float32), np.zeros(64)),
    ],
    ids=["fractions", "bytes", "any range", "counts", "wide counts", "not numbers"],
)
def test_float_and_integer_greys_keep_their_contrast(values: np.ndarray, expected: np.ndarray) -> None:
    data = encode(np.tile(values, (16, 1)), "TIFF")
    np.testing.assert_allclose(decode(data, **LIMITS)[8, :, 0], expected, atol=1.01)


def test_a_grey_level_that_is_not_a_number_does_not_spoil_the_others() -> None:
    values = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (16, 1))
    values[0, 0] = np.inf
    values[0, 1] = np.nan
    np.testing.assert_allclose(
        decode(encode(values, "TIFF"), **LIMITS)[8, :, 0], np.linspace(0, 255, 64), atol=1
    )


def test_a_negative_tiff_is_shown_positive() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    data = bytearray(encode(ramp, "TIFF"))
    data[data.index(struct.pack("<HHI", 262, 3, 1)) + 8] = 0
    np.testing.assert_allclose(decode(bytes(data), **LIMITS)[8, :, 0], 255 - ramp[0] / 257, atol=1)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF", "HEIF"])
def test_the_first_of_several_frames_is_the_image(kind: str) -> None:
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("#c02020", "#20c020", "#2020c0")]
    options = FORMATS[kind]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_allclose(decode(data, **LIMITS)[8, 8], [0xC0, 0x20, 0x20], atol=3)
    assert inspect(data, **LIMITS).format == kind


def test_a_multi_picture_jpeg_counts_as_a_jpeg() -> None:
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("#c02020", "#20c020")]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert inspect(data, **LIMITS).format == "JPEG"
    np.testing.assert_allclose(decode(data, **LIMITS)[8, 8], [0xC0, 0x20, 0x20], atol=6)


def dot(width: int, height: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    distance = np.minimum(np.hypot(columns - x, rows - y) / radius, 1)
    bump = (1 + np.cos(np.pi * distance)) / 2
    return np.repeat((bump * 255).round().astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> tuple[float, float]:
    weight = image[..., 0].astype(float)
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return float((weight * columns).sum() / weight.sum()), float((weight * rows).sum() / weight.sum())


@settings(max_examples=60)
@given(
    st.integers(60, 900),
    st.integers(60, 900),
    st.sampled_from([64, 97, 224, 448]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_square_shows_a_dot_where_the_frame_says(
    width: int, height: int, size: int, across: float, down: float
) -> None:
    frame = Frame(width, height)
    pixel = frame.side / size
    radius = max(3 * pixel, 6.0)
    # Nearer to the edge, the padding would repeat the dot's own flank.
    margin = radius + 4 * pixel
    assume(min(width, height) > 2 * margin + 1)
    x, y = (margin + share * (side - 1 - 2 * margin) for share, side in ((across, width), (down, height)))
    image = dot(width, height, x, y, radius)
    uv = frame.to_frame(np.array(centroid(image)))
    expected = (uv + 1) * size / 2 - 0.5
    np.testing.assert_allclose(centroid(square(image, size)), expected, atol=0.1)


def test_square_repeats_the_edges_into_the_padding() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:10] = 200
    image[10:] = 50
    framed = square(image, 60)
    assert framed.shape == (60, 60, 3)
    assert (framed[:20] == 200).all()
    assert (framed[40:] == 50).all()
    np.testing.assert_array_equal(framed[20:40], image)


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 130))
def test_square_of_any_shape_is_square_and_keeps_a_flat_colour(width: int, height: int, size: int) -> None:
    image = np.broadcast_to(np.array([10, 120, 230], np.uint8), (height, width, 3))
    framed = square(np.ascontiguousarray(image), size)
    assert framed.shape == (size, size, 3)
    assert (framed == [10, 120, 230]).all()


@pytest.mark.parametrize("sizes", [(64, 448), (448, 64)])
def test_squares_that_may_be_reduced_have_the_pixels_they_need(sizes: tuple[int, int]) -> None:
    data = encode(smooth(1600, 1200), "JPEG")
    for size, found in zip(sizes, squares(data, sizes, reduced=True), strict=True):
        np.testing.assert_array_equal(found, square(decode(data, target=size), size))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("sides", [(1600, 1200), (810, 1080), (333, 500)])
def test_squares_of_one_reading_are_those_of_two(
    kind: str, sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(smooth(*sides), kind)
    limits = {"max_pixels": 10**7, "min_side": 8}
    expected = [square(decode(data, **limits, target=size), size) for size in (448, 192, 160)]
    scales: list[int | None] = []

    def counted(data: bytes, most: int, least: int, target: int | None, *more: Any) -> object:
        scales.append(target)
        return picture(data, most, least, target, *more)

    picture = decoding._picture
    monkeypatch.setattr(decoding, "_picture", counted)
    for found, wanted in zip(squares(data, (448, 192, 160), **limits), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    # 1600 pixels come at a half for 448, at an eighth for both others; a PNG comes whole, once.
    if kind == "PNG" or sides == (333, 500):
        assert scales == [448]
    elif sides == (1600, 1200):
        assert scales == [448, 192]


def test_mirroring_and_framing_commute() -> None:
    image = smooth(123, 77)
    mirrored = square(np.ascontiguousarray(image[:, ::-1]), 64)
    assert np.abs(mirrored[:, ::-1].astype(int) - square(image, 64)).max() <= 1


def test_square_refuses_what_is_no_picture() -> None:
    with pytest.raises(CongealError, match="float32"):
        square(np.zeros((4, 4, 3), np.float32), 8)
    with pytest.raises(CongealError, match=r"\[4, 4\]"):
        square(np.zeros((4, 4), np.uint8), 8)
    with pytest.raises(CongealError, match="0 pixels"):
        square(np.zeros((4, 4, 3), np.uint8), 0)


def test_a_jpeg_comes_smaller_where_that_loses_nothing() -> None:
    data = encode(dot(1600, 1200, 1203.0, 411.0, 60), "JPEG", quality=95)
    small = decode(data, max_pixels=10**7, min_side=8, target=400)
    assert small.shape == (300, 400, 3)
    expected = (Frame(1600, 1200).to_frame(np.array([1203.0, 411.0])) + 1) * 224 / 2 - 0.5
    np.testing.assert_allclose(centroid(square(np.where(small > 8, small, 0), 224)), expected, atol=0.1)
    assert decode(data, max_pixels=10**7, min_side=8, target=401).shape == (600, 800, 3)
    # An odd size has no exact fraction, and half a pixel at the edge would shift the frame.
    odd = encode(smooth(1601, 1200), "JPEG")
    assert decode(odd, max_pixels=10**7, min_side=8, target=100).shape == (1200, 1601, 3)


def test_decoding_twice_gives_the_same_pixels() -> None:
    data = encode(smooth(640, 480), "JPEG")
    first, second = (square(decode(data, target=200), 224) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_reading_images_does_not_wait_for_torch() -> None:
    code = "import sys, congeal.imaging.decoding; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode
        == 0
    )


# A grey of 24 x 16 pixels, column + 2 * row, as imagecodecs 2026.3.6 writes it without loss.
LOSSLESS_JPEG = base64.b64decode(
    "/9j/xAAWAAEBAQAAAAAAAAAAAAAAAAABAgj/wwALCAAQABgBABEA/9oACAEAAAYAAM/qqqqqqqrSqqqqqqq0qqqqqqqtKqqq"
    "qqqrSqqqqqqq0qqqqqqqtKqqqqqqrSqqqqqqq0qqqqqqqtKqqqqqqrSqqqqqqq0qqqqqqqtKqqqqqqrSqqqqqqq0qqqqqqqt"
    "Kqqqqqqq/9k="
)


def test_a_lossless_jpeg_is_read_at_its_own_scale() -> None:
    values = np.add.outer(2 * np.arange(16), np.arange(24))
    assert inspect(LOSSLESS_JPEG).width == 24
    np.testing.assert_array_equal(decode(LOSSLESS_JPEG, target=3)[..., 0], values)
    assert next(iter(squares(LOSSLESS_JPEG, [3]))).shape == (3, 3, 3)


def test_a_jpeg_of_twelve_bits_is_not_called_damaged() -> None:
    data = encode(Image.new("L", (16, 16)), "JPEG")
    at = data.index(b"\xff\xc0") + 4
    with pytest.raises(ImageError, match="a JPEG of 12 bits a sample, which is not read: save it as"):
        inspect(data[:at] + b"\x0c" + data[at + 1 :])
