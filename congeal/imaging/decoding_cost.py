"""What decoding an image takes, told from its header: memory, and processor time.

An ordinary image is decoded where it is asked for. One that may take much is decoded in a process of its own
(`congeal.imaging.decoding_process`), whose memory and time are limited; one that cannot fit is refused.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import ImageFile, TiffImagePlugin

from congeal.errors import ImageLimitError
from congeal.imaging.formats import format_of, jpeg2000_tiles, webp_canvas
from congeal.imaging.tiff_bands import banded

MIB = 2**20
_SECONDS_A_PIXEL = {
    "JPEG": 12e-9,
    "PNG": 25e-9,
    "WEBP": 25e-9,
    "GIF": 15e-9,
    "TIFF": 25e-9,
    "BMP": 5e-9,
    "AVIF": 50e-9,
    "HEIF": 60e-9,
    "JPEG2000": 150e-9,
}
_ONE_BYTE = ("1", "L", "P")
_TWO_BYTES = ("LA", "La", "PA", "I;16", "I;16L", "I;16B", "I;16N")
# Bytes a pixel from the file's samples to RGB and its array; of deep samples there are floats in between.
_COPIES, _DEEP_COPIES = 10, 40
_COEFFICIENT = 2  # bytes
_RUN_LENGTH = (1, 2)  # of BMP: Pillow reads it in Python
_SECONDS_A_RUN = 1e-6
_TILES = 1024
_TILE_BYTES = 8192


@dataclass(frozen=True)
class Limits:
    """The most that decoding one image may take. memory: bytes; seconds: of processor time."""

    memory: int = 2048 * MIB
    seconds: float = 60.0


# What is decoded in the process that asks.
ORDINARY = Limits(memory=256 * MIB, seconds=2.0)
# All that is decoded there at a time, by however many threads.
TOGETHER = 512 * MIB


class Heavy(Exception):  # noqa: N818 - no error: the image is to be decoded elsewhere
    """An image that is not to be decoded in this process."""


@dataclass(frozen=True)
class Cost:
    """least: bytes that the pixels alone need. memory: about the most bytes at a time. seconds: about."""

    least: int
    memory: int
    seconds: float


def cost(
    name: str, data: bytes, image: ImageFile.ImageFile, scale: int, bits: int, halvings: int = 0
) -> Cost:
    """Of an image that is opened but not loaded. scale: by what its sides have been divided for that.

    halvings: how often its sides will be halved by decoding less of it.
    """
    shown = image.width * image.height // 4**halvings
    pixels = shown * scale**2
    stored = 1 if image.mode in _ONE_BYTE else 2 if image.mode in _TWO_BYTES else 4
    least = shown * stored
    memory = least + shown * (_COPIES if bits <= 8 else _DEEP_COPIES)
    seconds = pixels * _SECONDS_A_PIXEL.get(name, 100e-9) * (1 if bits <= 8 else 4)
    if name == "JPEG":
        scans = data.count(b"\xff\xda")
        if scans > 1:
            # All coefficients are kept while scans refine them, and every scan goes over all of them.
            memory += pixels * len(image.getbands()) * _COEFFICIENT
            seconds *= 1 + scans / 2
    elif name == "BMP" and image.info.get("compression") in _RUN_LENGTH:
        seconds += len(data) / 2 * _SECONDS_A_RUN
    elif name == "TIFF":
        if halvings and (bands := banded(data)) is not None:
            # All of it is decoded, a band at a time.
            seconds *= 4**halvings
            memory += bands.width * bands.rows * (stored + (_COPIES if bits <= 8 else _DEEP_COPIES))
        if _overlapping(image, len(data)):
            seconds = math.inf
    elif name == "JPEG2000" and (tiles := jpeg2000_tiles(data)) > _TILES:
        memory += tiles * _TILE_BYTES
        seconds = math.inf
    return Cost(least, memory, seconds)


def check_canvas(data: bytes, limits: Limits | None) -> None:
    """Raise `Heavy` for a WebP file whose canvas, which is allocated when it is opened, is not ordinary."""
    if limits is None or format_of(data) != "WEBP" or (canvas := webp_canvas(data)) is None:
        return
    if canvas[0] * canvas[1] * 4 > min(ORDINARY.memory, limits.memory):
        raise Heavy


def check_cost(found: Cost, limits: Limits) -> None:
    """Raise `Heavy` for what is not ordinary, `ImageLimitError` for what cannot fit into the limits."""
    if found.least > limits.memory:
        raise too_much_memory(limits, f"its pixels alone need {math.ceil(found.least / MIB):,} MiB")
    ordinary = found.memory <= min(ORDINARY.memory, limits.memory)
    if not ordinary or found.seconds > min(ORDINARY.seconds, limits.seconds):
        raise Heavy


def too_much_memory(limits: Limits, why: str = "") -> ImageLimitError:
    """The error of an image that does not fit."""
    more = f" ({why})" if why else ""
    return ImageLimitError(
        f"decoding it takes more than the {limits.memory // MIB:,} MiB allowed by limits.image_memory{more}"
    )


def too_much_time(limits: Limits) -> ImageLimitError:
    """The error of an image that takes too long."""
    return ImageLimitError(
        f"decoding it takes more than the {limits.seconds:g} s allowed by limits.image_seconds"
    )


class _Room:
    """Bytes for decoding, shared by the threads of a process; one image alone always finds room."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def held(self, wanted: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + wanted <= self._total)
            self._used += wanted
        try:
            yield
        finally:
            with self._changed:
                self._used -= wanted
                self._changed.notify_all()


room = _Room(TOGETHER)


def _overlapping(image: ImageFile.ImageFile, size: int) -> bool:
    """Whether a TIFF's strips or tiles say that they are more than the file: read one by one, they may be."""
    tags = getattr(image, "tag_v2", {})
    counts = tags.get(TiffImagePlugin.STRIPBYTECOUNTS) or tags.get(TiffImagePlugin.TILEBYTECOUNTS) or ()
    counts = counts if isinstance(counts, tuple) else (counts,)
    return sum(count for count in counts if isinstance(count, int)) > 2 * size
