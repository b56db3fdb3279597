from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.labelme import LabelmeFolder, LabelmeImage, read


def shape(kind: str, *points: tuple[float, float], label: Any = "wing", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": [list(point) for point in points], "shape_type": kind} | more


def file(*shapes: Any, name: str = "a.json", said: str = "a.png") -> LabelmeImage:
    content = {"shapes": shapes, "imagePath": said, "imageData": None, "imageWidth": 80, "imageHeight": 60}
    found = read(name, json.dumps(content).encode())
    assert found is not None
    return found


def marks(*shapes: Any) -> list[Annotation]:
    return [mark.annotation for mark in file(*shapes).marks if mark.annotation is not None]


def test_everything_counts_from_the_corner_of_the_first_pixel() -> None:
    point, line, box, outline, circle = marks(
        shape("point", (10.5, 20.5), group_id=3),
        shape("linestrip", (0.5, 0.5), (1.5, 2.5)),
        shape("rectangle", (40, 50), (10, 20)),
        shape("polygon", (0, 0), (10, 0), (10, 10)),
        shape("circle", (20.5, 20.5), (20.5, 25.5)),
    )
    assert point.keypoints is not None
    assert line.keypoints is not None
    assert point.keypoints.tolist() == [[10, 20]]
    assert line.keypoints.tolist() == [[0, 0], [1, 2]]
    assert box.box == (9.5, 19.5, 39.5, 49.5)
    assert outline.polygons[0].tolist() == [[-0.5, -0.5], [9.5, -0.5], [9.5, 9.5]]
    np.testing.assert_allclose(np.linalg.norm(circle.polygons[0] - [20, 20], axis=1), 5)
    assert point.kind != line.kind


def test_images_are_found_from_where_the_file_lies() -> None:
    assert file(name="day1/a.json", said="..\\images\\a.png").image == "images/a.png"
    assert file(name="day1/a.json").image == "day1/a.png"
    folder = LabelmeFolder([file(name="labels/a.json", said="../images/a.png")])
    new = folder.new_files(
        [Annotation("b.png", "wing", box=(0, 0, 9, 9), category_id='["rectangle", null]')],
        {"images/a.png": "a.png"},
        {"b.png": (80, 60)},
    )
    assert {name: json.loads(data)["imagePath"] for name, data in new.items()} == {
        "labels/b.json": "../images/b.png"
    }


coordinate = st.floats(-3, 5000).map(lambda value: round(value, 2))
pair = st.tuples(coordinate, coordinate)
shapes = st.one_of(
    st.builds(lambda p, g: shape("point", p, group_id=g), pair, st.none() | st.integers(0, 3)),
    st.builds(lambda p: shape("linestrip", *p), st.lists(pair, min_size=2, max_size=4)),
    st.builds(lambda p: shape("polygon", *p), st.lists(pair, min_size=3, max_size=5)),
    st.builds(
        lambda p, w: shape("rectangle", p, (round(p[0] + w, 2), round(p[1] + w, 2))), pair, st.integers(0, 99)
    ),
)


@settings(max_examples=40)
@given(given_=st.lists(shapes, min_size=1, max_size=3), sure=st.floats(0, 1))
def test_what_is_carried_is_read_again(given_: list[dict[str, Any]], sure: float) -> None:
    first = file(*given_)
    ones = [mark.annotation for mark in first.marks if mark.annotation is not None]
    assert len(ones) == len(given_)
    carried = [
        Annotation(
            "b.png",
            one.category,
            keypoints=one.keypoints,
            polygons=one.polygons,
            box=one.box,
            confidence=sure,
            origin=("a.png",),
            category_id=one.category_id,
        )
        for one in ones
    ]
    written = LabelmeFolder([first]).new_files(carried, {"a.png": "a.png"}, {"b.png": (80, 60)})
    assert list(written) == ["b.json"]
    content = json.loads(written["b.json"])
    for before, after in zip(given_, content["shapes"], strict=True):
        np.testing.assert_allclose(after["points"], before["points"], atol=0.011)
        assert {key: after[key] for key in ("label", "shape_type")} == {
            key: before[key] for key in ("label", "shape_type")
        }
    again = read("b.json", written["b.json"])
    assert again is not None
    assert again.size == (80, 60)
    found = [mark.annotation for mark in again.marks if mark.annotation is not None]
    assert [one.category_id for one in found] == [one.category_id for one in ones]
    assert all(abs(one.confidence - sure) < 1e-4 and one.origin == ("a.png",) for one in found)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (7, "no shape"),
        (shape("point"), "0 points, and needs 1"),
        (shape("polygon", (1, 2), (3, 4)), "2 points, and needs 3"),
        (shape("mask", (1, 2), (3, 4)), "'mask' is not carried: draw it as a polygon"),
        (shape("point", ("1", 2)), "no pair of numbers"),
        (shape("point", (1e300, 2)), "no pair of numbers"),
        ({"label": "wing", "shape_type": "point"}, "no points"),
        (shape("point", (1, 2), label=None), "no label"),
    ],
)
def test_a_shape_that_cannot_be_read_stops_no_other(broken: Any, said: str) -> None:
    found = file(broken, shape("point", (1, 2))).marks
    assert [said in " ".join(mark.problems) for mark in found] == [True, False]
    assert found[0].name == "shape 0 of a.json"


def test_other_json_is_passed_over_and_broken_json_named() -> None:
    for data in (b"[]", b"{}", b'{"shapes": []}', b'{"shapes": {}, "imagePath": "a.png"}'):
        assert read("a.json", data) is None
    broken = read("day/a.json", b'{"shapes": [')
    assert broken is not None
    assert broken.image == "day/a"
    assert "is no JSON" in broken.marks[0].problems[0]


def test_a_file_that_is_there_is_not_written_anew() -> None:
    folder = LabelmeFolder([file()])
    one = Annotation("a.jpg", "wing", box=(0, 0, 9, 9), category_id='["rectangle", null]')
    with pytest.raises(CongealError, match=r"would both have the file a\.json"):
        folder.new_files([one], {"a.png": "a.png"}, {"a.jpg": (80, 60)})
