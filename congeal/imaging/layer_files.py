"""Edits, masks and label maps out of image files, under the same limits as photographs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from congeal.errors import CongealError
from congeal.imaging.decoding import DEFAULT_MAX_PIXELS
from congeal.imaging.pillow_io import load, open_image

Bytes = npt.NDArray[np.uint8]

MOST_LABEL = 65_535


def read_edit(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Bytes:
    """An edit, uint8 [h, w, 4], RGBA; CongealError if the file has no transparency, or is no image."""
    image = _opened(data, max_pixels)
    if not image.has_transparency_data:
        raise CongealError(
            f"it has no alpha channel (its mode is {image.mode}): save it as RGBA, transparent where "
            "nothing is painted"
        )
    picture: Image.Image = image.convert("LA") if image.mode == "La" else image
    return np.array(picture.convert("RGBA"))


def read_mask(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Bytes:
    """A mask, uint8 [h, w], 0 outside to 255 inside: grey, black and white, or the alpha of an RGBA image.

    0 and 1, and the numbers of a palette, count as outside and inside. An alpha that is opaque everywhere is
    no mask: then the greys are. Raises CongealError for colours without an alpha that says something.
    """
    image = _opened(data, max_pixels)
    if image.mode in ("P", "PA"):
        return np.where(np.array(image.getchannel(0)) > 0, 255, 0).astype(np.uint8)
    if image.mode in ("RGBA", "LA"):
        alpha = np.array(image.getchannel("A"))
        if alpha.min(initial=255) < 255:
            return _levels(alpha)
        *colours, _ = (np.array(channel) for channel in image.split())
        if any((channel != colours[0]).any() for channel in colours):
            raise CongealError(
                "its alpha is opaque everywhere and its pixels are coloured, so nothing says what is inside: "
                "save it grey, or transparent outside"
            )
        return _levels(colours[0])
    if image.mode not in ("1", "L"):
        raise CongealError(
            f"a mask is grey, black and white, or has an alpha channel; its mode is {image.mode}"
        )
    return _levels(np.array(image.convert("L")))


def _levels(values: Bytes) -> Bytes:
    return np.where(values > 0, 255, 0).astype(np.uint8) if values.max(initial=0) <= 1 else values


def read_labels(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> npt.NDArray[Any]:
    """A label map, uint8 or uint16 [h, w], from an image with one channel or a palette (its numbers)."""
    image = _opened(data, max_pixels)
    if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
        raise CongealError(f"a label map has one channel of whole numbers; its mode is {image.mode}")
    values = np.array(image)
    if values.dtype == np.uint8:
        return values
    if values.min(initial=0) < 0 or values.max(initial=0) > MOST_LABEL:
        raise CongealError(
            f"its labels go from {values.min()} to {values.max()}: 0 to {MOST_LABEL} can be read"
        )
    return values.astype(np.uint8 if image.mode == "1" else np.uint16)


def _opened(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    name, image = open_image(data, max_pixels, 1)
    load(name, image)
    return image
