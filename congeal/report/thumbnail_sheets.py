"""Thumbnails in sheets: many images in one WebP file, a cell each."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

LARGE = 192  # side of a cell on a cluster's page, pixels
SMALL = 64  # on the map of all images
WALL = 96  # of an average among those of all clusters
QUALITY = 75
METHOD = 2  # of libwebp, 0 to 6: the time of an encoding doubles with each, its size hardly changes
PLACEHOLDER = (214, 214, 214)


def columns_for(count: int) -> int:
    """Columns of a sheet of so many cells: nearly square, so that a GPU takes it as one texture."""
    return max(1, int(np.ceil(np.sqrt(count))))


def sheet(pictures: Sequence[Pixels | None], cell: int, columns: int) -> bytes:
    """Squares uint8 [s, s, 3] in cells of ``cell`` pixels, row by row, as WebP; None is a placeholder."""
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * cell, max(rows, 1) * cell), PLACEHOLDER)
    for number, picture in enumerate(pictures):
        at = (number % columns * cell, number // columns * cell)
        if picture is None:
            _cross(whole, at, cell)
        else:
            whole.paste(resized(picture, cell), at)
    return webp(whole)


def resized(picture: Pixels, cell: int) -> Image.Image:
    """A square [s, s, 3] at another size."""
    image = Image.fromarray(picture)
    if image.size == (cell, cell):
        return image
    return image.resize(
        (cell, cell), Image.Resampling.BOX if cell * 2 < image.width else Image.Resampling.BICUBIC
    )


def webp(image: Image.Image | Pixels) -> bytes:
    """A picture [h, w, 3] as WebP; the same pixels give the same bytes."""
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    made.save(buffer, "WEBP", quality=QUALITY, method=METHOD)
    return buffer.getvalue()


def _cross(whole: Image.Image, at: tuple[int, int], cell: int) -> None:
    """Two diagonals: here would be a picture."""
    from PIL import ImageDraw

    draw, (x, y), edge = ImageDraw.Draw(whole), at, cell - 1
    for line in (((x, y), (x + edge, y + edge)), ((x, y + edge), (x + edge, y))):
        draw.line(line, fill=(170, 170, 170), width=max(1, cell // 48))
