from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, FITTING, known, opened

from congeal.transfer.formats import coco
from infra.errors import UserError
from infra.storage.location import Location
from tasks.propagation import (
    Order,
    propagate_coco,
)

__all__ = ["known", "opened"]


def coco_file(**changes: Any) -> bytes:
    content: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a/0.png", "width": 80, "height": 60}],
        "categories": [{"id": 3, "name": "bird", "keypoints": ["eye"], "skeleton": []}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 3,
                "bbox": [20, 15, 30, 25],
                "segmentation": [[20, 15, 50, 15, 50, 40, 20, 40]],
                "keypoints": [30, 25, 2],
            }
        ],
    }
    return json.dumps(content | changes).encode()


def test_coco_in_and_out(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    facts = propagate_coco(opened, "c.json", coco_file(), Order(out, with_images=True))
    assert (facts["images"], facts["annotations"], facts["clusters"]) == (4, 4, [BIRDS])
    data = (out / "labels.json").read_bytes()
    content = json.loads(data)
    assert [entry["file_name"] for entry in content["images"]] == FITTING
    assert content["categories"][0] == {"id": 3, "name": "bird", "keypoints": ["eye"], "skeleton": []}
    by_image = {one.image: one for one in coco.read(data).annotations}
    own = by_image["a/0.png"]
    assert own.box == (19.5, 14.5, 49.5, 39.5)
    assert own.confidence == 1
    # a/1.png shows the same at twice the size.
    wide = by_image["a/1.png"]
    np.testing.assert_allclose(wide.box, np.array([19.5, 14.5, 49.5, 39.5]) * 2 + 0.5, atol=0.02)
    np.testing.assert_allclose(wide.keypoints, [[60.5, 50.5]], atol=0.01)
    assert wide.confidence == pytest.approx(0.8)
    assert wide.origin == ("a/0.png",)
    # A folder that FiftyOne imports: the images lie below data/ under the names in labels.json.
    for name in FITTING:
        assert (out / "data" / name).read_bytes() == (opened.source / name).read_bytes()


def test_what_comes_out_goes_in_again(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    propagate_coco(opened, "c.json", coco_file(), Order(out, to=["a/1.png"]))
    once = (out / "labels.json").read_bytes()
    # Nothing that is there is replaced unasked, nor ever what is carried from.
    with pytest.raises(UserError, match=r"holds labels.json already: .*--overwrite"):
        propagate_coco(opened, "labels.json", once, Order(out))
    again = Order(out, overwrite=True, inputs=[out / "labels.json"])
    with pytest.raises(UserError, match="is an input"):
        propagate_coco(opened, "labels.json", once, again)
    # What was carried is carried on as it was marked, with its doubt.
    carried = json.loads(once)
    carried["annotations"] = [one for one in carried["annotations"] if "origin" in one]
    propagate_coco(opened, "b", json.dumps(carried).encode(), Order(out, to=["a/0.png"], overwrite=True))
    back = coco.read((out / "labels.json").read_bytes()).annotations[-1]
    np.testing.assert_allclose(back.box, (19.5, 14.5, 49.5, 39.5), atol=0.05)
    np.testing.assert_allclose(back.keypoints, [[30, 25]], atol=0.02)
    assert back.confidence < 0.8


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (coco_file(annotations=[]), "no annotations"),
        (b"{", "c.json cannot be used: it is no JSON"),
        (
            coco_file(images=[{"id": 7, "file_name": "a/9.png", "width": 80, "height": 60}]),
            "There is no image 'a/9.png'",
        ),
        (
            coco_file(images=[{"id": 7, "file_name": "0.png", "width": 80, "height": 60}]),
            "2 images are called '0.png'",
        ),
        (
            coco_file(images=[{"id": 7, "file_name": "a/0.png", "width": 60, "height": 80}]),
            "marks a/0.png at 60 x 80 pixels; the image has 80 x 60",
        ),
        (
            coco_file(images=[{"id": 7, "file_name": "outlier.png", "width": 80, "height": 60}]),
            "is an outlier",
        ),
    ],
)
def test_coco_files_that_cannot_be_carried(opened: Any, tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        propagate_coco(opened, "c.json", data, Order(Location.parse(tmp_path / "out")))


def entry(id_: Any, **marks: Any) -> dict[str, Any]:
    return {"id": id_, "image_id": 7, "category_id": 3} | marks


def image(id_: Any, name: str, width: Any = 80, height: Any = 60) -> dict[str, Any]:
    return {"id": id_, "file_name": name, "width": width, "height": height}


def carried_coco(
    opened: Any, tmp_path: Path, data: bytes, **how: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts, and what labels.json holds."""
    out = Location.parse(tmp_path / "out")
    facts = propagate_coco(opened, "c.json", data, Order(out, **how))
    return facts, json.loads((out / "labels.json").read_bytes())


def names_of(content: dict[str, Any]) -> dict[Any, str]:
    return {one["id"]: one["file_name"] for one in content["images"]}


def test_one_that_cannot_be_carried_stops_no_other(opened: Any, tmp_path: Path) -> None:
    given = [
        entry(1, bbox=[20, 15, 30, 25]),
        entry(4711, bbox=[10, 10, 5, 0]),
        entry(2, bbox=[20, 15, 30, 25], keypoints=[80, 25, 2]),
        entry(3, keypoints=[500, 25, 2]),
        entry(5, image_id=8, bbox=[1, 1, 9, 9]),
        entry(6, image_id=9, bbox=[1, 1, 9, 9]),
        entry(7, image_id=10, bbox=[1, 1, 9, 9]),
        entry(8, image_id=11, bbox=[1, 1, 9, 9]),
        entry(9, image_id=12, bbox=[1, 1, 9, 9]),
        entry(10, image_id=13, bbox=[1, 1, 9, 9]),
    ]
    images = [
        image(7, "a/0.png"),
        image(8, "c/outlier.png"),
        image(9, "nowhere.png"),
        image(10, "a/misfit.png", 70, 70),
        image(11, "broken.jpg"),
        image(12, "b/1.png", 60, 90),
    ]
    facts, content = carried_coco(opened, tmp_path, coco_file(annotations=given, images=images))
    found = {one["name"]: (one["image"], one["reason"]) for one in facts["left_out_annotations"]}
    assert found.keys() == {f"annotation {n}" for n in (4711, 3, 5, 6, 7, 8, 9, 10)}
    assert found["annotation 4711"] == ("a/0.png", "its box has no inside on the image")
    assert "point 0 at (500, 25) lies outside" in found["annotation 3"][1]
    assert "is an outlier" in found["annotation 5"][1]
    assert "There is no image 'nowhere.png'" in found["annotation 6"][1]
    assert "does not fit its atlas (few matches)" in found["annotation 7"][1]
    assert "could not be used" in found["annotation 8"][1]
    assert "at 60 x 90 pixels; the image has 90 x 60" in found["annotation 9"][1]
    assert "of the image 13" in found["annotation 10"][1]
    assert content["images"][:6] == images
    assert [
        {k: new[k] for k in old} for old, new in zip(given, content["annotations"], strict=False)
    ] == given
    added = content["annotations"][len(given) :]
    # The first and the third of a/0.png, on three others; the places between them stay free.
    assert len(added) == facts["carried"] == 6
    assert facts["left_out"] == 0  # the misfit was marked by hand
    assert all(one["id"] > 4711 and one["origin"] == "a/0.png" for one in added)


def test_an_annotated_misfit_comes_back_as_it_was(opened: Any, tmp_path: Path) -> None:
    images = [image(7, "a/0.png"), image(8, "a/misfit.png", 70, 70)]
    given = [entry(1, bbox=[20, 15, 30, 25]), entry(2, image_id=8, bbox=[1, 1, 9, 9])]
    facts, content = carried_coco(opened, tmp_path, coco_file(annotations=given, images=images))
    assert facts["images"] == 5
    assert content["annotations"][1] == given[1] | {"area": 81, "score": 1.0}
    assert facts["left_out"] == 0
    # A cluster with nothing but misfits marked stops none.
    images[0] = image(7, "b/0.png")
    facts, content = carried_coco(
        opened, tmp_path, coco_file(annotations=given, images=images), overwrite=True
    )
    assert len(facts["clusters"]) == 1
    assert set(names_of(content).values()) == {"b/0.png", "b/1.png", "a/misfit.png"}


def test_a_copy_that_is_marked_is_the_image_that_is_marked(opened: Any, tmp_path: Path) -> None:
    given = [entry(1, bbox=[20, 15, 30, 25])]
    facts, content = carried_coco(
        opened, tmp_path, coco_file(annotations=given, images=[image(7, "a/copy.png")])
    )
    names = names_of(content)
    by_name = {names[one["image_id"]]: one for one in content["annotations"]}
    assert by_name.keys() == {"a/copy.png", *FITTING}
    assert by_name["a/copy.png"]["score"] == 1
    # The same bytes under the first name: the very same mark.
    assert by_name["a/0.png"]["bbox"] == [20, 15, 30, 25]
    assert by_name["a/0.png"]["origin"] == "a/copy.png"
    assert facts["left_out_duplicates"] == []
    facts, _ = carried_coco(opened, tmp_path, coco_file(), overwrite=True)
    assert facts["left_out_duplicates"] == [{"image": "a/copy.png", "same_as": "a/0.png"}]


def test_images_under_other_paths(opened: Any, tmp_path: Path) -> None:
    images = [image(7, "images\\a\\0.png", None, None), image(8, "/data/A/1.PNG", 160, 120)]
    given = [entry(1, bbox=[20, 15, 30, 25]), entry(2, image_id=8, bbox=[1, 1, 9, 9])]
    facts, content = carried_coco(
        opened, tmp_path, coco_file(annotations=given, images=images), with_images=True
    )
    assert facts["taken_for"] == {images[0]["file_name"]: "a/0.png", images[1]["file_name"]: "a/1.png"}
    assert content["images"][:2] == images
    assert [one["image_id"] for one in content["annotations"]] == [7, 8, 9, 10]
    data = {item.path for item in (Location.parse(tmp_path / "out") / "data").objects()}
    assert data == set(FITTING)


def test_crowds_and_categories_of_one_name_stay_apart(opened: Any, tmp_path: Path) -> None:
    categories = [{"id": 3, "name": "bird"}, {"id": 4, "name": "bird", "supercategory": "thing"}]
    given = [
        entry(1, bbox=[20, 15, 30, 25], iscrowd=1),
        entry(2, bbox=[22, 15, 30, 25]),
        entry(3, bbox=[24, 15, 30, 25], category_id=4),
    ]
    _, content = carried_coco(
        opened, tmp_path, coco_file(annotations=given, categories=categories), to=["a/1.png"]
    )
    assert content["categories"] == categories
    added = content["annotations"][3:]
    assert [(one["iscrowd"], one["category_id"]) for one in added] == [(1, 3), (0, 3), (0, 4)]
    assert [round(one["bbox"][0]) for one in added] == [40, 44, 48]


def test_what_lies_off_an_image_is_hidden_there(opened: Any, tmp_path: Path) -> None:
    data = coco_file(
        annotations=[entry(1, keypoints=[40, 30, 1, 1, 1, 2])], categories=[{"id": 3, "name": "b"}]
    )
    _, content = carried_coco(opened, tmp_path, data, to=["a/2.png"])
    own, other = content["annotations"]
    assert own["keypoints"] == [40, 30, 1, 1, 1, 2]
    assert "keypoint_scores" not in own
    assert len(other["keypoint_scores"]) == 2
    for x, y, flag in np.reshape(other["keypoints"], (2, 3)).tolist():
        assert (0 <= x <= 64 and 0 <= y <= 84) or (x, y, flag) == (0, 0, 0)


def test_misfits_are_looked_up_once_a_cluster(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    before = type(opened._published).misfits

    def counted(self: Any, cluster: str) -> Any:
        calls.append(cluster)
        return before(self, cluster)

    monkeypatch.setattr("congeal.results.published_version.Published.misfits", counted)
    carried_coco(opened, tmp_path, coco_file())
    assert len(calls) <= 6


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": [0, 0, 0, 0]},
        {"bbox": [10, 10, 5, 0], "keypoints": None},
        {"segmentation": [[]]},
        {"segmentation": [[20, 15, 50, 15, 50, 40], [90, 90, 95, 95]]},
        {"segmentation": [[20, 15, 50, 15, 50, 40], [84, 10, 94, 10, 94, 30]]},
        {"keypoints": [80, 25, 2]},
        {"bbox": None, "keypoints": None},
        {"category_id": None},
        {"keypoints": [30, 25, 2, 1]},
    ],
)
def test_empty_entries_as_labelling_programs_write_them(
    opened: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    good = entry(1, bbox=[20, 15, 30, 25], keypoints=[30, 25, 2])
    given = [good, good | {"id": 4711} | changes]
    facts, content = carried_coco(opened, tmp_path, coco_file(annotations=given), to=["a/0.png", "a/1.png"])
    assert facts["carried"] >= 1
    assert [
        {k: new[k] for k in old} for old, new in zip(given, content["annotations"], strict=False)
    ] == given
    assert {one["name"] for one in facts["left_out_annotations"]} <= {"annotation 4711"}
