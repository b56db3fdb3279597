from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from placed_maps import placed

from congeal.geometry.frames import Frame
from congeal.transfer.annotations import Annotation
from congeal.transfer.instance_choice import instance_at, places_of_annotation, places_of_painting
from congeal.transfer.layers import Carried, laid_together
from congeal.transfer.points import Maps

FRAME = Frame(80, 60)


def two() -> dict[int, Maps]:
    """Two things side by side, each map sure on its own half of the image."""
    maps = placed(FRAME, 0.8, (0.0, 0.0), 0.0, 0.8)
    left = np.array(maps.backward_confidence)
    left[:, left.shape[1] // 2 :] = 0.1
    return {0: replace(maps, backward_confidence=left), 1: replace(maps, backward_confidence=left[:, ::-1])}


@given(st.integers(0, 25), st.integers(0, 59))
def test_a_mark_lies_on_the_thing_whose_map_is_surest_there(x: int, y: int) -> None:
    maps = two()
    assert instance_at(np.array([[x, y]], float), maps) == 0
    assert instance_at(np.array([[79 - x, y], [np.nan, np.nan]], float), maps) == 1
    assert instance_at(np.zeros((0, 2)), maps) == 0


def test_whatever_is_marked_has_places() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 50:75] = True
    edit = np.zeros((60, 80, 4), np.uint8)
    edit[mask] = 255
    ring = np.array([[50.0, 10], [75, 10], [75, 50], [50, 50]])
    marks = (
        places_of_painting(mask),
        places_of_painting(edit),
        places_of_annotation(Annotation("a", "x", mask=mask)),
        places_of_annotation(Annotation("a", "x", polygons=[ring])),
        places_of_annotation(Annotation("a", "x", box=(50, 10, 75, 50))),
        places_of_annotation(Annotation("a", "x", keypoints=ring)),
    )
    assert [instance_at(one, two()) for one in marks] == [1] * len(marks)
    assert places_of_annotation(Annotation("a", "x")).shape == (0, 2)


def test_what_lies_on_several_things_is_one_picture() -> None:
    left, right = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    left[:, :3], right[:, 2:] = 200, 100
    masks = laid_together([Carried(left, 0.9), Carried(right, 0.3)], masks=True)
    np.testing.assert_array_equal(masks.pixels, np.maximum(left, right))
    assert 0.3 < masks.confidence < 0.9
    labels = laid_together([Carried(left, 1.0), Carried(right, 1.0)], masks=False)
    assert set(labels.pixels[:, 2]) == {200}
    assert set(labels.pixels[:, 5]) == {100}
    red, blue = (np.zeros((4, 6, 4), np.uint8) for _ in range(2))
    red[:, :3], blue[:, 2:] = (255, 0, 0, 255), (0, 0, 255, 128)
    edits = laid_together([Carried(red, 1.0), Carried(blue, 1.0)], masks=False).pixels
    np.testing.assert_array_equal(edits[:, :3], red[:, :3])
    np.testing.assert_array_equal(edits[:, 3:], blue[:, 3:])
    nothing = laid_together([Carried(left * 0, 0.0), Carried(right * 0, 0.0)], masks=True)
    assert nothing.confidence == 0
