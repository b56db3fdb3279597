from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation, together
from congeal.transfer.formats.coco import Category, read, write

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


@settings(max_examples=40)
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


def only(**marks: Any) -> bytes:
    entry = {"id": 1, "image_id": 9, "category_id": 4} | marks
    return json.dumps(FILE | {"annotations": [entry]}).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "no JSON"),
        (b"[]", "no COCO file"),
        (b"{}", "no list of images"),
        (json.dumps(FILE | {"images": [{"id": 9}]}).encode(), r"images\[0\] has no file_name"),
        (json.dumps(FILE | {"images": [{"id": [9], "file_name": "a"}]}).encode(), "must be a number or text"),
        (broken(image_id=3), "annotation 1: it is of the image 3"),
        (broken(category_id=3), "annotation 1: it is of the category 3"),
        (broken(category_id=[3]), r"annotation 1: it is of the category \[3\]"),
        (only(bbox=[1, 2, 3]), "annotation 1: its bbox is left out"),
        (only(bbox=[1, 2, 3, "x"]), "annotation 1: its bbox is left out"),
        (only(bbox=[1, 2, 3, float("nan")]), "annotation 1: its bbox is left out"),
        (only(bbox=[10**400, 2, 3, 4]), "annotation 1: its bbox is left out"),
        (only(segmentation=[[1, 2, 3, 4]]), "three points"),
        (only(segmentation={"size": [2, 2], "counts": [9]}), "do not add up"),
        (only(segmentation="RLE"), "neither a list of outlines nor a mask"),
        (only(keypoints=[1, 2, 2]), "1 keypoints, 2 in its category"),
        (only(keypoints="abc"), "its keypoints are left out"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_coco_file(data: bytes, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        read(data)


def test_a_bad_part_leaves_the_good_ones() -> None:
    square = [10, 20, 40, 20, 40, 60]
    for changes, problem in (
        ({"segmentation": [square, [1, 2, 3, 4]]}, "three points"),
        ({"segmentation": [square, [1, 2, 3]]}, "no list of numbers"),
        ({"bbox": [1, 2]}, "its bbox"),
        ({"keypoints": [1, 2, 2]}, "its keypoints"),
        ({"keypoint_scores": [0.5]}, "its scores"),
    ):
        (mark,) = read(broken(**changes)).marks
        assert mark.name == "annotation 1"
        assert problem in mark.problems[0]
        assert mark.annotation is not None
        assert len(mark.annotation.polygons) == 1
    for changes in ({"bbox": None}, {"bbox": [0, 0, 0, 0]}, {"segmentation": [[]]}, {"segmentation": square}):
        (mark,) = read(broken(**changes)).marks
        assert mark.problems == []


def test_ids_of_any_kind_and_odd_categories() -> None:
    text = json.dumps(
        {
            "images": [
                {"id": "9", "file_name": "a", "width": None},
                {"id": 10, "file_name": "b", "height": "x"},
            ],
            "categories": [
                {"id": "c", "name": "bird", "keypoints": "none", "skeleton": [[1, 2, 3], 7]},
                {"id": 4, "name": "bird", "keypoints": None},
            ],
            "annotations": [
                {"id": "x", "image_id": 9, "category_id": "c", "bbox": [1, 2, 3, 4]},
                {"image_id": "10", "category_id": "4", "bbox": [1, 2, 3, 4], "iscrowd": 1},
            ],
        }
    )
    file = read(text.encode("utf-16"))
    assert [one.image for one in file.annotations] == ["a", "b"]
    assert [one.category_id for one in file.annotations] == ["c", 4]
    assert [one.crowd for one in file.annotations] == [False, True]
    assert file.sizes == {"a": None, "b": None}
    # What has one name and two ids is two kinds of thing.
    groups = together([replace(one, image="a") for one in file.annotations])
    assert len(groups) == 2


def test_an_id_that_two_images_have_is_no_place() -> None:
    images = [{"id": 9, "file_name": name, "width": 100, "height": 80} for name in ("a/1.jpg", "a/2.jpg")]
    with pytest.raises(CongealError, match="it is of the image 9"):
        read(json.dumps(FILE | {"images": images}).encode())


ids = st.integers(-5, 10**12) | st.text(max_size=4)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
unknown = st.dictionaries(st.text(min_size=1, max_size=6).map("my_{}".format), anything, max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """COCO files with all that people and programs write into them."""
    image_ids = draw(st.lists(ids, min_size=1, max_size=3, unique_by=str))
    kinds = draw(st.lists(ids, min_size=1, max_size=3, unique_by=str))
    images = [
        {"id": id_, "file_name": f"{n}.png", "width": 100, "height": 80} | draw(unknown)
        for n, id_ in enumerate(image_ids)
    ]
    categories = [{"id": id_, "name": draw(st.sampled_from(["a", "b"]))} | draw(unknown) for id_ in kinds]
    marks = st.fixed_dictionaries(
        {"image_id": st.sampled_from(image_ids), "category_id": st.sampled_from(kinds)},
        optional={
            "id": ids,
            "bbox": st.sampled_from([[10, 20, 30, 40], [0, 0, 0, 0], [1.50, 2, 0, 3], None, []]),
            "keypoints": st.sampled_from([[12, 22, 2, 30, 5, 1], [0, 0, 0, 0, 0, 0], None, [1, 2]]),
            "segmentation": st.sampled_from(
                [[[10, 20, 40, 20, 40, 60]], [[]], [], None, {"size": [2, 2], "counts": [1, 3]}]
            ),
            "iscrowd": st.sampled_from([0, 1]),
            "area": st.floats(0, 1e9),
            "score": st.floats(0, 1) | st.none(),
            "num_keypoints": st.integers(0, 3),
        },
    )
    first = {"image_id": image_ids[0], "category_id": kinds[0], "bbox": [5, 5, 20, 20]}
    annotations = [first, *[mark | draw(unknown) for mark in draw(st.lists(marks, max_size=4))]]
    parts = {"images": images, "annotations": annotations, "categories": categories} | draw(unknown)
    if draw(st.booleans()):
        parts |= {"info": {"year": 2020}, "licenses": [{"id": 1}]}
    return {name: parts[name] for name in draw(st.permutations(sorted(parts)))}


@settings(max_examples=50)
@given(content=documents(), indent=st.sampled_from([None, 1, 4]), cut=st.booleans())
def test_what_was_in_a_file_comes_back_as_it_was(
    content: dict[str, Any], indent: int | None, cut: bool
) -> None:
    text = json.dumps(content, indent=indent, separators=(",", ":") if cut else None)
    file = read(text.encode())
    carried = [
        Annotation("9.png", one.category, box=(0, 0, 5, 5), confidence=0.5, origin=("0.png",))
        for one in file.annotations[:1]
    ] + [replace(one, image="0.png", confidence=0.5) for one in file.annotations[1:]]
    written = file.written(carried, {f"{n}.png": f"{n}.png" for n in range(3)}, {"9.png": (70, 60)})
    found = json.loads(written)
    for name, value in content.items():
        if name in ("images", "annotations"):
            count = len(value)
            assert [{k: new[k] for k in old} for old, new in zip(value, found[name], strict=False)] == value
            if name == "images":
                assert found[name][:count] == value
            new_ids = [str(entry["id"]) for entry in found[name][count:]]
            old_ids = [str(entry["id"]) for entry in value if "id" in entry]
            assert len({*new_ids, *old_ids}) == len(new_ids) + len(set(old_ids))
        else:
            assert found[name] == value
    added = found["annotations"][len(content["annotations"]) :]
    assert len(added) == len(carried)
    assert all("origin" in entry and entry["score"] == 0.5 for entry in added)
    for entry in found["annotations"]:
        assert {"bbox", "area", "score"} <= entry.keys()


def test_numbers_stay_as_they_are_written() -> None:
    text = json.dumps(FILE).replace("[12, 22, 2, 0, 0, 0]", "[12.500, 2.20e1, 2, 0, 0, 0]").encode()
    written = read(text).written([], {}, {})
    assert b"[12.500, 2.20e1, 2, 0, 0, 0]" in written
    assert written.startswith(text[: text.index(b'"annotations"')])


def test_a_box_around_the_keypoints_where_there_was_none() -> None:
    data = only(keypoints=[12, 22, 2, 30, 10, 1])
    (entry,) = json.loads(read(data).written([], {}, {}))["annotations"]
    # The pixels that the points lie on.
    assert entry["bbox"] == [12, 10, 19, 13]
    assert entry["area"] == 19 * 13
    # Read again, it is no box that a person has drawn.
    (again,) = read(json.dumps(FILE | {"annotations": [entry]}).encode()).annotations
    assert again.box is None
    masked = only(segmentation={"size": [4, 5], "counts": [5, 2, 13]})
    (entry,) = json.loads(read(masked).written([], {}, {}))["annotations"]
    assert (entry["bbox"], entry["area"]) == ([1, 1, 1, 2], 2)
    (entry,) = json.loads(read(only(bbox=[1, 2, 3, 4])).written([], {}, {}))["annotations"]
    assert entry["area"] == 12
    pointed = Annotation("a/1.jpg", "bird", keypoints=np.array([[3.0, 4.0], [5.0, 8.0]]))
    (entry,) = json.loads(write([pointed], {"a/1.jpg": (100, 80)}, [BIRD]))["annotations"]
    assert entry["bbox"] == [3, 4, 3, 5]
