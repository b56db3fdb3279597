from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sample_runs import LITTLE_IN_COMMON, folder, photographs, run, tiny

import congeal
from congeal.geometry.frames import Frame
from congeal.results.schema.atlas_arrays import BACKWARD
from congeal.results.schema.parquet_files import dataset
from congeal.results.schema.tables import ALIGNMENTS
from congeal.settings import Settings, load_settings
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.atlases.atlas_files import read
from tasks.atlases.atlases_stage import scope
from tasks.atlases.previews import columns_for
from tasks.atlases.stored_atlas import with_cycle_error
from tasks.catalog.image_reading import Unreadable


def atlas(destination: Path) -> tuple[Marker, Location, Any]:
    (folder_,) = (path.parent for path in destination.glob("stages/atlases/*/*/_commit.json"))
    place = Location.parse(destination)
    marker = find_marker(place, "atlases", f"{folder_.parent.name}/{folder_.name}")
    assert marker is not None
    outputs = outputs_location(place, marker)
    return marker, outputs, open_group(outputs / "atlas.zarr")


def test_a_cluster_is_one_group_with_maps_both_ways(finished: Path) -> None:
    marker, _, group = atlas(finished / "destination")
    assert marker.record["n_images"] == 10
    assert marker.record["n_members"] == 6
    assert group["atlas/features"].shape == (16, 16, 64)
    assert group["atlas/saliency"].metadata.dimension_names == ("v", "u")
    assert group["maps/forward"].shape == (10, 16, 16, 2)
    assert group["maps/forward"].chunks == (1, 16, 16, 2)
    assert group["maps/backward"].shape == (10, 12, 12, 2)
    assert group["maps/backward_confidence"].dtype == np.float16
    assert group["poses"].shape == (10, 6)
    assert "pixels of the original image" in group.attrs["coordinates"]
    assert len(group.attrs["image_ids"]) == len(set(group.attrs["image_ids"])) == 10


def test_forward_maps_are_pixels_of_each_image(finished: Path) -> None:
    # Both maps of an image go through its own frame: to the atlas and back is where one came from.
    from congeal.transfer.points import interpolate

    _, _, group = atlas(finished / "destination")
    sizes = group.attrs["sizes"]
    assert {tuple(size) for size in sizes} == {(80, 60), (64, 84)}
    errors = []
    for position, size in enumerate(sizes):
        frame = Frame(*size)
        backward = np.asarray(group["maps/backward"][position], np.float64)
        inner = np.abs(backward).max(-1) < 0.7
        cells = np.stack(np.meshgrid(*[(2 * np.arange(12) + 1) / 12 - 1] * 2), -1)[inner]
        back = interpolate(np.asarray(group["maps/forward"][position]), backward[inner])
        errors += list(np.abs(frame.to_frame(back) - cells).max(-1))
    assert len(errors) > 50
    assert np.median(errors) < 0.05


def test_the_published_cycle_error_is_that_of_the_stored_maps(finished: Path) -> None:
    """From its parts, without the code that made it: along the forward map, back along the backward one."""
    from congeal.transfer.points import interpolate

    marker, outputs, group = atlas(finished / "destination")
    salient = group["atlas/saliency"][:] > 0.3
    side = (2 * np.arange(16) + 1) / 16 - 1
    starts = np.stack(np.meshgrid(side, side), -1)[salient]
    rows = dataset([outputs / "alignment.parquet"], ALIGNMENTS).to_table().to_pylist()
    told = {row["image_id"]: row["cycle_error"] for row in rows}
    sound = {row["image_id"] for row in rows if not row["outlier"]}
    found = {}
    for at, (name, size) in enumerate(zip(group.attrs["image_ids"], group.attrs["sizes"], strict=True)):
        places = Frame(*size).to_frame(np.float64(group["maps/forward"][at][salient]))
        inside = (np.abs(places) <= 1).all(-1)
        ends = interpolate(group["maps/backward"][at], places[inside])
        found[name] = np.hypot(*(ends - starts[inside]).T).mean()
    assert found == pytest.approx(told, rel=1e-5)
    assert all(0 <= error < 0.05 for error in found.values())
    if sound:
        median = np.median([found[name] for name in sound])
        assert marker.record["cycle_error"] == pytest.approx(median, rel=1e-5)


def test_a_disturbed_map_is_seen_in_what_is_stored(finished: Path) -> None:
    marker, outputs, _ = atlas(finished / "destination")
    stored = read(outputs, marker.record["margin"], marker.record["medoid_image_id"])
    before = stored.figures["cycle_error"]
    images = {array: data.copy() for array, data in stored.images.items()}
    images[BACKWARD][2] += np.float32([0.3, 0.0])
    after = with_cycle_error(replace(stored, images=images)).figures["cycle_error"]
    assert after[2] == pytest.approx(before[2] + 0.3, abs=0.1)
    np.testing.assert_array_equal(np.delete(after, 2), np.delete(before, 2))


@pytest.mark.parametrize("sides", [(1, 1), (1, 8), (2, 1), (2, 2)])
def test_the_smallest_atlases_can_be_asked(tmp_path: Path, weights: Path, sides: tuple[int, int]) -> None:
    source = folder(tmp_path / "source", photographs(2))
    more = (f"atlases.resolution={sides[0]}", f"atlases.map_resolution={sides[1]}", "index.lattice=1")
    run(source, tmp_path / "out", tiny(weights, *more))
    opened = congeal.open(tmp_path / "out")
    assert opened.maps("a/0.png").forward.shape == (sides[0], sides[0], 2)
    assert opened.maps("a/0.png").backward.shape == (sides[1], sides[1], 2)
    assert len(opened.correspondences()) == 4
    if opened.clusters["status"].tolist() == ["ok"]:
        assert opened.transfer("a/0.png", [[20.0, 20.0]], "b/1.png").notna().all(axis=None)
        (carried,) = opened.propagate(np.ones((60, 80), bool), "a/0.png", to=["b/1.png"])
        assert carried.pixels.shape == (84, 64)


def test_every_image_has_a_row(finished: Path) -> None:
    _, outputs, group = atlas(finished / "destination")
    rows = dataset([outputs / "alignment.parquet"], ALIGNMENTS).to_table().to_pylist()
    assert [row["image_id"] for row in rows] == sorted(group.attrs["image_ids"])
    assert sorted(row["role"] for row in rows) == ["fitted"] * 4 + ["member"] * 6
    order = [group.attrs["image_ids"].index(row["image_id"]) for row in rows]
    np.testing.assert_array_equal([row["scale"] for row in rows], group["poses"][:][order, 2])


def test_previews_are_pictures(finished: Path) -> None:
    _, outputs, _ = atlas(finished / "destination")
    path = outputs.local_path()
    assert path is not None
    found = {picture.name: np.asarray(Image.open(picture)) for picture in (path / "previews").iterdir()}
    assert set(found) == {
        "aligned.png", "atlas_features.png", "average_after.png", "average_before.png", "members.png"
    }  # fmt: skip
    assert all(picture.ndim == 3 and picture.std() > 0 for picture in found.values())
    opened = congeal.open(finished / "destination")
    average = opened.atlas(opened.clusters["cluster_id"][0]).average
    np.testing.assert_array_equal(found["average_after.png"], average)


def test_an_atlas_needs_no_pictures(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No squares were kept, and the photographs went away after their features were made.
    monkeypatch.setattr("tasks.features.feature_shards.MOST_PREVIEW", 0)
    monkeypatch.setattr("tasks.atlases.previews.read_square", lambda *_: Unreadable("gone", unread=True))
    run(finished / "source", tmp_path / "out", tiny(weights))
    marker, _, group = atlas(tmp_path / "out")
    opened = congeal.open(tmp_path / "out")
    assert opened.atlas(opened.clusters["cluster_id"][0]).average is None
    _, _, undisturbed = atlas(finished / "destination")
    assert list(marker.record["not_shown"].values()) == ["gone"] * 4
    assert [path for path in marker.outputs if path.endswith(".png")] == ["previews/atlas_features.png"]
    np.testing.assert_array_equal(group["maps/forward"][:], undisturbed["maps/forward"][:])


def test_an_atlas_says_which_features_its_images_chose(finished: Path, tmp_path: Path, weights: Path) -> None:
    run(finished / "source", tmp_path / "out", tiny(weights, "features.beside=0.token,1.key"))
    _, _, group = atlas(tmp_path / "out")
    weighed = {tuple(names): share for names, share in group.attrs["weighed"]}
    (usual,) = next(iter(weighed))
    assert usual.endswith(".token")
    assert len(weighed) == 4
    assert max(weighed, key=len) == (usual, "0.token", "1.key")
    assert tuple(group.attrs["mixture"]) in weighed
    _, _, plain = atlas(finished / "destination")
    assert group["atlas/features"].shape[-1] == 3 * plain["atlas/features"].shape[-1]
    assert (list(plain.attrs["mixture"]), list(plain.attrs["weighed"])) == ([], [])


@pytest.mark.parametrize(("count", "columns"), [(1, 2), (4, 3), (24, 6)])
def test_a_sheet_is_a_little_wider_than_high(count: int, columns: int) -> None:
    assert columns_for(count) == columns


@pytest.mark.parametrize("overrides", [(), ("atlases.solver=synchronize",), ("atlases.solver=default",)])
def test_the_default_configuration_has_the_keys_of_before_there_was_one(overrides: tuple[str, ...]) -> None:
    settings = load_settings(None, overrides, {})
    assert scope(settings, "0123456789abcdef", 1) == "2e0df79709c618f5"
    assert scope(settings, "0123456789abcdef", 7) == "6cf4b5f30009b40b"


def test_every_other_configuration_has_a_key_of_its_own() -> None:
    ways = ("flow", "guided", "{}", '{"flow.finest_cells": 32}', '{"flow.finest_cells": 31}')
    keys = [scope(load_settings(None, [f"atlases.solver={way}"], {}), "0123456789abcdef", 1) for way in ways]
    assert keys[2] == scope(Settings(), "0123456789abcdef", 1)
    assert len(set(keys)) == len(keys)
    again = load_settings(None, ["atlases.solver.flow.finest_cells=32"], {})
    assert scope(again, "0123456789abcdef", 1) == keys[3]


def test_what_differs_from_the_default_is_recorded_and_can_be_read(finished: Path, aligned: Path) -> None:
    field, value = LITTLE_IN_COMMON.removeprefix("atlases.solver.").split("=")
    usual, _, _ = atlas(finished / "destination")
    other, _, _ = atlas(aligned / "destination")
    assert usual.record["solver_config"] == {}
    assert other.record["solver_config"] == {field: float(value)}
    assert usual.scope != other.scope
    told = {
        home: congeal.open(home / "destination").publication.settings["atlases"]["solver"]
        for home in (finished, aligned)
    }
    assert told == {finished: "synchronize", aligned: {field: float(value)}}
