from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.errors import CongealError
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.via import ViaFile, read

SIZES = {"a.png": (100, 80), "b.png": (100, 80)}


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def image(name: str, *regions: Any, size: int = 123) -> dict[str, Any]:
    return {
        f"{name}{size}": {"filename": name, "size": size, "regions": list(regions), "file_attributes": {}}
    }


POINT = region({"name": "point", "cx": 10, "cy": 20}, part="eye")


def marks(*regions: Any) -> list[Annotation]:
    entries = read(json.dumps(image("a.png", *regions)).encode()).entries(SIZES)
    return [entry.annotation for entry in entries if entry.annotation is not None]


def written(file: ViaFile, *carried: Annotation, found: dict[str, str] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.written(carried, found or {"a.png": "a.png"}, SIZES))
    return content


def carried(one: Annotation, image: str = "b.png") -> Annotation:
    return Annotation(
        image,
        one.category,
        keypoints=one.keypoints,
        polygons=one.polygons,
        box=one.box,
        confidence=0.75,
        origin=("a.png",),
        category_id=one.category_id,
    )


def test_points_count_from_centres_boxes_and_outlines_from_corners() -> None:
    point, line, box, outline = marks(
        POINT,
        region({"name": "polyline", "all_points_x": [1, 2], "all_points_y": [3, 4]}),
        region({"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}, kind="bird", age=""),
        region({"name": "polygon", "all_points_x": [10, 40, 40], "all_points_y": [20, 20, 60]}),
    )
    assert point.keypoints is not None
    assert line.keypoints is not None
    assert (point.category, point.keypoints.tolist()) == ("eye", [[10, 20]])
    assert line.keypoints.tolist() == [[1, 3], [2, 4]]
    assert (box.category, box.box) == ("bird", (9.5, 19.5, 39.5, 59.5))
    assert outline.polygons[0].tolist() == [[9.5, 19.5], [39.5, 19.5], [39.5, 59.5]]


def test_a_turned_ellipse_is_an_outline() -> None:
    circle, ellipse = marks(
        region({"name": "circle", "cx": 50.5, "cy": 40.5, "r": 10}),
        region({"name": "ellipse", "cx": 50.5, "cy": 40.5, "rx": 20, "ry": 5, "theta": np.pi / 2}),
    )
    np.testing.assert_allclose(np.linalg.norm(circle.polygons[0] - [50, 40], axis=1), 10)
    # Turned by a quarter it stands upright.
    np.testing.assert_allclose(np.ptp(ellipse.polygons[0], axis=0), [10, 40], atol=1e-6)
    assert circle.category_id == ellipse.category_id


coordinate = st.floats(0, 79).map(lambda value: round(value, 2))
points = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=5)
attributes = st.dictionaries(st.sampled_from(["part", "side", "n"]), st.text(max_size=3) | st.integers(0, 9))


@st.composite
def regions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["point", "rect", "polygon", "polyline"]))
    if kind == "point":
        shape = {"cx": draw(coordinate), "cy": draw(coordinate)}
    elif kind == "rect":
        shape = {key: draw(coordinate) for key in ("x", "y", "width", "height")}
    else:
        xy = draw(points)
        shape = {"all_points_x": [x for x, _ in xy], "all_points_y": [y for _, y in xy]}
    return region({"name": kind} | shape, **draw(attributes))


@settings(max_examples=40)
@given(
    given_=st.lists(regions(), min_size=1, max_size=3),
    indent=st.sampled_from([None, 1, 4]),
    project=st.booleans(),
)
def test_a_file_comes_back_as_it_is_with_regions_added(
    given_: list[dict[str, Any]], indent: int | None, project: bool
) -> None:
    entries = image("a.png", *given_) | image("c.png", size=7)
    content: dict[str, Any] = entries
    if project:
        content = {
            "_via_settings": {"x": 1.50},
            "_via_img_metadata": entries,
            "_via_image_id_list": [*entries],
        }
    text = json.dumps(content, indent=indent)
    file = read(text.encode())
    assert file.written([], {"a.png": "a.png"}, SIZES) == text.encode()
    ones = [entry.annotation for entry in file.entries(SIZES) if entry.annotation is not None]
    assert len(ones) == len(given_)
    new = [carried(one, name) for one in ones for name in ("b.png", "c.png")]
    after = written(file, *new, found={"a.png": "a.png", "c.png": "c.png"})
    images = after["_via_img_metadata"] if project else after
    assert list(images) == ["a.png123", "c.png7", "b.png-1"]
    if project:
        assert after["_via_image_id_list"] == list(images)
        assert after["_via_settings"] == content["_via_settings"]
    assert images["a.png123"] == entries["a.png123"]
    assert images["b.png-1"] == {
        "filename": "b.png",
        "size": -1,
        "regions": [
            region(one["shape_attributes"], **one["region_attributes"], score="0.7500", origin="a.png")
            for one in given_
        ],
        "file_attributes": {},
    }
    assert images["c.png7"]["regions"] == images["b.png-1"]["regions"]
    again = [entry.annotation for entry in read(json.dumps(after).encode()).entries(SIZES)]
    assert {one.confidence for one in again if one is not None and one.image != "a.png"} == {0.75}
    assert {one.category_id for one in again if one is not None} == {one.category_id for one in ones}


def test_regions_that_via_1_numbered_go_on_being_numbered() -> None:
    content = image("a.png")
    content["a.png123"]["regions"] = {"0": POINT, "4": POINT}
    file = read(json.dumps(content).encode())
    (one, _) = (entry.annotation for entry in file.entries(SIZES))
    assert one is not None
    after = written(file, carried(one, "a.png"))
    assert list(after["a.png123"]["regions"]) == ["0", "4", "5"]


def test_new_images_are_named_as_the_others() -> None:
    content = image("day1/a.png", POINT)
    file = read(json.dumps(content).encode())
    (one,) = (entry.annotation for entry in file.entries(SIZES))
    assert one is not None
    after = written(file, carried(one), found={"day1/a.png": "a.png"})
    assert [entry["filename"] for entry in after.values()] == ["day1/a.png", "day1/b.png"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (7, "no shape"),
        (region({"name": "point", "cx": "1", "cy": 2}), "its cx is no number"),
        (region({"name": "point", "cx": True, "cy": 2}), "its cx is no number"),
        (region({"name": "star"}), "'star' is none of VIA's"),
        (region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}), "not as many x as y"),
        (region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}), "needs 3"),
    ],
)
def test_a_region_that_cannot_be_read_stops_no_other(broken: Any, said: str) -> None:
    entries = read(json.dumps(image("a.png", broken, POINT)).encode()).entries(SIZES)
    assert [said in " ".join(entry.problems) for entry in entries] == [True, False]
    assert entries[0].name == "region 0 of a.png"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[", "no JSON"),
        (b"[]", "images with a filename and regions"),
        (b'{"a.png1": {"size": 1}}', "images with a filename and regions"),
        (b'{"images": [], "annotations": []}', "with --coco"),
        (b'{"project": {}, "metadata": {}, "file": {}}', "of VIA 3"),
    ],
)
def test_files_that_are_none_of_via(content: bytes, said: str) -> None:
    with pytest.raises(CongealError, match=said):
        read(content)


@pytest.mark.parametrize("regions", [None, "none", 3, {}, [], {"9" * 5000: POINT}])
def test_whatever_stands_for_regions_the_file_stays_json_and_gets_them(regions: Any) -> None:
    entry = {"filename": "b.png", "size": 5, "regions": regions}
    file = read(json.dumps(image("a.png", POINT) | {"b.png-1": entry}).encode())
    found = written(file, carried(marks(POINT)[0]), found={"a.png": "a.png", "b.png": "b.png"})
    before = [POINT] if regions and isinstance(regions, dict) else []
    if isinstance(regions, str | int):  # as it is; what is carried stands beside it
        assert found["b.png-1"] == entry
        found = {name: one for name, one in found.items() if name != "b.png-1"}
    now = [
        one for entry in found.values() if entry["filename"] == "b.png" for one in _values(entry["regions"])
    ]
    assert now[: len(before)] == before
    assert [one["shape_attributes"] for one in now[len(before) :]] == [POINT["shape_attributes"]]


def _values(regions: Any) -> list[Any]:
    return list(regions.values()) if isinstance(regions, dict) else regions


def test_images_of_one_name_in_two_folders_stay_apart() -> None:
    file = read(json.dumps(image("a.png", POINT) | image("c.png")).encode())
    (one,) = marks(POINT)
    sizes = dict.fromkeys(("x/a.png", "x/b.png", "y/b.png", "y/c.png", "y/d.png"), (100, 80))
    found = {"a.png": "x/a.png", "c.png": "y/c.png"}
    content = json.loads(file.written([carried(one, name) for name in sizes], found, sizes))
    names = [entry["filename"] for entry in content.values()]
    assert names == ["a.png", "c.png", "x/b.png", "y/b.png", "d.png"]


def test_its_csv_is_called_by_its_name() -> None:
    with pytest.raises(CongealError, match="VIA's CSV: export the annotations as JSON"):
        read(b"\xef\xbb\xbf#filename,file_size\n")
