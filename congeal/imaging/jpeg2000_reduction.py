"""JPEG 2000 files at a half, a quarter or an eighth of their size, each pixel where it belongs.

Each level of the wavelet transform keeps every second sample, the even ones: pixel k of a file that is halved
r times shows pixel k · 2^r of the whole, and not the middle of the 2^r pixels from there on, where a smaller
picture is expected to have it: without a shift all lies up to half a reduced pixel too far right and down.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from congeal.imaging.formats import (
    format_of,
    jpeg2000_grid,
    jpeg2000_levels,
    jpeg2000_samples,
    jpeg2000_tiles,
)

MOST = 3  # halvings, as of JPEG
_SAMPLE_BYTES = 8  # of a sample: as OpenJPEG holds it, and as Pillow does
MOST_TILED = 2  # at the edges of its tiles a picture is continued by its mirror image, and bends a little


def halvings_of(data: bytes, target: int | None) -> int:
    """How often the sides of a file may be halved while it is decoded; 0: it is no JPEG 2000, or comes whole.

    The longer side is then at least `target` pixels (None: all are needed), and both sides are exact
    fractions of the original's. The grid of samples must begin with the picture: others are even elsewhere.
    """
    if target is None or format_of(data) != "JPEG2000":
        return 0
    grid = jpeg2000_grid(data)
    if grid is None or grid[:2] != (0, 0):
        return 0
    _, _, width, height = grid
    most = MOST if jpeg2000_tiles(data) == 1 else MOST_TILED
    for times in range(min(most, jpeg2000_levels(data)), 0, -1):
        scale = 2**times
        if width % scale == 0 and height % scale == 0 and max(width, height) // scale >= max(target, 1):
            return times
    return 0


def may_not_fit(data: bytes, memory: int) -> bool:
    """Whether a JPEG 2000 file is likely to need more memory than that as a whole.

    OpenJPEG says nothing of memory that it could not get: what comes of it looks like a damaged file.
    """
    if format_of(data) != "JPEG2000":
        return False
    grid, samples = jpeg2000_grid(data), jpeg2000_samples(data)
    return grid is not None and grid[2] * grid[3] * samples * _SAMPLE_BYTES > memory


def in_place(image: Image.Image, times: int) -> Image.Image:
    """A picture that was halved so often while it was decoded, shifted to where its pixels belong."""
    if not times:
        return image
    shift = 0.5 - 0.5 / 2**times
    pixels = np.asarray(image)
    beyond = Image.fromarray(np.pad(pixels, ((0, 1), (0, 1), *[(0, 0)] * (pixels.ndim - 2)), mode="edge"))
    box = (shift, shift, image.width + shift, image.height + shift)
    # Not by `transform`, whose bicubic kernel is another one: it moves what it shifts by a quarter by 0.34.
    return beyond.resize(image.size, Image.Resampling.BICUBIC, box=box)
