from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import folder, photographs, run, tiny, units

import congeal
from infra.ledger.commits import find_marker
from infra.storage.location import Location
from tasks.index import index_partition


@pytest.fixture(scope="module")
def tables(finished: Path) -> Any:
    return congeal.open(finished / "destination")


def test_images_say_what_became_of_every_object(tables: Any) -> None:
    images = tables.images.set_index("uri")
    assert list(images.index) == sorted(images.index)
    broken = images.loc["broken.jpg"]
    assert (broken["status"], broken["error"]) == ("failed", "not an image")
    assert broken["cluster_id"] is None or broken["cluster_id"] != broken["cluster_id"]
    # "a/0.png" comes before "a/copy of 0.png", and both show the same thing.
    first, copy = images.loc["a/0.png"], images.loc["a/copy of 0.png"]
    assert (first["status"], copy["status"]) == ("ok", "duplicate")
    assert first["cluster_id"] == copy["cluster_id"]
    assert first["image_id"] == copy["image_id"]
    assert first["features_unit"] == copy["features_unit"]


def test_correspondences_are_the_maps_at_the_lattice(tables: Any) -> None:
    from congeal.transfer.points import interpolate

    found = tables.correspondences(image="b/1.png")
    maps = tables.maps("b/1.png")
    assert not found.empty
    assert found["point_id"].is_monotonic_increasing
    uv = found[["u", "v"]].to_numpy(np.float64)
    np.testing.assert_allclose(found[["x", "y"]], interpolate(maps.forward, uv), atol=1e-3)
    # The id of a point is its place in the lattice.
    row, column = np.divmod(found["point_id"].to_numpy(), 6)
    np.testing.assert_allclose(uv, np.stack([2 * column + 1, 2 * row + 1], -1) / 6 - 1, atol=1e-6)


def test_what_lies_outside_the_image_is_not_seen(tables: Any) -> None:
    images = tables.images.set_index("image_id")
    images = images[~images.index.duplicated()]
    found = tables.correspondences()
    joined = found.join(images[["width", "height"]], on="image_id")
    inside = joined["x"].between(-0.5, joined["width"] - 0.5) & joined["y"].between(
        -0.5, joined["height"] - 0.5
    )
    assert not found["visible"][~inside].any()
    assert (found["confidence"][~inside] == 0).all()
    assert found["confidence"].between(0, 1).all()
    assert set(found["image_id"]) == set(tables.alignments["image_id"])


def test_times_are_in_the_markers_and_not_in_the_tables(tables: Any, finished: Path) -> None:
    place = Location.parse(finished / "destination")
    made = {}
    for unit in units(finished / "destination", ["index"]):
        marker = find_marker(place, "index", f"{unit.parent.name}/{unit.name}")
        assert marker is not None
        made |= marker.record.get("made", {})
    clusters = tables.clusters
    assert set(made) == set(clusters["cluster_id"])
    assert clusters["seconds"].tolist() == [made[name]["seconds"] for name in clusters["cluster_id"]]
    assert clusters["device"].tolist() == ["cpu"]
    assert "seconds" not in tables.tables.clusters.schema.names


@pytest.mark.parametrize(("rows", "files"), [(10_000, 1), (6 * 6 * 2, 6)])
def test_buckets_of_clusters_add_up(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, rows: int, files: int
) -> None:
    """Room for all clusters in one file, or for two images in each: then every cluster is cut."""
    from tasks.clusters.cluster_roles import Sorting

    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2], np.int32)
    split = Sorting(labels, np.array([0, 3, 6], np.int32), np.arange(10, dtype=np.float32))
    monkeypatch.setattr("tasks.clusters.clusters_stage.sort", lambda *_: split)
    monkeypatch.setattr(index_partition, "STRETCH", 100)
    monkeypatch.setattr(index_partition, "digest", lambda *_, length: "f" * length)
    monkeypatch.setattr("tasks.index.index_stage.BLOCK", 3)
    run(finished / "source", tmp_path / "out", tiny(weights, f"index.rows_per_unit={rows}"))
    opened = congeal.open(tmp_path / "out")
    assert len(opened.publication.units["index"]) == files + 1
    assert sorted(opened.clusters["n_images"]) == [3, 3, 4]
    assert len(opened.alignments) == 10
    found = opened.correspondences()
    assert not found.duplicated(["image_id", "point_id"]).any()
    assert found["image_id"].nunique() == 10
    order = ["cluster_id", "image_id", "point_id"]
    assert found[order].equals(found[order].sort_values(order, ignore_index=True))
    for cluster, size in zip(opened.clusters["cluster_id"], opened.clusters["n_images"], strict=True):
        one = opened.correspondences(cluster=cluster)
        assert one["image_id"].nunique() == size
        for image_id, rows_of in one.groupby("image_id"):
            uri = opened.images.set_index("image_id").loc[image_id, "uri"]
            from congeal.transfer.points import interpolate

            maps = opened.maps(uri if isinstance(uri, str) else uri.iloc[0])
            uv = rows_of[["u", "v"]].to_numpy(np.float64)
            np.testing.assert_allclose(rows_of[["x", "y"]], interpolate(maps.forward, uv), atol=1e-3)


def test_an_image_that_fails_in_the_features_has_failed(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.catalog import image_reading
    from tasks.catalog.image_reading import Unreadable

    real = image_reading.read_squares

    def read(source: Any, member: Any, *more: Any) -> Any:
        return (
            Unreadable("truncated", unread=False) if member[1] == "a/1.png" else real(source, member, *more)
        )

    monkeypatch.setattr(image_reading, "read_squares", read)
    run(folder(tmp_path / "source", photographs(2)), tmp_path / "out", tiny(weights))
    images = congeal.open(tmp_path / "out").images.set_index("uri")
    assert (images.loc["a/1.png", "status"], images.loc["a/1.png", "error"]) == ("failed", "truncated")
    assert (images["status"] == "ok").sum() == 3
