from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from congeal.errors import CongealError, ImageError
from congeal.imaging.layer_files import read_edit, read_labels, read_mask


def file(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


GREY = Image.fromarray(np.array([[0, 128], [255, 3]], np.uint8))


def test_edits_keep_their_colours_under_transparency() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)
    np.testing.assert_array_equal(read_edit(file(Image.fromarray(pixels))), pixels)
    palette = GREY.convert("P")
    assert read_edit(file(palette, transparency=0)).shape == (2, 2, 4)
    assert read_edit(file(GREY.convert("LA")))[1, 0].tolist() == [255, 255, 255, 255]
    for image in (GREY, GREY.convert("RGB")):
        with pytest.raises(CongealError, match="no alpha channel"):
            read_edit(file(image))
    with pytest.raises(ImageError, match="more than the 3 allowed"):
        read_edit(file(Image.fromarray(pixels)), max_pixels=3)


def test_masks_in_all_their_forms() -> None:
    assert read_mask(file(GREY)).tolist() == [[0, 128], [255, 3]]
    assert read_mask(file(Image.fromarray(np.array([[0, 1]], np.uint8)))).tolist() == [[0, 255]]
    assert read_mask(file(Image.fromarray(np.array([[True, False]])))).tolist() == [[255, 0]]
    layer = np.zeros((1, 2, 4), np.uint8)
    layer[0, 1, 3] = 77
    assert read_mask(file(Image.fromarray(layer))).tolist() == [[0, 77]]
    numbers = Image.fromarray(np.array([[0, 5]], np.uint8))
    numbers.putpalette([0, 0, 0] * 256)
    assert read_mask(file(numbers)).tolist() == [[0, 255]]
    with pytest.raises(CongealError, match="its mode is RGB"):
        read_mask(file(GREY.convert("RGB")))


def test_an_opaque_alpha_is_no_mask() -> None:
    for mode in ("LA", "RGBA"):
        assert read_mask(file(GREY.convert(mode))).tolist() == [[0, 128], [255, 3]]
    numbers = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("LA")
    assert read_mask(file(numbers)).tolist() == [[0, 255]]
    coloured = np.full((1, 2, 4), 255, np.uint8)
    coloured[0, 0, :3] = (200, 30, 30)
    with pytest.raises(CongealError, match="opaque everywhere and its pixels are coloured"):
        read_mask(file(Image.fromarray(coloured)))


def test_labels_are_numbers_whatever_their_colours() -> None:
    numbers = Image.fromarray(np.array([[0, 5]], np.uint8))
    numbers.putpalette([200, 100, 0] * 256)
    assert read_labels(file(numbers)).tolist() == [[0, 5]]
    deep = read_labels(file(Image.fromarray(np.array([[0, 40_000]], np.uint16))))
    assert (deep.dtype, deep.tolist()) == (np.uint16, [[0, 40_000]])
    assert read_labels(file(Image.fromarray(np.array([[True, False]])))).tolist() == [[1, 0]]
    with pytest.raises(CongealError, match="0 to 65535 can be read"):
        read_labels(file(Image.fromarray(np.array([[0, 70_000]], np.int32)), "TIFF"))
    with pytest.raises(CongealError, match="one channel of whole numbers"):
        read_labels(file(GREY.convert("RGB")))
