from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.labels import Entry, agreeing, carriable, placed

SIZE = (100, 80)
SQUARE = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])


def checked(**marks: object) -> Entry:
    return carriable(Entry("annotation 1", "a", Annotation("a", "bird", **marks)), SIZE)


def test_points_on_the_edge_are_points() -> None:
    edge = np.array([[100.0, 80.0], [-1.0, -1.0], [99.5, -0.5]])
    entry = checked(keypoints=edge)
    assert entry.problems == []
    assert entry.annotation.keypoints.tolist() == [[99.5, 79.5], [-0.5, -0.5], [99.5, -0.5]]


def test_what_lies_off_the_image_is_left_out_and_named() -> None:
    entry = checked(keypoints=np.array([[5.0, 5.0], [130.0, 5.0], [np.nan, np.nan]]))
    assert entry.problems == ["point 1 at (130, 5) lies outside the image of 100 x 80 pixels"]
    np.testing.assert_array_equal(entry.annotation.keypoints[:, 0], [5, np.nan, np.nan])
    assert checked(keypoints=np.array([[130.0, 5.0]])).annotation.empty
    entry = checked(polygons=[SQUARE, SQUARE + 200, SQUARE[:2]])
    assert len(entry.annotation.polygons) == 1
    assert len(entry.problems) == 1
    for box in ((10.0, 10.0, 15.0, 10.0), (200.0, 10.0, 210.0, 20.0), (15.0, 10.0, 10.0, 20.0)):
        entry = checked(box=box, keypoints=np.array([[5.0, 5.0]]))
        assert entry.annotation.box is None
        assert entry.problems == ["its box has no inside on the image"]
    assert checked(mask=np.ones((8, 8), bool)).problems == ["its mask is 8 x 8 pixels, the image 100 x 80"]
    assert checked(mask=np.zeros((80, 100), bool)).problems == ["its mask is empty"]
    assert checked().problems == ["it marks nothing"]


def test_the_usual_number_of_keypoints_is_carried() -> None:
    def entry(name: str, k: int) -> Entry:
        return Entry(name, name, Annotation(name, "bird", keypoints=np.ones((k, 2))))

    found = agreeing([entry("a", 2), entry("b", 3), entry("c", 2)])
    assert [one.annotation.empty for one in found] == [False, True, False]
    assert found[1].problems == ["it has 3 keypoints, most of its kind have 2"]
    with pytest.raises(CongealError, match="2 to 3 keypoints: they must agree"):
        agreeing([entry("a", 2), entry("b", 3)])


def test_places_count_on_images_whatever_their_names() -> None:
    entries = [
        Entry(n, n, Annotation(n, "bird", crowd=crowd))
        for n, crowd in (("a", False), ("./a", False), ("a", True))
    ]
    found = placed([*entries, Entry("", "", None)], {"a": "a", "./a": "a"})
    assert [one.annotation.place for one in found[:3]] == [0, 1, 0]
    assert {one.annotation.image for one in found[:3]} == {"a"}
