"""Square windows of an image that lie in it at an angle, cut out of upright ones that are large enough."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def enclosing_size(size: int, turn: float) -> int:
    """Pixels a side of an upright window of the same scale and middle that holds a turned one.

    size: of the turned one. turn: radians; at 0 the upright one is the window itself.
    """
    if turn == 0:
        return size
    # Two pixels at each edge for the interpolation. The difference is even: both have one middle.
    reach = size * (abs(math.cos(turn)) + abs(math.sin(turn)))
    return size + 2 * max(math.ceil((reach - size) / 2) + 2, 2)


def cut_turned(pixels: Pixels, turn: float, mirrored: bool, size: int) -> Pixels:
    """A window uint8 [size, size, 3] out of the middle of an upright one of `enclosing_size`.

    The place p of the window, frame units of its own, shows what lies at R(turn)·F·p, in the direction from x
    to y (on a screen: with the clock); F mirrors left to right where mirrored.

    pixels: uint8 [k, k, 3].
    """
    if turn == 0:
        seen = pixels
    else:
        cosine, sine = math.cos(turn), math.sin(turn)
        middle, own = len(pixels) / 2, size / 2
        # Pillow asks where the middle of each pixel comes from.
        affine = (
            cosine, -sine, middle - own * (cosine - sine),
            sine, cosine, middle - own * (sine + cosine),
        )  # fmt: skip
        picture = Image.fromarray(pixels).transform(
            (size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC
        )
        seen = np.asarray(picture)
    return np.ascontiguousarray(seen[:, ::-1]) if mirrored else seen
