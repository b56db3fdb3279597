from __future__ import annotations

import contextlib
import io
import random
import re
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from encoded import FORMATS, LIMITS, encode, reason, smooth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from congeal.errors import ImageError
from congeal.imaging.decoding import decode, inspect


def test_what_is_no_image_says_so() -> None:
    assert reason(b"") == "empty file"
    for data in (b"\0", b"hello, world" * 50, bytes(1000), b"%PDF-1.7\n", b"\xff\xd8", b"PK\3\4" + bytes(64)):
        assert reason(data) == "not an image"


@pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO", "PCX", "SGI", "EPS"])
def test_only_the_named_formats_are_opened(kind: str) -> None:
    assert reason(encode(smooth(32, 32), kind)) == "not an image"


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (b"8BPS" + bytes(60), "Photoshop"),
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
        (b"\x93NUMPY" + bytes(60), "NumPy array"),
        (b"\0\0\0\x18ftypcrx " + bytes(60), "camera raw"),
    ],
)
def test_a_format_that_is_known_and_not_read_is_named(data: bytes, known: str) -> None:
    assert reason(data) == f"a {known} file, which is not read"


def test_heic_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(smooth(64, 48), "HEIF", **FORMATS["HEIF"])
    assert inspect(data, **LIMITS).format == "HEIF"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert reason(data) == "HEIC photographs need the extra heif: pip install 'congeal[heif]'"


@pytest.mark.parametrize(("kind", "options"), FORMATS.items())
def test_small_and_large_images_are_refused_by_their_header(kind: str, options: dict[str, object]) -> None:
    tiny = encode(np.full((1, 1, 3), 9, np.uint8), kind, **options)
    assert reason(tiny) == "1 x 1 pixels, smaller than 8"
    flat = encode(np.zeros((7, 30, 3), np.uint8), kind, **options)
    assert reason(flat) == "30 x 7 pixels, smaller than 8"
    large = encode(np.zeros((40, 30, 3), np.uint8), kind, **options)
    assert reason(large, max_pixels=1199) == "30 x 40 = 1200 pixels, more than the 1199 allowed"
    assert inspect(large, max_pixels=1200, min_side=30).height == 40


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bombs() -> dict[str, bytes]:
    """Files a few bytes long that claim to be enormous."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1 << 16)))
    )
    jpeg = bytearray(encode(smooth(64, 64), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    gif = bytearray(encode(smooth(64, 64), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    bmp = bytearray(encode(smooth(64, 64), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    tiff = bytearray(encode(smooth(64, 64), "TIFF"))
    for tag in (256, 257):
        entry = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff[entry + 8 : entry + 12] = struct.pack("<I", 60_000)
    canvas = (16_382).to_bytes(3, "little") * 2
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    lossless = bytearray(encode(smooth(64, 64), "WEBP", lossless=True))
    lossless[21:25] = (16_382 | 16_382 << 14).to_bytes(4, "little")
    lossy = bytearray(encode(smooth(64, 64), "WEBP"))
    lossy[26:30] = struct.pack("<HH", 16_383, 16_383)
    return {
        "png": png + png_chunk(b"IEND", b""),
        "jpeg": bytes(jpeg),
        "gif": bytes(gif),
        "bmp": bytes(bmp),
        "tiff": bytes(tiff),
        "webp": webp,
        "webp lossless": bytes(lossless),
        "webp lossy": bytes(lossy),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_decompression_bomb_is_never_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        pytest.fail("a pixel buffer was asked for")

    monkeypatch.setattr(Image.core, "new", refuse)
    monkeypatch.setattr("PIL.WebPImagePlugin._webp.WebPAnimDecoder", refuse)
    assert "more than the 178956970 allowed" in reason(bombs()[name], max_pixels=178_956_970)


def test_a_gif_whose_frame_outgrows_its_canvas_is_refused_too() -> None:
    for side in (10_000, 60_000):  # between Pillow's warning and its error, and beyond both
        gif = bytearray(encode(Image.new("P", (16, 16)), "GIF"))
        frame = gif.index(b"\x2c\0\0\0\0\x10\0\x10\0")
        gif[frame + 5 : frame + 9] = struct.pack("<HH", side, side)
        assert re.search(
            "more (pixels )?than the 99999999 allowed", reason(bytes(gif), max_pixels=99_999_999)
        )


def test_a_raised_limit_beats_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"):
        data = encode(smooth(40, 40), kind)
        assert decode(data, max_pixels=1600, min_side=8).shape == (40, 40, 3)
        assert inspect(data, max_pixels=1600, min_side=8).width == 40


def test_huge_text_beside_the_pixels_is_bounded() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 40_000_000, zip=True)
    data = encode(smooth(32, 32), "PNG", pnginfo=text)
    assert len(data) < 100_000
    assert reason(data).startswith("damaged PNG file: Decompressed data too large")


@pytest.mark.parametrize(("kind", "options"), FORMATS.items())
def test_a_file_cut_off_is_found(kind: str, options: dict[str, object]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    data = encode(noise, kind, **options)
    for share in (0.3, 0.6, 0.9):
        assert reason(data[: int(len(data) * share)]).startswith(("truncated", "damaged"))
    assert reason(data[: len(data) // 2]).startswith("truncated") or kind in {
        "WEBP", "AVIF", "JPEG2000",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "options"),
    [*FORMATS.items(), ("JPEG", {"progressive": True}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_a_part_of_a_file_is_refused_or_complete(kind: str, options: dict[str, object]) -> None:
    data = encode(smooth(56, 48), kind, **options)
    whole = decode(data, **LIMITS)
    for length in sorted({*range(1, 40), *range(40, len(data), max(1, len(data) // 60)), len(data) - 1}):
        part = data[:length]
        try:
            inspect(part, **LIMITS)
        except ImageError:
            with pytest.raises(ImageError):
                decode(part, **LIMITS)
            continue
        np.testing.assert_array_equal(decode(part, **LIMITS), whole)


@settings(max_examples=150)
@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_hostile_bytes_end_in_an_image_error_or_an_image(kind: str, seed: int, changes: int) -> None:
    data = bytearray(encode(smooth(24, 20), kind, **FORMATS[kind]))
    chance = random.Random(seed)
    for _ in range(changes):
        # Headers are where parsers go wrong.
        position = chance.randrange(min(len(data), 400) if chance.random() < 0.7 else len(data))
        data[position] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    for read in (inspect, decode):
        with contextlib.suppress(ImageError):
            assert read(bytes(data), **LIMITS) is not None


def test_a_colour_mode_nobody_can_read_is_named() -> None:
    lab = encode(smooth(32, 32), "TIFF")
    lab = bytearray(lab)
    lab[lab.index(struct.pack("<HHI", 262, 3, 1)) + 8] = 8
    assert reason(bytes(lab)) == "unreadable colour mode LAB"
    odd = bytearray(encode(smooth(32, 32), "TIFF"))
    odd[odd.index(struct.pack("<HHI", 262, 3, 1)) + 8] = 9
    assert reason(bytes(odd)).startswith("unreadable colour mode: unknown pixel mode")


def test_odd_metadata_raises_no_warning_in_any_thread() -> None:
    tiff = bytearray(encode(smooth(32, 32), "TIFF", description="x" * 50))
    entry = tiff.index(struct.pack("<HHI", 270, 2, 51))
    tiff[entry + 4 : entry + 8] = struct.pack("<I", 2_000_000)
    samples = [
        bytes(tiff),
        encode(smooth(32, 32), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\xff\xff\0\0"),
    ]
    leaked: list[BaseException] = []

    def read() -> None:
        try:
            for sample in samples * 20:
                decode(sample, **LIMITS)
                inspect(sample, **LIMITS)
        except Warning as warning:
            leaked.append(warning)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not leaked


def test_other_warnings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    decode(encode(smooth(32, 32), "PNG"), **LIMITS)
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(encode(smooth(32, 32), "PNG"))).close()
