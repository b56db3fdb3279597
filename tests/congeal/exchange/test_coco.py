from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.annotations import Annotation
from congeal.errors import CongealError
from congeal.exchange.coco import Category, read, write

BIRD = Category(4, "bird", ("beak", "tail"), ((1, 2),))
FILE: dict[str, Any] = {
    "images": [{"id": 9, "file_name": "a/1.jpg", "width": 100, "height": 80}],
    "categories": [{"id": 4, "name": "bird", "keypoints": ["beak", "tail"], "skeleton": [[1, 2]]}],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "category_id": 4,
            "bbox": [10, 20, 30, 40],
            "segmentation": [[10, 20, 40, 20, 40, 60]],
            "keypoints": [12, 22, 2, 0, 0, 0],
        }
    ],
}

coordinate = st.floats(0, 99).map(lambda value: round(value, 2))
outlines = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=6).map(np.array)


def test_half_a_pixel_lies_between_the_conventions() -> None:
    (annotation,) = read(json.dumps(FILE).encode()).annotations
    # A box from the corner of pixel 10 reaches from half a pixel before its centre.
    assert annotation.box == (9.5, 19.5, 39.5, 59.5)
    assert annotation.polygons[0].tolist() == [[9.5, 19.5], [39.5, 19.5], [39.5, 59.5]]
    # Keypoints are counted from the centres of pixels in both.
    assert annotation.keypoints[0].tolist() == [12, 22]
    assert np.isnan(annotation.keypoints[1]).all()
    assert annotation.keypoint_names == ("beak", "tail")
    assert annotation.image == "a/1.jpg"


@settings(max_examples=40, deadline=None)
@given(outline=outlines, left=coordinate, top=coordinate, width=coordinate, sure=st.floats(0, 1))
def test_there_and_back(outline: np.ndarray, left: float, top: float, width: float, sure: float) -> None:
    given_ = Annotation(
        "a/1.jpg",
        "bird",
        keypoints=np.array([[left, top], [np.nan, np.nan]]),
        keypoint_names=("beak", "tail"),
        keypoint_confidence=np.array([sure, 0.0]),
        polygons=[outline],
        box=(left, top, left + width, top + 1),
        confidence=sure,
        origin=("b.jpg", "c.jpg"),
    )
    file = read(write([given_], {"a/1.jpg": (100, 80)}, [BIRD]))
    (back,) = file.annotations
    np.testing.assert_allclose(back.keypoints, given_.keypoints, atol=0.011)
    np.testing.assert_allclose(back.polygons[0], outline, atol=0.011)
    np.testing.assert_allclose(back.box, given_.box, atol=0.021)
    np.testing.assert_allclose(back.keypoint_confidence, given_.keypoint_confidence, atol=1e-4)
    assert back.confidence == pytest.approx(sure, abs=1e-4)
    assert back.origin == ("b.jpg", "c.jpg")
    assert file.categories == [BIRD]
    assert file.sizes == {"a/1.jpg": (100, 80)}


def test_masks_there_and_back() -> None:
    mask = np.zeros((80, 100), bool)
    mask[10:30, 5:60] = True
    (back,) = read(
        write([Annotation("a", "nest", mask=mask, box=(4.5, 9.5, 59.5, 29.5))], {"a": (100, 80)})
    ).annotations
    np.testing.assert_array_equal(back.mask, mask)


def test_a_labeller_can_sort_by_doubt() -> None:
    sure = replace(read(json.dumps(FILE).encode()).annotations[0], confidence=0.9, origin=("x.jpg",))
    unsure = replace(sure, confidence=0.123, keypoint_confidence=np.array([0.1, 0.0]))
    entries = json.loads(write([sure, unsure], {"a/1.jpg": (100, 80)}, [BIRD]))["annotations"]
    assert [entry["score"] for entry in entries] == [0.9, 0.123]
    assert entries[0]["origin"] == "x.jpg"
    assert [entry["id"] for entry in entries] == [1, 2]
    # Seen, on the image but not seen, and not there.
    assert entries[0]["keypoints"] == [12, 22, 2, 0, 0, 0]
    assert entries[1]["keypoints"] == [12, 22, 1, 0, 0, 0]
    assert entries[1]["keypoint_scores"] == [0.1, 0.0]
    # FiftyOne gives attributes on to labels that have a `confidence` of their own.
    assert not {"confidence", "label", "mask", "points"} & set(entries[1])


def test_new_categories_are_numbered_on() -> None:
    annotations = [Annotation("a", name, box=(0, 0, 5, 5)) for name in ("nest", "bird", "nest")]
    content = json.loads(write(annotations, {"a": (9, 9)}, [BIRD]))
    assert [(entry["id"], entry["name"]) for entry in content["categories"]] == [(4, "bird"), (5, "nest")]
    assert [entry["category_id"] for entry in content["annotations"]] == [5, 4, 5]


def broken(**changes: Any) -> bytes:
    annotation = FILE["annotations"][0] | changes
    return json.dumps(FILE | {"annotations": [annotation]}).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "no JSON"),
        (b"[]", "no COCO file"),
        (b"{}", "no list of images"),
        (json.dumps(FILE | {"images": [{"id": 9}]}).encode(), r"images\[0\] has no file_name"),
        (broken(image_id=3), "annotation 1 is of the image 3"),
        (broken(category_id=3), "annotation 1 is of the category 3"),
        (broken(bbox=[1, 2, 3]), "annotation 1 cannot be read"),
        (broken(bbox=[1, 2, 3, "x"]), "annotation 1 cannot be read"),
        (broken(bbox=[1, 2, 3, float("nan")]), "annotation 1 cannot be read"),
        (broken(segmentation=[[1, 2, 3, 4]]), "three points"),
        (broken(segmentation={"size": [2, 2], "counts": [9]}), "do not add up"),
        (broken(keypoints=[1, 2, 2]), "1 keypoints, 2 in its category"),
    ],
)
def test_what_is_no_coco_file(data: bytes, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        read(data)
