from __future__ import annotations

import numpy as np

from congeal.geometry.frames import cell_centres
from congeal.imaging.visualization import GAP, _fitting, average_image, contact_sheet, feature_colours, warped

SIZE = 96


def spot(x: float, y: float) -> np.ndarray:
    """A white blob at frame position (x, y) on grey."""
    at = cell_centres(SIZE) - np.array([x, y])
    light = np.exp(-(at**2).sum(-1) / 0.01)
    return np.repeat((60 + 190 * light)[..., None], 3, -1).astype(np.uint8)


def shifted(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    return cell_centres(32) * scale + np.array([x, y], np.float32)


def brightest(picture: np.ndarray) -> np.ndarray:
    """Frame position of the centre of light."""
    light = np.clip(picture[..., 0].astype(float) - 100, 0, None)
    centres = cell_centres(picture.shape[0])
    return np.asarray((centres * light[..., None]).sum((0, 1)) / light.sum())


def test_a_warped_image_shows_its_content_in_the_atlas_place() -> None:
    moved = warped(spot(0.3, -0.2), shifted(0.3, -0.2, 0.6))
    assert np.abs(brightest(moved)).max() < 0.01


def test_the_identity_changes_nothing_but_rounding() -> None:
    picture = spot(0.1, 0.4)
    again = warped(picture, shifted(0, 0))
    assert np.abs(again.astype(int) - picture).mean() < 0.5
    assert np.abs(again.astype(int) - picture).max() < 9


def test_where_an_image_does_not_reach_there_is_paper_and_no_share_in_the_average() -> None:
    dark, grey = np.full((SIZE, SIZE, 3), 20, np.uint8), np.full((SIZE, SIZE, 3), 120, np.uint8)
    aside = shifted(1.0, 0.0)  # its left half lies on the right half of the image, the rest beyond
    moved = warped(dark, aside)
    assert moved[:, : SIZE // 2 - 2].max() == 20
    assert moved[:, SIZE // 2 + 2 :].min() == 255
    both = average_image(np.stack([dark, grey]), np.stack([aside, shifted(0, 0)]), np.ones(2))
    assert both[:, : SIZE // 2 - 2].max() == 70
    assert both[:, SIZE // 2 + 2 :].min() == 120
    assert average_image(dark[None], aside[None], np.ones(1))[:, -8:].min() == 255


def test_an_aligned_average_is_sharp_and_an_unaligned_one_is_not() -> None:
    places = [(-0.4, 0.0), (0.4, 0.1), (0.0, -0.4), (0.2, 0.4)]
    images = np.stack([spot(*place) for place in places])
    aligned = average_image(images, np.stack([shifted(*place) for place in places]), np.ones(4))
    blurred = average_image(images, np.stack([shifted(0, 0)] * 4), np.ones(4))
    assert aligned.max() > 230
    assert blurred.max() < 130


def test_weights_choose_who_is_seen() -> None:
    images = np.stack([np.full((SIZE, SIZE, 3), 10, np.uint8), np.full((SIZE, SIZE, 3), 200, np.uint8)])
    maps = np.stack([shifted(0, 0)] * 2)
    assert average_image(images, maps, np.array([1.0, 0.0])).max() < 14
    left = np.stack([cell_centres(32)[..., 0] < 0, cell_centres(32)[..., 0] >= 0]).astype(float)
    halves = average_image(images, maps, left)
    assert halves[:, :30].max() < 20
    assert halves[:, -30:].min() > 190


def test_feature_colours_separate_what_differs_and_dim_what_is_not_salient() -> None:
    features = np.zeros((16, 16, 8), np.float16)
    features[:, :8, 0] = 1
    features[:, 8:, 1] = 1
    picture = feature_colours(features, size=64).astype(int)
    assert np.abs(picture[:, 8] - picture[:, -8]).max() > 60
    dim = feature_colours(features, np.zeros((16, 16)), size=64)
    assert dim.mean() < 0.4 * picture.mean()


def test_a_contact_sheet_has_room_for_all() -> None:
    pictures = [np.full((20, 30, 3), shade, np.uint8) for shade in (10, 90, 170)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (2 * (20 + GAP) + GAP, 2 * (30 + GAP) + GAP, 3)
    assert sheet[GAP + 10, GAP + 10, 0] == 10
    assert sheet[GAP + 20 + GAP + 10, GAP + 10, 0] == 170
    captioned = contact_sheet(pictures, columns=5, captions=["one", "two", "three"])
    assert captioned.shape[0] > 20 + 2 * GAP


def test_captions_are_shortened_in_the_middle() -> None:
    def fits(text: str) -> bool:
        return len(text) <= 9

    assert _fitting("a/01.jpg", fits) == "a/01.jpg"
    assert _fitting("photographs/of/2024/01.jpg", fits) == "phot….jpg"
    assert _fitting("a\nb\x00", fits) == "a?b?"
    assert _fitting("翼/一.jpg", fits) == "翼/一.jpg"
    assert _fitting("anything", lambda _: False) == ""


def test_names_on_a_contact_sheet_keep_to_their_pictures() -> None:
    pictures = [np.full((48, 48, 3), 255, np.uint8)] * 2
    sheet = contact_sheet(pictures, 2, ["W" * 40, "b.png"]).astype(int)
    bare = contact_sheet(pictures, 2, ["", ""]).astype(int)
    ink = np.argwhere((sheet != bare).any(-1))
    assert len(ink) > 20
    assert ink[:, 0].min() >= GAP + 48
    left = ink[ink[:, 1] < GAP + 48 + GAP]
    assert left[:, 1].max() < GAP + 48 + GAP
    other = contact_sheet(pictures, 2, ["W" * 40, "c.png"]).astype(int)
    assert (other != sheet).any()
