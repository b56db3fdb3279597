"""The rendered samples: what is there, that its ground truth holds, that its shapes can be built again."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from congeal.errors import ImageError
from congeal.evaluation.datasets import keypoints_json
from congeal.imaging.decoding import inspect

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
RIGID, BENDING = ("mug", "teapot", "chair", "car"), ("lamp", "fish", "dog", "butterfly")
KINDS = RIGID + BENDING


def document(kind: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((SAMPLES / kind / "keypoints.json").read_text())
    return read


def looked_at(data: bytes) -> tuple[int, int]:
    info = inspect(data, max_pixels=10**7, min_side=8)
    return info.width, info.height


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_set_that_can_be_evaluated(kind: str) -> None:
    found = keypoints_json.load(SAMPLES / kind)
    assert len(found.images) >= 12
    assert not found.unreadable
    assert found.protocol == "spair"
    assert found.pairs is not None
    assert len(found.pairs) == len(found.images) * (len(found.images) - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_small_jpegs_and_all_are_annotated(kind: str) -> None:
    entries = document(kind)["images"]
    files = sorted((SAMPLES / kind / "images").iterdir())
    assert [file.name for file in files] == sorted(entries)
    for file in files:
        data = file.read_bytes()
        assert inspect(data, 10**7, 8).format == "JPEG"
        assert 256 <= min(looked_at(data)) <= max(looked_at(data)) <= 384
        assert list(looked_at(data)) == entries[file.name]["size"]


@pytest.mark.parametrize("kind", KINDS)
def test_points_lie_in_the_picture_and_about_the_box(kind: str) -> None:
    names = document(kind)["keypoint_names"]
    assert 8 <= len(names) == len(set(names))
    for file, entry in document(kind)["images"].items():
        points = np.array([point for point in entry["points"] if point is not None])
        assert len(entry["points"]) == len(names)
        assert len(points) >= 5, file
        (width, height), (x0, y0, x1, y1) = entry["size"], entry["bbox"]
        assert (points >= -0.5).all()
        assert (points <= [width - 0.5, height - 0.5]).all()
        assert -0.5 <= x0 < x1 <= width - 0.5
        assert -0.5 <= y0 < y1 <= height - 0.5
        # The box is that of what is seen, and a point is the middle of something: an edge may lie between.
        assert (points >= np.array([x0, y0]) - 3).all(), file
        assert (points <= np.array([x1, y1]) + 3).all(), file


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_is_seen_somewhere_and_things_turn(kind: str) -> None:
    read = document(kind)
    seen = np.array([[p is not None for p in entry["points"]] for entry in read["images"].values()])
    assert seen.any(0).all(), np.array(read["keypoint_names"])[~seen.any(0)]
    if kind not in ("chair", "butterfly"):
        left, right = read["subsets"]["facing_left"], read["subsets"]["facing_right"]
        assert sorted(left + right) == sorted(read["images"])
        assert min(len(left), len(right)) >= 5


def surfaces(kind: str) -> dict[str, dict[str, np.ndarray]]:
    files = sorted((SAMPLES / kind / "surface").glob("*.npz"))
    return {f"{file.stem}.jpg": dict(np.load(file, allow_pickle=False)) for file in files}


@pytest.mark.parametrize("kind", KINDS)
def test_surface_maps_cover_the_things_as_they_are_boxed(kind: str) -> None:
    read = document(kind)
    maps = surfaces(kind)
    assert sorted(maps) == sorted(read["images"])
    for file, surface in maps.items():
        (width, height), box = read["images"][file]["size"], read["images"][file]["bbox"]
        assert surface["part"].shape == surface["s"].shape == surface["t"].shape == (height // 4, width // 4)
        assert set(np.unique(surface["part"])) <= {*range(len(read["parts"]) + 1), 255}
        assert max(surface["s"].max(), surface["t"].max()) <= 1023
        rows, columns = np.nonzero(surface["part"])
        x0, y0, x1, y1 = box
        assert columns.min() * 4 >= x0 - 4
        assert columns.max() * 4 + 3 <= x1 + 4
        assert rows.min() * 4 >= y0 - 4
        assert rows.max() * 4 + 3 <= y1 + 4
        assert 0.2 < len(rows) * 16 / ((x1 - x0) * (y1 - y0)) <= 1.05 or kind in ("lamp", "chair")


@pytest.mark.parametrize("kind", KINDS)
def test_visible_points_lie_on_the_thing(kind: str) -> None:
    read = document(kind)
    for file, surface in surfaces(kind).items():
        things = np.stack(np.nonzero(surface["part"])[::-1], 1) * 4 + 1.5
        for name, point in zip(read["keypoint_names"], read["images"][file]["points"], strict=True):
            if point is not None:
                away = np.linalg.norm(things - point, axis=1).min()
                # Cells are four pixels wide, and thin tips may fall between their centres.
                assert away < 12, (file, name, away)


def test_a_place_on_the_wing_is_the_same_place_on_every_butterfly() -> None:
    # Points and surface maps are made independently; the eye of one must be found by the other.
    read = document("butterfly")
    part = 1 + read["parts"].index("left_forewing")
    for file, surface in surfaces("butterfly").items():
        entry = read["images"][file]
        tip = entry["points"][read["keypoint_names"].index("left_forewing_tip")]
        if tip is None:
            continue
        rows, columns = np.nonzero(surface["part"] == part)
        place = np.stack([surface["s"][rows, columns], surface["t"][rows, columns]], 1) / 1023
        nearest = np.argmin(np.linalg.norm(place - [1.0, 0.12], axis=1))
        assert np.linalg.norm(np.array([columns[nearest], rows[nearest]]) * 4 + 1.5 - tip) < 16, file


def test_the_whole_is_small_labelled_and_has_its_odd_ones() -> None:
    pictures = sorted(SAMPLES.glob("*/images/*.jpg"))
    results = [*pictures, *SAMPLES.glob("*/surface/*.npz"), *SAMPLES.glob("*/keypoints.json")]
    assert sum(file.stat().st_size for file in results) <= 3_000_000
    with (SAMPLES / "labels.csv").open(newline="") as stream:
        labels = {row["file"]: row["label"] for row in csv.DictReader(stream)}
    assert sorted(labels) == sorted(file.name for file in pictures)
    odd = SAMPLES / "other" / "images"
    copy = (odd / "duplicate.jpg").read_bytes()
    twins = [file for file in pictures if file.read_bytes() == copy and file.name != "duplicate.jpg"]
    assert [labels[file.name] for file in twins] == [labels["duplicate.jpg"]]
    with pytest.raises(ImageError, match="truncated"):
        looked_at((odd / "broken.jpg").read_bytes())
    alone = [file for file in pictures if labels[file.name] == "other"]
    assert len(alone) >= 3
    for file in alone:
        looked_at(file.read_bytes())


def test_pictures_are_sharp_and_well_lit() -> None:
    for file in SAMPLES.glob("*/images/*.jpg"):
        if file.name != "broken.jpg":
            grey = np.asarray(Image.open(file).convert("L"), np.float64)
            assert 50 < grey.mean() < 225, file.name
            assert grey.std() > 8, file.name


@pytest.fixture
def renderer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the renderer; those that need neither Mitsuba nor marching cubes."""
    folder = SAMPLES / "renderer"
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.mark.parametrize("kind", ["mug", "teapot", "lamp", "chair", "fish", "butterfly"])
def test_a_shape_follows_from_its_seed_and_differs_from_the_next(
    renderer: Callable[[str], ModuleType], kind: str
) -> None:
    module = renderer(f"kinds.{kind}")
    one, again, other = (module.build(np.random.default_rng(seed), seed) for seed in (3, 3, 4))
    for part, twin in zip(one.parts, again.parts, strict=True):
        assert np.array_equal(part.vertices, twin.vertices)
        assert np.array_equal(part.colour, twin.colour)
    assert list(one.keypoints) == list(other.keypoints) == document(kind)["keypoint_names"]
    assert any(
        not np.allclose(one.keypoints[name], other.keypoints[name], atol=0.01) for name in one.keypoints
    )
    assert {part.name for part in one.parts} - {None} == set(module.PARTS) == set(document(kind)["parts"])
    every = np.concatenate([part.vertices for part in one.parts])
    for name, point in one.keypoints.items():
        assert np.linalg.norm(every - point, axis=1).min() < 0.04, name


def test_the_camera_projects_as_it_casts(renderer: Callable[[str], ModuleType]) -> None:
    camera_module = renderer("camera")
    corners = np.array([[x, y, z] for x in (-0.5, 0.6) for y in (-0.3, 0.3) for z in (0, 0.8)])
    camera = camera_module.framed(corners, -70, 18, 7, (352, 288), 0.7, (0.4, -0.3))
    seen = camera.project(corners)
    directions = camera.rays(seen)
    wanted = corners - camera.origin
    assert np.allclose(directions, wanted / np.linalg.norm(wanted, axis=1, keepdims=True))
    # It fills what was asked for, and lies inside.
    assert ((seen.max(0) - seen.min(0)) / [352, 288]).max() == pytest.approx(0.7, abs=0.02)
    assert (seen > 0).all()
    assert (seen < [351, 287]).all()
    # Higher in space is higher in the picture; seen from -y, +x is to the right.
    up, right = (
        camera.project(np.array([[0, 0, 0], [0, 0, 0.5]])),
        camera.project(np.array([[0, 0, 0], [0.5, 0, 0]])),
    )
    assert up[1, 1] < up[0, 1]
    assert right[1, 0] > right[0, 0]
