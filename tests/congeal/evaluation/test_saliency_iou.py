from __future__ import annotations

import numpy as np
import pytest

from congeal.alignment.maps.confidence import SALIENT
from congeal.errors import CongealError
from congeal.evaluation.saliency_iou import IGNORED, OBJECT, carried_saliency, saliency_iou
from congeal.geometry.frames import Frame, cell_centres
from congeal.transfer.points import Maps

SIDE = 32
# The corners of a square are rounded off between cells.
NEARLY = pytest.approx(1, abs=0.01)


def maps(frame: Frame, scale: float = 1.0, shift: float = 0.0) -> Maps:
    """The atlas at `scale` times the frame's size, moved to the right by `shift` frame units."""
    cells = cell_centres(SIDE)
    ones = np.ones((SIDE, SIDE), np.float32)
    places = (cells - [shift, 0]) / scale
    return Maps(frame, np.asarray(frame.to_pixels(cells * scale + [shift, 0])), ones, places, ones)


def middle() -> np.ndarray:
    """A square in the atlas' middle half, with edges between cells."""
    saliency = np.zeros((SIDE, SIDE), np.float32)
    saliency[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = 1
    return saliency


def drawn(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[rows, columns] = OBJECT
    return mask


def iou(saliency: np.ndarray, seen: Maps, mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> float:
    """Cut at a half: the edge then lies in the middle between a salient cell and one that is not."""
    return saliency_iou(saliency, seen, mask, corner, threshold=0.5)


def test_the_mask_that_the_atlas_says_has_an_iou_of_1() -> None:
    frame = Frame(80, 80)
    assert iou(middle(), maps(frame), drawn(80, 80, slice(20, 60), slice(20, 60))) == NEARLY
    # Twice as far to the right as it is wide: nothing in common.
    assert iou(middle(), maps(frame), drawn(80, 80, slice(20, 60), slice(60, 80))) == 0
    # Half of it, and nothing else.
    assert iou(middle(), maps(frame), drawn(80, 80, slice(20, 60), slice(20, 40))) == pytest.approx(
        0.5, abs=0.01
    )


def test_a_map_moves_and_shrinks_the_object() -> None:
    moved = maps(Frame(80, 60), scale=0.5, shift=0.25)
    # Frame units are 40 pixels, the picture's middle is pixel (39.5, 29.5): the object has 20 of them a side.
    expected = drawn(60, 80, slice(20, 40), slice(40, 60))
    assert iou(middle(), moved, expected) == NEARLY


def test_ignored_pixels_do_not_count() -> None:
    mask = drawn(80, 80, slice(20, 60), slice(20, 40))
    mask[20:60, 40:60] = IGNORED
    assert iou(middle(), maps(Frame(80, 80)), mask) == NEARLY


def test_the_mask_of_a_cropped_image_is_that_of_the_whole_one() -> None:
    mask = drawn(100, 120, slice(30, 70), slice(50, 90))
    assert iou(middle(), maps(Frame(80, 80)), mask, corner=(30, 10)) == NEARLY
    # The crop reaches over the mask's edge; what lies beyond is ignored.
    assert iou(middle(), maps(Frame(80, 80)), mask[:, 70:], corner=(-40, 10)) == NEARLY
    with pytest.raises(CongealError, match="does not cover"):
        iou(middle(), maps(Frame(80, 80)), mask, corner=(500, 0))


def test_nothing_found_where_nothing_is() -> None:
    nothing = np.zeros((SIDE, SIDE), np.float32)
    assert iou(nothing, maps(Frame(40, 40)), np.zeros((40, 40), np.uint8)) == 1


def test_salient_is_what_the_figures_of_an_alignment_take_for_salient() -> None:
    frame = Frame(40, 40)
    whole = drawn(40, 40, slice(0, 40), slice(0, 40))
    just, less = (np.full((SIDE, SIDE), SALIENT + step, np.float32) for step in (0.01, -0.01))
    assert saliency_iou(just, maps(frame), whole) == 1
    assert saliency_iou(less, maps(frame), whole) == 0


def test_beyond_the_atlas_there_is_no_saliency() -> None:
    small = maps(Frame(80, 80), scale=0.5)
    everywhere = np.ones((SIDE, SIDE), np.float32)
    assert carried_saliency(everywhere, small, np.array([[39.5, 39.5], [5.0, 39.5]])).tolist() == [1, 0]
