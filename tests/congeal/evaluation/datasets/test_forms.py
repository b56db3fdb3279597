from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sample_sets

from congeal.errors import CongealError
from congeal.evaluation.datasets import load
from congeal.evaluation.datasets.spair import MIRRORED
from congeal.evaluation.datasets.types import exchanged, mirrored_by_name

NAN = [np.nan, np.nan]
Write = Callable[[Path], Path]


def expected(seed: int) -> np.ndarray:
    return np.array([NAN if place is None else place for place in sample_sets.places(seed)])


@pytest.mark.parametrize(
    ("write", "category", "protocol"),
    [
        (sample_sets.keypoints_json, None, "spair"),
        (sample_sets.spair, "cat", "spair"),
        (sample_sets.cub, "001", "cub"),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, write: Write, category: str, protocol: str) -> None:
    annotated = load(write(tmp_path / "set"), category)
    assert annotated.protocol == protocol
    for image in annotated.images:
        seed = int(image.path.stem)
        assert image.name == f"{seed}.png"
        assert image.path.is_file()
        assert (image.frame.width, image.frame.height) == sample_sets.SIZE
        np.testing.assert_allclose(image.points, expected(seed))
        np.testing.assert_allclose(image.box, sample_sets.box(seed))
        assert image.mask is None
    assert not annotated.unreadable


def test_matlab_counts_from_one(tmp_path: Path) -> None:
    annotated = load(sample_sets.willow(tmp_path / "PF-dataset"), "disc(s)")
    assert (annotated.protocol, annotated.pairs, len(annotated.images)) == ("pf-willow", None, 5)
    np.testing.assert_allclose(annotated.images[3].points, sample_sets.truth(3))
    alone = load(tmp_path / "PF-dataset" / "disc(S)")
    np.testing.assert_allclose(alone.images[3].points, sample_sets.truth(3))
    own = sample_sets.keypoints_json(tmp_path / "own", coords="as in .mat (1-based)")
    np.testing.assert_allclose(load(own).images[1].points, sample_sets.truth(1) - 1)
    np.testing.assert_allclose(load(own).images[1].box, np.array(sample_sets.box(1)) - 1)


def test_a_download_may_lie_in_a_folder_of_its_own_name(tmp_path: Path) -> None:
    sample_sets.cub(tmp_path / "CUB_200_2011")
    assert load(tmp_path, "disc_bird").name == "CUB-200-2011 001.Disc_Bird"


def test_the_usual_protocol_of_the_own_form(tmp_path: Path) -> None:
    def protocol(path: str, **more: object) -> str:
        return load(sample_sets.keypoints_json(tmp_path / path, **more)).protocol

    assert protocol("pf_willow/duck") == "pf-willow"
    assert protocol("flywings/wing") == "landmarks"
    assert protocol("cub/007") == "cub"
    assert protocol("cubes/007") == "spair"
    assert protocol("any", protocol="landmarks") == "landmarks"
    without = sample_sets.document()
    without["images"]["0.png"]["bbox"] = None
    assert protocol("unboxed", **without) == "pf-willow"


def test_pairs_are_positions_and_spair_takes_only_the_images_of_its_pairs(tmp_path: Path) -> None:
    annotated = load(sample_sets.spair(tmp_path / "SPair"), "cat")
    assert [image.name for image in annotated.images] == ["0.png", "1.png", "2.png"]
    assert annotated.pairs == ((0, 1), (1, 0), (1, 2), (2, 1))
    own = sample_sets.keypoints_json(tmp_path / "own", pairs=[["4.png", "1.png"]])
    assert load(own).pairs == ((4, 1),)


def test_masks_are_found_by_stem(tmp_path: Path) -> None:
    folder = sample_sets.keypoints_json(tmp_path / "set", masks=True)
    (folder / "masks" / "2.png").unlink()
    masks = [image.mask for image in load(folder).images]
    assert masks[2] is None
    assert masks[3] == folder / "masks" / "3.png"


def test_left_and_right_are_words() -> None:
    names = ["beak", "left eye", "Right Eye", "wing_LEFT_tip", "wing_right_tip", "cleft", "left foot"]
    assert mirrored_by_name(names).tolist() == [0, 2, 1, 4, 3, 5, 6]


def test_mirrored_spair_keypoints_come_back_when_mirrored_twice() -> None:
    for kind, swaps in MIRRORED.items():
        flat = [number for swap in swaps for number in swap]
        assert len(set(flat)) == len(flat), kind
        order = exchanged(30, swaps)
        assert (order[order] == np.arange(30)).all()
    # As in Neural Congealing's own table.
    assert exchanged(15, MIRRORED["cat"]).tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 8, 10, 9, 12, 11, 13, 14]
    assert exchanged(16, MIRRORED["dog"]).tolist() == [1, 0, 3, 2, 5, 4, 6, 7, 8, 10, 9, 12, 11, 13, 14, 15]


@pytest.mark.parametrize(
    ("write", "category", "words"),
    [
        (sample_sets.spair, None, r"2 categories: choose one with --category \(boat, cat\)"),
        (sample_sets.spair, "dog", "no category 'dog': there are boat, cat"),
        (sample_sets.spair, "boat", "no pair of the category boat"),
        (sample_sets.cub, "003", "no category '003': there are 001.Disc_Bird, 002.Other_Bird"),
        (sample_sets.cub, "002", "no usable image"),
        (sample_sets.willow, None, "choose one with --category"),
        (sample_sets.keypoints_json, "cat", "has no categories"),
    ],
)
def test_the_category_must_be_one_of_those_there_are(
    tmp_path: Path, write: Write, category: str | None, words: str
) -> None:
    with pytest.raises(CongealError, match=words):
        load(write(tmp_path / "set"), category)


@pytest.mark.parametrize(
    ("write", "gone", "words"),
    [
        (
            sample_sets.spair,
            "PairAnnotation",
            "looks like SPair-71k, but its folder PairAnnotation is missing",
        ),
        (sample_sets.spair, "JPEGImages", "folder JPEGImages is missing"),
        (sample_sets.cub, "parts/part_locs.txt", "looks like CUB-200-2011, but its file parts/part_locs.txt"),
        (sample_sets.cub, "images.txt", "file images.txt is missing"),
        (sample_sets.keypoints_json, "keypoints.json", "no annotated set: there is neither keypoints.json"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, write: Write, gone: str, words: str) -> None:
    folder = write(tmp_path / "set")
    (folder / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(CongealError, match=words):
        load(folder)


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match="no folder on this machine"):
        load("s3://bucket/set")
    with pytest.raises(CongealError, match=r"neither keypoints\.json"):
        load(tmp_path)


def test_images_that_cannot_be_used_are_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = sample_sets.keypoints_json(tmp_path / "set", pairs=[["0.png", "1.png"], ["2.png", "3.png"]])
    (folder / "images" / "0.png").unlink()
    (folder / "images" / "1.png").write_bytes(b"no image")
    (folder / "images" / "4.png").write_bytes(sample_sets.picture(0, 4, (60, 80)))
    annotated = load(folder)
    assert [image.name for image in annotated.images] == ["2.png", "3.png"]
    assert annotated.pairs == ((0, 1),)
    assert "No such file" in annotated.unreadable["0.png"]
    assert annotated.unreadable["1.png"] == "not an image"
    assert annotated.unreadable["4.png"].startswith("it has 60 x 80 pixels, and its annotations are for 80 x")
    for form, kind in ((sample_sets.cub, "001"), (sample_sets.willow, "disc(S)"), (sample_sets.spair, "cat")):
        place = form(tmp_path / form.__name__)
        next(place.rglob("*/1.png")).write_bytes(b"")
        assert load(place, kind).unreadable == {"1.png": "empty file"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("[]", "holds no JSON object"),
        ("{", "no sound JSON"),
        ("[" * 200_000, "no sound JSON"),
        ('{"images": []}', '"images", an object'),
        ({"points": [[1, 2]] * 3}, "0.png of set has 3 keypoints, and the set 4"),
        ({"points": [[1, 2, 3]] * 4}, "a point must be 2 numbers, not"),
        ({"points": [[1, float("nan")]] * 4}, "a point must be 2 numbers"),
        ({"points": [["1", 2]] * 4}, "a point must be 2 numbers"),
        ({"points": None}, '"size", "bbox" and "points"'),
        ({"bbox": [1, 2, 3]}, "bbox must be 4 numbers"),
        ({"size": "large"}, "size must be 2 numbers"),
    ],
)
def test_annotations_that_are_none(tmp_path: Path, change: str | dict[str, object], words: str) -> None:
    folder = sample_sets.keypoints_json(tmp_path / "set", 2)
    if isinstance(change, dict):
        damaged = sample_sets.document(2)
        damaged["images"]["0.png"] |= change
        change = json.dumps(damaged)
    (folder / "keypoints.json").write_text(change)
    with pytest.raises(CongealError, match=words):
        load(folder)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../b.png", "a\\b.png", ""])
def test_names_stay_inside_their_folder(tmp_path: Path, name: str) -> None:
    folder = sample_sets.keypoints_json(tmp_path / "set", 2)
    damaged = sample_sets.document(2)
    damaged["images"][name] = damaged["images"].pop("0.png")
    (folder / "keypoints.json").write_text(json.dumps(damaged))
    with pytest.raises(CongealError, match="is no name of a file below"):
        load(folder)


def test_pairs_name_images_of_the_set(tmp_path: Path) -> None:
    with pytest.raises(CongealError, match="does not name two of its images"):
        load(sample_sets.keypoints_json(tmp_path / "set", pairs=[["0.png", "9.png"]]))


def test_tables_of_cub_that_are_none(tmp_path: Path) -> None:
    folder = sample_sets.cub(tmp_path / "set")
    (folder / "bounding_boxes.txt").write_text("1 2 3 4\n")
    with pytest.raises(CongealError, match="line 1: 5 columns are needed, not 4"):
        load(folder, "001")
    (folder / "bounding_boxes.txt").write_text("1 2 3 four 5\n")
    with pytest.raises(CongealError, match="where numbers must stand"):
        load(folder, "001")
