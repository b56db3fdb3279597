"""Ranges that are stated or given, samples that are no data or no numbers: what becomes of them."""

from __future__ import annotations

import numpy as np
import pytest
from deep_greys import SCENE, WANTED, close, png16, tagged, tiff
from encoded import LIMITS

from congeal.imaging.decoding import decode


def test_a_range_that_a_tiff_states_is_believed() -> None:
    values = (270 + SCENE * 20).astype(np.float32)
    stated = ((340, "f", 1, 270.0), (341, "f", 1, 310.0))
    close(tagged(values, *stated), WANTED / 2)
    counts = np.rint(SCENE * 2000).astype(np.uint16)
    close(tagged(counts, (280, "H", 1, 0), (281, "H", 1, 4000)), WANTED / 2)
    close(tiff(counts, description="ImageJ=1.54f\nmin=0.0\nmax=4000.0\n", metadata=None), WANTED / 2)
    ome = '<?xml version="1.0"?><OME><Image><Pixels SignificantBits="12"/></Image></OME>'
    close(tiff(np.rint(SCENE * 2047).astype(np.uint16), description=ome, metadata=None), WANTED / 2)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 65535), (5, 5), (9, 3), (40_000, 50_000), (0, 60_000)], ids=str
)
def test_a_stated_range_that_does_not_fit_is_not_believed(low: int, high: int) -> None:
    values = np.rint(300 + SCENE * 700).astype(np.uint16)
    close(tagged(values, (280, "H", 1, low), (281, "H", 1, high)))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32, np.float64, np.float16])
def test_white_is_zero(kind: type) -> None:
    values = np.rint(100 + SCENE * 1000).astype(kind)
    if kind in (np.uint16, np.float32):
        close(tiff(values, photometric="miniswhite"), 255 - WANTED)
        close(tiff(values, photometric="miniswhite", byteorder=">"), 255 - WANTED)
    else:
        close(tiff(values, photometric="miniswhite"), 255 - WANTED)


@pytest.mark.parametrize(("kind", "fill"), [(np.int16, -9999), (np.float32, -3.4028234663852886e38)])
def test_no_data_is_left_out_and_black(kind: type, fill: float) -> None:
    values = np.rint(400 + SCENE * 500).astype(kind)
    values[:12] = fill
    rest = values[12:].astype(float)
    wanted = np.vstack([np.zeros((12, 64)), np.rint((rest - rest.min()) / (rest.max() - rest.min()) * 255)])
    close(tagged(values, (42113, "s", 0, repr(fill))), wanted)
    close(tagged(values, (42113, "s", 0, repr(fill)), photometric="minisblack"), wanted)
    # Nor does a fill value that no tag declares take the contrast away.
    close(tiff(values), wanted)


def test_no_data_may_lie_in_between() -> None:
    values = np.rint(SCENE * 1000).astype(np.int16) - 500
    values[10:14] = 0
    pixels = decode(tagged(values, (42113, "s", 0, "0")), **LIMITS)
    assert (pixels[10:14] == 0).all()
    assert pixels[30].max() > 100


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_what_is_not_a_number_is_black_and_infinity_white(kind: type) -> None:
    values = (1 + SCENE).astype(kind)
    values[0, :3] = np.nan, np.inf, -np.inf
    pixels = decode(tiff(values), **LIMITS)[..., 0]
    assert pixels[0, :3].tolist() == [0, 255, 0]
    np.testing.assert_allclose(pixels[1:], WANTED[1:], atol=3)


@pytest.mark.parametrize(
    "values",
    [
        np.full((16, 16), np.nan, np.float32),
        np.full((16, 16), np.inf, np.float64),
        np.full((16, 16), 300.0, np.float32),
        np.full((16, 16), 65535, np.uint16),
        np.zeros((16, 16), np.int32),
    ],
    ids=["nothing measured", "infinite", "one value", "white", "zero"],
)
def test_an_image_of_nothing_has_one_grey(values: np.ndarray) -> None:
    assert len(np.unique(decode(tiff(values), **LIMITS))) == 1


def test_one_pixel_that_differs_is_seen() -> None:
    values = np.full((64, 64), 500, np.uint16)
    values[9, 9] = 900
    pixels = decode(tiff(values), **LIMITS)[..., 0]
    assert pixels[9, 9] == 255
    assert pixels.sum() == 255


def test_hot_pixels_do_not_take_the_contrast_away() -> None:
    values = np.rint(200 + SCENE * 300).astype(np.uint16)
    values[5, 5] = 65535
    values[6, 6] = 0
    pixels = decode(tiff(values), **LIMITS)[..., 0].astype(float)
    pixels[5, 5] = pixels[6, 6] = WANTED[5, 5]
    assert np.abs(pixels - WANTED).mean() < 4


def test_a_range_that_is_given_counts() -> None:
    values = np.rint(SCENE * 1000).astype(np.uint16)
    for data in (tiff(values), png16(values), tiff(values.astype(np.float64)), tiff(values.astype(np.int32))):
        close(data, WANTED / 2, value_range=(0, 2000))
    close(tagged(values, (280, "H", 1, 0), (281, "H", 1, 1000)), WANTED / 2, value_range=(0, 2000))
    halved = np.clip(np.rint(values * 255.0 / 500), 0, 255)
    close(tiff(values), halved, value_range=(0, 500))
    close(tiff(values, photometric="miniswhite"), 255 - WANTED / 2, value_range=(0, 2000))
    colours = np.stack([values] * 3, -1)
    close(png16(colours), WANTED / 2, value_range=(0, 2000))
