from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, known
from PIL import Image
from sample_runs import encoded

import congeal
from congeal.transfer.formats import coco, tps
from infra.errors import UserError
from infra.storage.location import Location
from tasks.propagation import (
    Order,
    propagate_coco,
    propagate_deeplabcut,
    propagate_pictures,
    propagate_sleap,
    propagate_tps,
)

__all__ = ["known"]

FITTING = ["a/0.png", "a/1.png", "a/2.png", "a/3.png"]


@pytest.fixture(scope="module")
def opened(known: Path) -> Any:
    return congeal.open(known)


@pytest.fixture
def edit() -> bytes:
    pixels = np.zeros((60, 80, 4), np.uint8)
    pixels[20:40, 25:50] = (200, 30, 30, 255)
    return encoded(pixels)


def decoded(place: Location) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(place.read_bytes())))


def test_a_picture_for_every_image_and_a_list(opened: Any, edit: bytes, location: Location) -> None:
    facts = propagate_pictures(opened, "layer", {"e.png": edit}, ["a/0.png"], None, Order(location))
    assert facts["images"] == 4
    assert facts["left_out"] == 1
    assert facts["cluster"] == BIRDS
    written = {item.path for item in location.objects()}
    assert written == {*FITTING, "propagated.csv"}
    assert decoded(location / "a/1.png").shape == (120, 160, 4)
    np.testing.assert_array_equal(decoded(location / "a/0.png"), decoded_bytes(edit))
    rows = list(csv.DictReader(io.StringIO((location / "propagated.csv").read_bytes().decode())))
    # The least sure first; the image that was painted on is sure.
    assert [float(row["confidence"]) for row in rows] == [0.8, 0.8, 0.8, 1.0]
    assert rows[0]["origin"] == "a/0.png"
    assert rows[-1]["file"] == "a/0.png"


def decoded_bytes(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


def test_edited_photographs(opened: Any, edit: bytes, tmp_path: Path) -> None:
    order = Order(Location.parse(tmp_path / "out"), composite=True)
    propagate_pictures(opened, "layer", {"e.png": edit}, ["a/0.png"], None, order)
    photograph = opened.image("a/1.png")
    edited = decoded(order.out / "a/1.png")
    assert edited.shape == photograph.shape
    assert edited[60, 75].tolist() == [200, 30, 30]
    np.testing.assert_array_equal(edited[:30], photograph[:30])


def test_masks_labels_and_paint_on_the_average(opened: Any, tmp_path: Path) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 25:50] = 1  # 0 and 1 count as a mask, too
    out = Location.parse(tmp_path)
    propagate_pictures(opened, "mask", {"m.png": encoded(mask)}, ["a/0.png"], None, Order(out / "m"))
    assert decoded(out / "m/a/1.png")[60, 75] == 255
    labels = mask.astype(np.uint16) * 700
    propagate_pictures(opened, "labels", {"l.png": encoded(labels)}, ["a/0.png"], None, Order(out / "l"))
    assert set(np.unique(decoded(out / "l/a/1.png"))) == {0, 700}
    square = encoded(np.full((50, 50, 4), 255, np.uint8))
    facts = propagate_pictures(
        opened, "layer", {"s.png": square}, [], BIRDS, Order(out / "s", to=["a/2.png"])
    )
    assert facts["images"] == 1
    assert decoded(out / "s/a/2.png")[..., 3].any()


def test_names_that_differ_in_their_ending_only() -> None:
    from tasks.propagation.output_folder import FileNames

    names = FileNames()
    assert [names.beside(name, ".png") for name in ("a/1.jpg", "a/1.png", "a/1.tif", "b.jpg")] == [
        "a/1.png",
        "a/1.png.png",
        "a/1.tif.png",
        "b.png",
    ]


@pytest.mark.parametrize("where", ["source", "destination", "source/a", "."])
def test_photographs_and_results_are_never_written_over(
    opened: Any, known: Path, edit: bytes, where: str
) -> None:
    out = Location.parse(known.parent / where)
    with pytest.raises(UserError, match="write somewhere else"):
        propagate_pictures(opened, "layer", {"e.png": edit}, ["a/0.png"], None, Order(out))


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("layer", encoded(np.zeros((60, 80, 3), np.uint8)), "no alpha channel"),
        ("layer", b"", "empty file"),
        ("layer", encoded(np.zeros((61, 80, 4), np.uint8)), "80 x 61 pixels, the image 80 x 60"),
        ("mask", encoded(np.zeros((60, 80, 3), np.uint8)), "a mask is grey"),
        ("labels", encoded(np.zeros((60, 80, 3), np.uint8)), "one channel"),
    ],
)
def test_files_that_cannot_be_carried(
    opened: Any, tmp_path: Path, kind: Any, data: bytes, words: str
) -> None:
    out = Location.parse(tmp_path / "out")
    with pytest.raises(UserError, match=words):
        propagate_pictures(opened, kind, {"e.png": data}, ["a/0.png"], None, Order(out))
    assert not out.exists()


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


def test_tps_in_and_out(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    # In an image of 60 rows, y = 30 from the top is the 29th pixel from the bottom.
    given = b"LM=2\n32 29\nNA NA\nCURVES=1\nPOINTS=2\n40 24\n45 24\nIMAGE=a/0.png\nID=bird 1\nSCALE=0.5\n"
    facts = propagate_tps(opened, "b.tps", given, Order(out))
    assert facts["images"] == 4
    specimens = {one.image: one for one in tps.read((out / "landmarks.tps").read_bytes())}
    assert list(specimens) == FITTING
    assert (out / "landmarks.tps").read_bytes().startswith(given)
    own = specimens["a/0.png"]
    assert (own.name, own.scale) == ("bird 1", 0.5)
    assert own.landmarks[0].tolist() == [32, 29]
    wide = specimens["a/1.png"]
    # 32, 30 from the top is 64.5, 60.5 in twice the size, and 119 - 60.5 from the bottom.
    np.testing.assert_allclose(wide.landmarks[0], [64.5, 58.5], atol=1e-3)
    assert np.isnan(wide.landmarks[1]).all()
    np.testing.assert_allclose(wide.curves[0][0], [80.5, 48.5], atol=1e-3)
    assert wide.scale is None
    assert wide.comment.startswith("confidence 0.000 to 0.800, from a/0.png")


def test_tps_files_that_cannot_be_carried(opened: Any, tmp_path: Path) -> None:
    order = Order(Location.parse(tmp_path / "out"))
    for data, words in (
        (
            b"LM=1\n500 1\nIMAGE=a/0.png\n",
            "b.tps cannot be transferred: .* on a/0.png: point 0 at .* lies outside",
        ),
        (b"LM=1\n1 1\nIMAGE=a/0.png\nLM=2\n1 1\n2 2\nIMAGE=a/1.png\n", "have 1 to 2 points"),
        (b"nothing", "b.tps cannot be used: line 1"),
        (b"LM=1\n1 1\nID=0\n", "There is no image ''"),
        (b"LM=0\nIMAGE=a/0.png\n", "no specimen in it has a landmark"),
    ):
        with pytest.raises(UserError, match=words):
            propagate_tps(opened, "b.tps", data, order)


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


def test_paint_on_a_copy_comes_back_under_its_name(opened: Any, edit: bytes, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    propagate_pictures(opened, "layer", {"e.png": edit}, ["a/copy.png"], None, Order(out))
    for name in ("a/copy.png", "a/0.png"):
        np.testing.assert_array_equal(decoded(out / name), decoded_bytes(edit))
    rows = {r["file"]: r for r in csv.DictReader(io.StringIO((out / "propagated.csv").read_bytes().decode()))}
    assert rows["a/copy.png"]["confidence"] == "1.0000"
    assert rows["a/0.png"]["origin"] == "a/copy.png"
    with pytest.raises(UserError, match=r"holds a/0.png and 5 more of these names already"):
        propagate_pictures(opened, "layer", {"e.png": edit}, ["a/copy.png"], None, Order(out))


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


def test_two_specimens_on_one_photograph_stay_two(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    block = "LM=2\n{}\n{}\nIMAGE=a/0.png\nID={}\n"
    given = block.format("32 29", "40 24", "left") + block.format("50 29", "45 40", "right")
    facts = propagate_tps(opened, "b.tps", given.encode(), Order(out, to=["a/1.png"]))
    text = (out / "landmarks.tps").read_bytes().decode()
    assert text.startswith(given)
    assert facts["carried"] == 2
    first, second = tps.read(text.encode())[2:]
    np.testing.assert_allclose(first.landmarks, [[64.5, 58.5], [80.5, 48.5]], atol=1e-3)
    np.testing.assert_allclose(second.landmarks, [[100.5, 58.5], [90.5, 80.5]], atol=1e-3)
    assert "a/0.png" in first.comment


def test_specimens_without_landmarks_are_targets(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    given = "LM=2\n32 29\nNA NA\nIMAGE=a/0.png\nID=0\n" + "".join(
        f"LM=0\nIMAGE={name}\nID={n}\n" for n, name in enumerate(["a/1.png", "c/outlier.png"], 1)
    )
    facts = propagate_tps(opened, "b.tps", given.encode(), Order(out))
    specimens = tps.read((out / "landmarks.tps").read_bytes())
    assert [(one.image, one.name, len(one.landmarks)) for one in specimens] == [
        ("a/0.png", "0", 2),
        ("a/1.png", "1", 2),
        ("c/outlier.png", "2", 0),
        ("a/2.png", "3", 2),
        ("a/3.png", "4", 2),
    ]
    # What the person could not see is not filled in.
    assert np.isnan(specimens[0].landmarks[1]).all()
    assert specimens[0].comment == ""
    assert facts["images"] == 4


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


DEEPLABCUT = (
    "scorer,,,me,me,me,me\nbodyparts,,,eye,eye,tail,tail\ncoords,,,x,y,x,y\n"
    "labeled-data,a,0.png,30.0,25,40,35\nlabeled-data,a,2.png,,,,\nlabeled-data,a,nowhere.png,1,1,2,2\n"
)


def test_deeplabcut_in_and_out(opened: Any, tmp_path: Path) -> None:
    out = Location.parse(tmp_path / "out")
    facts = propagate_deeplabcut(opened, "x/CollectedData_me.csv", DEEPLABCUT.encode(), Order(out))
    assert facts["out"] == str(out / "CollectedData_me.csv")
    assert (facts["images"], facts["by_hand"], facts["carried"], facts["clusters"]) == (4, 2, 3, [BIRDS])
    (left,) = facts["left_out_annotations"]
    assert (left["name"], left["image"]) == ("the labels in line 6", "labeled-data/a/nowhere.png")
    lines = (out / "CollectedData_me.csv").read_bytes().decode().splitlines()
    given = DEEPLABCUT.splitlines()
    # The frame without labels is filled in place; those that are new come after.
    assert [line == old for line, old in zip(lines[:6], given, strict=True)] == [True] * 4 + [False, True]
    rows = [line.split(",") for line in lines]
    assert rows[4][:3] == ["labeled-data", "a", "2.png"]
    assert [row[:3] for row in rows[6:]] == [["labeled-data", "a", "1.png"], ["labeled-data", "a", "3.png"]]
    # a/1.png shows the same at twice the size.
    np.testing.assert_allclose([float(cell) for cell in rows[6][3:]], [60.5, 50.5, 80.5, 70.5], atol=0.01)
    sure = list(csv.reader(io.StringIO((out / "likelihood_CollectedData_me.csv").read_bytes().decode())))
    assert sure[2][3:] == ["x", "y", "likelihood"] * 2
    assert sure[3] == ["labeled-data", "a", "0.png", "30.0", "25", "1", "40", "35", "1"]
    assert float(sure[6][5]) == pytest.approx(0.8)
    assert [row[:3] for row in sure] == [row[:3] for row in rows]
    # What comes out goes in again, and nothing is left to be done.
    again = (out / "CollectedData_me.csv").read_bytes()
    facts = propagate_deeplabcut(opened, "CollectedData_me.csv", again, Order(out / "again"))
    assert facts["carried"] == 0
    assert (out / "again/CollectedData_me.csv").read_bytes() == again


def test_listed_frames_that_get_nothing_are_named(opened: Any, tmp_path: Path) -> None:
    text = "scorer,me,me\nbodyparts,eye,eye\ncoords,x,y\na/0.png,30,25\na/misfit.png,,\na/copy.png,,\n"
    facts = propagate_deeplabcut(opened, "c.csv", text.encode(), Order(Location.parse(tmp_path / "out")))
    assert [one["image"] for one in facts["left_out_images"]] == ["a/misfit.png"]
    assert facts["left_out_duplicates"] == [{"image": "a/copy.png", "same_as": "a/0.png"}]


def test_individuals_of_deeplabcut(opened: Any, tmp_path: Path) -> None:
    text = (
        "scorer,me,me,me,me\nindividuals,m1,m1,m2,m2\nbodyparts,eye,eye,eye,eye\ncoords,x,y,x,y\n"
        "a/0.png,30,25,40,35\na/1.png,,,80,70\n"
    )
    out = Location.parse(tmp_path / "out")
    facts = propagate_deeplabcut(opened, "c.csv", text.encode(), Order(out))
    assert facts["left_out_annotations"] == []
    lines = (out / "c.csv").read_bytes().decode().splitlines()
    assert lines[:6] == text.splitlines()
    assert [line.split(",")[0] for line in lines[6:]] == ["a/2.png", "a/3.png"]
    assert all(all(line.split(",")) for line in lines[6:])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"x,y\n1,2\n", "c.csv cannot be used: it is no DeepLabCut file"),
        (DEEPLABCUT.replace("0.png,30.0", "0.png,300").encode(), None),
        (DEEPLABCUT.replace("a,0.png", "c,outlier.png").encode(), "is an outlier"),
        (DEEPLABCUT.replace("30.0,25,40,35", ",,,").encode(), "There is no image"),
        (b"\x89HDF\r\n\x1a\n", "no HDF5 file that h5py reads .*: give c.csv"),
    ],
)
def test_deeplabcut_files_that_cannot_be_carried(
    opened: Any, tmp_path: Path, data: bytes, words: str | None
) -> None:
    out = Location.parse(tmp_path / "out")
    if words is not None:
        with pytest.raises(UserError, match=words):
            propagate_deeplabcut(opened, "c.csv", data, Order(out))
        return
    # One point beyond the image: it is named, the other is carried.
    facts = propagate_deeplabcut(opened, "c.csv", data, Order(out))
    assert "point 0 at (300, 25) lies outside" in facts["left_out_annotations"][-1]["reason"]
    assert (out / "c.csv").read_bytes().decode().splitlines()[3] == "labeled-data,a,0.png,300,25,40,35"


def test_sleap_in_and_out(opened: Any, tmp_path: Path) -> None:
    import sleap_io

    names = [f"/lab/a/{number}.png" for number in range(3)]
    about = {"type": "ImageVideo", "shape": [3, 60, 80, 3], "filename": names[0], "filenames": names}
    video = sleap_io.Video(filename=names, backend_metadata=about, open_backend=False)
    skeleton = sleap_io.Skeleton(["eye", "tail"])
    bird = sleap_io.Instance.from_numpy(np.array([[30.0, 25], [40, 35]]), skeleton)
    given = tmp_path / "given.slp"
    frame = sleap_io.LabeledFrame(video, 0, [bird])
    sleap_io.save_slp(sleap_io.Labels([frame]), str(given), embed=False, verbose=False)
    out = Location.parse(tmp_path / "out")
    facts = propagate_sleap(opened, "given.slp", given.read_bytes(), Order(out))
    assert (facts["images"], facts["by_hand"], facts["carried"]) == (4, 1, 3)
    assert facts["taken_for"][names[0]] == "a/0.png"
    back = sleap_io.load_slp(str(tmp_path / "out" / "labels.slp"), open_videos=False)
    frames = {frame.video.filename[frame.frame_idx]: frame.instances for frame in back.labeled_frames}
    assert list(frames) == [*names, "/lab/a/3.png"]
    assert type(frames[names[0]][0]) is sleap_io.Instance
    np.testing.assert_array_equal(frames[names[0]][0].numpy(), [[30, 25], [40, 35]])
    wide = frames[names[1]][0]
    assert type(wide) is sleap_io.PredictedInstance
    np.testing.assert_allclose(wide.numpy(), [[60.5, 50.5], [80.5, 70.5]], atol=0.01)
    assert wide.score == pytest.approx(0.8)
    assert wide.points["score"].tolist() == pytest.approx([0.8, 0.8])
    again = (out / "labels.slp").read_bytes()
    assert propagate_sleap(opened, "b.slp", again, Order(out / "again"))["carried"] == 0
    with pytest.raises(UserError, match=r"b\.slp cannot be used: it is no SLEAP file"):
        propagate_sleap(opened, "b.slp", b"", Order(out / "none"))
