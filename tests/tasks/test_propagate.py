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
from congeal.exchange import coco, tps
from infra.errors import UserError
from infra.storage import Location
from tasks.propagate import Order, propagate_coco, propagate_pictures, propagate_tps

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
    from tasks.propagate import _Names

    names = _Names()
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
    propagate_coco(opened, "labels.json", once, Order(out, to=["a/0.png"]))
    (back,) = coco.read((out / "labels.json").read_bytes()).annotations
    np.testing.assert_allclose(back.box, (19.5, 14.5, 49.5, 39.5), atol=0.05)
    np.testing.assert_allclose(back.keypoints, [[30, 25]], atol=0.02)


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
        (b"LM=1\n500 1\nIMAGE=a/0.png\n", "b.tps cannot be carried: point 0 at .* lies outside"),
        (b"LM=1\n1 1\nIMAGE=a/0.png\nLM=2\n1 1\n2 2\nIMAGE=a/1.png\n", "have 1 to 2 points"),
        (b"nothing", "b.tps cannot be used: line 1"),
        (b"LM=1\n1 1\nID=0\n", "There is no image ''"),
    ):
        with pytest.raises(UserError, match=words):
            propagate_tps(opened, "b.tps", data, order)
