"""Images that may take much are decoded in a process of their own, to the same pixels, within limits."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from congeal.errors import ImageError, ImageLimitError
from congeal.imaging import decoding, decoding_cost, decoding_process
from congeal.imaging.decoding import decode, decode_window, inspect, squares
from congeal.imaging.decoding_cost import MIB, Limits

SMALL = Limits(memory=1 * MIB, seconds=1)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    colours = np.stack([across % 251, down % 241, (across + down) % 239, (across * 3) % 256], -1)
    return Image.fromarray(colours.astype(np.uint8), "RGBA").convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as heavy."""
    monkeypatch.setattr(decoding_cost, "ORDINARY", Limits(memory=0, seconds=0))


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("TIFF", "L"), ("WEBP", "RGB"), ("GIF", "P")]
)
def test_what_is_decoded_elsewhere_has_the_same_pixels(kind: str, mode: str, elsewhere: None) -> None:
    data = encoded(picture(210, 130, mode), kind)
    acts: list[Callable[[Limits | None], object]] = [
        lambda limits: inspect(data, limits=limits),
        lambda limits: decode(data, target=60, limits=limits),
        lambda limits: list(squares(data, (64, 40), limits=limits)),
        lambda limits: decode_window(data, (0.2, -0.1), 0.5, 48, limits=limits),
    ]
    for act in acts:
        np.testing.assert_equal(act(Limits()), act(None))


def test_deep_samples_keep_their_range_elsewhere(elsewhere: None) -> None:
    deep = Image.fromarray((np.arange(64 * 48).reshape(48, 64) * 20).astype(np.uint16))
    data = encoded(deep, "PNG")
    for span in (None, (100.0, 5000.0)):
        np.testing.assert_array_equal(
            decode(data, value_range=span), decode(data, value_range=span, limits=None)
        )


def test_a_reason_comes_back_from_elsewhere(elsewhere: None) -> None:
    data = encoded(picture(210, 130), "PNG")
    with pytest.raises(ImageError, match="truncated"):
        inspect(data[: len(data) // 2])
    assert inspect(data).width == 210  # and the process is there for the next one


def test_pixels_that_cannot_fit_are_refused_from_the_header() -> None:
    with pytest.raises(ImageLimitError, match=r"1 MiB allowed by limits\.image_memory \(its pixels alone"):
        decode(encoded(picture(900, 900), "PNG"), limits=SMALL)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {"compression": "tiff_lzw", "strip_size": 3 * MIB})]
)
def test_memory_beyond_what_the_header_tells_ends_in_a_reason(
    kind: str, options: dict[str, object], elsewhere: None
) -> None:
    # 3 MiB of pixels fit, their copies do not.
    data = encoded(picture(1000, 760), kind, **options)
    with pytest.raises(ImageLimitError, match=r"more than the 3 MiB allowed by limits\.image_memory"):
        decode(data, limits=Limits(memory=3 * MIB))
    assert decode(data).shape == (760, 1000, 3)


def test_a_decoder_that_dies_fails_its_image_alone(elsewhere: None) -> None:
    data = encoded(picture(210, 130), "PNG")
    inspect(data)
    decoder = decoding_process._only.started()
    decoder._process.kill()
    decoder._process.wait()
    assert inspect(data).width == 210


def test_one_that_takes_too_long_is_ended(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(210, 130), "PNG")
    monkeypatch.setattr(decoding_process, "GRACE", -4.9)
    os.kill(decoding_process._only.started()._process.pid, signal.SIGSTOP)
    with pytest.raises(ImageLimitError, match=r"more than the 1 s allowed by limits\.image_seconds"):
        inspect(data, limits=Limits(seconds=1))
    assert inspect(data).width == 210


def test_many_scans_of_a_small_file_count() -> None:
    data = encoded(picture(640, 480), "JPEG", progressive=True)
    one = encoded(picture(640, 480), "JPEG")

    def seconds(data: bytes) -> float:
        name, image = decoding.open_image(data, 10**7, 8)
        return decoding_cost.cost(name, data, image, 1, 8).seconds

    assert seconds(data) > 3 * seconds(one)


def test_ordinary_photographs_are_decoded_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a process for an ordinary image")

    monkeypatch.setattr(decoding_process, "ask", never)
    assert inspect(encoded(picture(1600, 1200), "JPEG")).width == 1600
    assert decode(encoded(picture(1600, 1200), "PNG")).shape == (1200, 1600, 3)


def test_threads_share_the_room() -> None:
    shared = decoding_cost._Room(100)
    with shared.held(1000):  # alone, anything
        assert shared._used == 1000
    with shared.held(60), shared.held(40):
        assert shared._used == 100
    assert shared._used == 0


def test_the_limit_of_one_file_does_not_keep_a_larger_one_from_being_read() -> None:
    asked = decoding_process.Asked("decode", 10**9, 8)
    with pytest.raises(ImageLimitError, match="takes more than"):
        decoding_process.ask(encoded(picture(3000, 3000), "PNG"), asked, Limits(4 * MIB, 60.0))
    larger = encoded(picture(9, 9), "PNG") + bytes(256 * MIB)
    _, (found,) = decoding_process.ask(larger, asked, Limits(1024 * MIB, 60.0))
    assert found.shape == (9, 9, 3)
