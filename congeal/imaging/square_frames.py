"""What backbones and pictures are given of an image: its square frame, or a window of it, at a size."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from congeal.errors import CongealError
from congeal.geometry.frames import Frame

Pixels = npt.NDArray[np.uint8]


def square(image: Pixels, size: int) -> Pixels:
    """The image's square frame at `size` x `size` pixels, uint8 [size, size, 3], edges repeated outwards.

    Pixel (column c, row r) shows the frame around `cell_centres(size)[r, c]` of `Frame(w, h)`, antialiased.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise CongealError(f"square needs uint8 pixels [h, w, 3], not {image.dtype} {list(image.shape)}")
    if size < 1:
        raise CongealError(f"a square of {size} pixels a side cannot be made")
    return square_of(Image.fromarray(image), size)


def square_of(image: Image.Image, size: int) -> Pixels:
    """The same of an image in Pillow's mode RGB: uint8 [size, size, 3]."""
    width, height = image.size
    frame = Frame(width, height)
    left, right, x0, x1 = _span(frame.pad[0], width, frame.side, size)
    top, bottom, y0, y1 = _span(frame.pad[1], height, frame.side, size)
    # Cells that lie only partly on the image are left to the padding: what remains is an exact sub-pixel
    # box, so that the frame's coordinates hold whatever the aspect ratio.
    picture = image.resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1), reducing_gap=3.0
    )
    return np.pad(np.asarray(picture), ((top, size - bottom), (left, size - right), (0, 0)), mode="edge")


def window_pixels(image: Pixels, centre: npt.ArrayLike, half: float, size: int) -> Pixels:
    """One window of an image at `size` x `size` pixels, uint8 [size, size, 3], edges repeated outwards.

    Pixel (column c, row r) shows the image around `cell_centres(size)[r, c]` of the window, antialiased,
    whatever the scale at which the image was decoded.

    Args:
        image: uint8 [h, w, 3].
        centre: [2], of the window, frame units.
        half: half the window's side, frame units.
        size: pixels a side.
    """
    return window_of(Image.fromarray(image), centre, half, size)


def window_of(image: Image.Image, centre: npt.ArrayLike, half: float, size: int) -> Pixels:
    """The same of an image in Pillow's mode RGB: uint8 [size, size, 3]."""
    width, height = image.size
    frame = Frame(width, height)
    side = half * frame.side
    # The window's top-left corner from that of the image, in pixels.
    x, y = (np.asarray(centre, np.float64) + 1 - half) * frame.side / 2 - frame.pad
    left, right, x0, x1 = _window_span(float(x), width, side, size)
    top, bottom, y0, y1 = _window_span(float(y), height, side, size)
    picture = image.resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1), reducing_gap=3.0
    )
    return np.pad(np.asarray(picture), ((top, size - bottom), (left, size - right), (0, 0)), mode="edge")


def _span(pad: float, length: int, side: int, size: int) -> tuple[int, int, float, float]:
    """The cells [first, last) wholly on the image along one axis, and the stretch of the image they show."""
    unit = side / size
    first = math.ceil(pad / unit - 1e-9)
    if size - first <= first:
        first = (size - 1) // 2
        return first, size - first, 0.0, float(length)
    begin = first * unit - pad
    return first, size - first, max(begin, 0.0), min(length - begin, float(length))


def _window_span(start: float, length: int, side: float, size: int) -> tuple[int, int, float, float]:
    """The cells [first, last) of a window that lie wholly on the image along one axis, and what they show."""
    unit = side / size
    first = min(max(math.ceil(-start / unit - 1e-9), 0), size - 1)
    last = max(min(math.floor((length - start) / unit + 1e-9), size), first + 1)
    begin, end = start + first * unit, start + last * unit
    # A window that shows less than a cell of the image shows the image's edge.
    begin = min(max(begin, 0.0), length - min(unit, length))
    return first, last, begin, max(min(end, float(length)), begin + min(unit, length) / 2)
