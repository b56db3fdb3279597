from __future__ import annotations

import numpy as np
import pytest
from placed_maps import identity, placed

from congeal.errors import CongealError
from congeal.geometry.frames import Frame
from congeal.transfer.layers import Painting, carry_labels, carry_layer, carry_mask, over
from congeal.transfer.points import Maps


def edit(width: int, height: int, seed: int = 0) -> np.ndarray:
    """An RGBA edit of noise, partly transparent."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    pixels[: height // 3, :, 3] = 0
    return pixels


def disc(width: int, height: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """How much of every pixel a disc covers, 0 to 255."""
    fine = (np.arange(5) - 2) / 5
    y, x = np.mgrid[:height, :width].astype(float)
    inside = [np.hypot(x + dx - centre[0], y + dy - centre[1]) <= radius for dx in fine for dy in fine]
    return np.rint(np.mean(inside, 0) * 255).astype(np.uint8)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_maps_that_change_nothing_give_back_the_edit() -> None:
    maps = identity(70, 50)
    pixels = edit(70, 50)
    carried = carry_layer([Painting(pixels, maps)], maps)
    shown = pixels[..., 3] > 0
    np.testing.assert_array_equal(carried.pixels[..., 3], pixels[..., 3])
    np.testing.assert_array_equal(carried.pixels[shown], pixels[shown])
    assert carried.confidence == pytest.approx(1)


def test_a_piece_knows_nothing_of_its_borders() -> None:
    # Larger than a tile, shrunk a little, so that two levels of the pyramid are mixed.
    source, target = placed(Frame(900, 700), 0.9), placed(Frame(700, 600), 0.8, (0.05, 0.02), 0.1)
    mask = disc(900, 700, (480, 330), 210)
    whole = carry_mask([Painting(mask, source)], target).pixels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("congeal.transfer.backward_sampling.TILE", 97)
        cut = carry_mask([Painting(mask, source)], target).pixels
        patch.setattr("congeal.transfer.backward_sampling.PATCH", 2_000)
        finer = carry_mask([Painting(mask, source)], target).pixels
    assert np.abs(whole.astype(int) - cut).max() <= 1
    assert np.abs(whole.astype(int) - finer).max() <= 1


def test_a_known_similarity_carries_a_mask() -> None:
    source, target = placed(Frame(300, 220), 0.7, (0.1, 0.0)), placed(Frame(260, 400), 0.5, (0.0, 0.2), 0.6)
    mask = disc(300, 220, (150, 100), 60)
    carried = carry_mask([Painting(mask, source)], target)
    # A similarity takes discs to discs: centre by way of the atlas, radius by the scales and the sides.
    atlas = (np.array(source.frame.to_frame(np.array([150.0, 100.0]))) - [0.1, 0.0]) / 0.7
    cosine, sine = np.cos(0.6), np.sin(0.6)
    turned = np.array([[cosine, -sine], [sine, cosine]]) @ atlas
    centre = target.frame.to_pixels(turned * 0.5 + [0.0, 0.2])
    expected = disc(260, 400, tuple(centre), 60 / 0.7 * 0.5 * target.frame.side / source.frame.side)
    assert overlap(carried.pixels >= 128, expected >= 128) > 0.99
    # Anti-aliased: the grey of the edge says how much of a pixel is covered.
    assert np.abs(carried.pixels.astype(int) - expected).mean() < 0.5
    assert ((carried.pixels > 20) & (carried.pixels < 235)).sum() > 50


def test_what_shrinks_is_averaged() -> None:
    stripes = np.zeros((512, 512, 4), np.uint8)
    stripes[..., 3] = 255
    stripes[:, ::2, 0] = 200
    carried = carry_layer([Painting(stripes, identity(512, 512))], identity(64, 64)).pixels
    inner = carried[4:-4, 4:-4].astype(int)
    assert np.abs(inner[..., 0] - 100).max() <= 2
    assert (inner[..., 3] == 255).all()


def test_no_colour_bleeds_in_from_what_is_transparent() -> None:
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[..., 1] = 255  # green, but transparent
    pixels[20:60, 20:60] = (255, 0, 0, 255)
    carried = carry_layer([Painting(pixels, identity(80, 80))], placed(Frame(33, 47), 0.9, turn=0.3)).pixels
    shown = carried[..., 3] > 0
    assert shown.any()
    assert (carried[shown][:, 0] >= 254).all()
    assert (carried[shown][:, 1] <= 1).all()
    assert (carried[~shown] == 0).all()


def test_confidence_as_alpha_if_asked() -> None:
    source, target = identity(60, 60), identity(60, 60, confidence=0.16)
    pixels = np.full((60, 60, 4), 255, np.uint8)
    plain = carry_layer([Painting(pixels, source)], target)
    faded = carry_layer([Painting(pixels, source)], target, fade=True)
    assert plain.confidence == pytest.approx(0.4)
    assert (plain.pixels[5:-5, 5:-5, 3] == 255).all()
    assert (faded.pixels[5:-5, 5:-5, 3] == 102).all()
    assert (carry_mask([Painting(pixels[..., 3], source)], target, fade=True).pixels[5:-5, 5:-5] == 102).all()


def test_the_surer_of_two_edits_counts_more() -> None:
    red, blue = np.zeros((2, 50, 50, 4), np.uint8)
    red[...], blue[...] = (255, 0, 0, 255), (0, 0, 255, 255)
    sources = [identity(50, 50, 0.9), identity(50, 50, 0.3)]
    carried = carry_layer([Painting(red, sources[0]), Painting(blue, sources[1])], identity(50, 50))
    colour = carried.pixels[25, 25].astype(int)
    # Squared confidence of the way there and back: 0.9 against 0.3.
    assert colour[0] == pytest.approx(255 * 0.75, abs=1)
    assert colour[2] == pytest.approx(255 * 0.25, abs=1)


def test_labels_stay_labels() -> None:
    labels = np.zeros((240, 240), np.uint16)
    labels[40:120, 40:200], labels[120:200, 40:200] = 7, 1000
    carried = carry_labels([Painting(labels, identity(240, 240))], placed(Frame(90, 70), 0.9, turn=0.2))
    assert carried.pixels.dtype == np.uint16
    assert set(np.unique(carried.pixels)) == {0, 7, 1000}
    sizes = [(carried.pixels == name).sum() for name in (7, 1000)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    expected = 80 * 160 * (0.9 * 90 / 240) ** 2
    assert sizes[0] == pytest.approx(expected, rel=0.05)


def test_labels_are_voted_on() -> None:
    maps = [identity(40, 40, 0.5), identity(40, 40, 0.5), identity(40, 40, 0.8)]
    maps_of = [np.full((40, 40), name, np.uint8) for name in (3, 3, 5)]
    carried = carry_labels([Painting(p, m) for p, m in zip(maps_of, maps, strict=True)], identity(40, 40))
    assert (carried.pixels[2:-2, 2:-2] == 3).all()


def test_paint_on_the_average() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (10, 200, 30, 255)
    target = placed(Frame(200, 200), 0.5)
    carried = carry_layer([Painting(pixels, None)], target).pixels
    rows, columns = np.nonzero(carried[..., 3] >= 128)
    # Half of the atlas, which is half of the frame.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (75, 124, 75, 124)


def test_nothing_lies_beyond_the_atlas() -> None:
    whole = np.full((100, 100), 255, np.uint8)
    source = placed(Frame(100, 100), 0.5)
    carried = carry_mask([Painting(whole, source)], placed(Frame(100, 100), 0.4)).pixels
    rows, columns = np.nonzero(carried >= 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 69, 30, 69)


def test_an_empty_edit_is_nothing_anywhere() -> None:
    carried = carry_layer([Painting(np.zeros((30, 30, 4), np.uint8), identity(30, 30))], identity(20, 20))
    assert not carried.pixels.any()
    assert carried.confidence == 0


@pytest.mark.parametrize(
    ("pixels", "maps", "words"),
    [
        (np.zeros((30, 31, 4), np.uint8), identity(30, 30), "31 x 30 pixels, the image 30 x 30"),
        (np.zeros((30, 30, 3), np.uint8), identity(30, 30), "alpha channel"),
        (np.zeros((30, 31, 4), np.uint8), None, "average of an atlas is square"),
    ],
)
def test_an_edit_that_does_not_fit(pixels: np.ndarray, maps: Maps | None, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        carry_layer([Painting(pixels, maps)], identity(20, 20))


def test_labels_of_two_kinds_and_masks_of_numbers() -> None:
    maps = identity(10, 10)
    two = [Painting(np.zeros((10, 10), kind), maps) for kind in (np.uint8, np.uint16)]
    with pytest.raises(CongealError, match="all of one dtype"):
        carry_labels(two, maps)
    with pytest.raises(CongealError, match="one channel of 8 bits"):
        carry_mask([Painting(np.zeros((10, 10), np.int32), maps)], maps)


def test_a_layer_over_an_image() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    layer = np.zeros((4, 4, 4), np.uint8)
    layer[1, 1], layer[2, 2] = (200, 0, 0, 255), (200, 0, 0, 51)
    mixed = over(image, layer)
    assert mixed[1, 1].tolist() == [200, 0, 0]
    assert mixed[2, 2].tolist() == [120, 80, 80]
    assert (mixed[0] == 100).all()
