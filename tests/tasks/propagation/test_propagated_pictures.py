from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, FITTING, known, opened
from PIL import Image
from sample_runs import encoded

from infra.errors import UserError
from infra.storage.location import Location
from tasks.propagation import (
    Order,
    propagate_pictures,
)

__all__ = ["known", "opened"]


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
