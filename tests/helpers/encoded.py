"""Files of made-up pictures, for tests of reading them."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from congeal.errors import ImageError
from congeal.imaging.decoding import decode, inspect

pillow_heif.register_heif_opener()  # so that Pillow writes such files for the tests

LIMITS = {"max_pixels": 1_000_000, "min_side": 8}


def smooth(width: int, height: int) -> np.ndarray:
    """A picture no two regions of which are alike, smooth enough to survive JPEG."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    channels = [0.2 + 0.6 * x, 0.2 + 0.6 * y, 0.5 + 0.3 * np.sin(5 * x + 3 * y)]
    return (np.stack(channels, axis=-1) * 255).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def reason(data: bytes, **limits: int) -> str:
    """Why the file is refused: by both readers, with the same words."""
    reasons = []
    for read in (inspect, decode):
        with pytest.raises(ImageError) as caught:
            read(data, **(LIMITS | limits))
        reasons.append(caught.value.reason)
    assert reasons[0] == reasons[1]
    return reasons[0]


FORMATS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "BMP": {},
    "GIF": {},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "JPEG2000": {},
    "HEIF": {"quality": 95, "chroma": 444},
}
