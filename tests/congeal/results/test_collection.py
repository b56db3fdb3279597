from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import LITTLE_IN_COMMON, aligned, finished, folder, photographs, run, tiny, weights

import congeal
from congeal.errors import CongealError
from infra.errors import UserError
from infra.settings import StorageSettings
from infra.storage.location import Location

__all__ = ["aligned", "finished", "weights"]


@pytest.fixture(scope="module")
def opened(aligned: Path) -> Any:
    return congeal.open(aligned / "destination")


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, congeal; "
        "heavy = {'torch', 'timm', 'pandas', 'pyarrow', 'zarr', 'duckdb', 'prefect', 'infra'}; "
        "print(congeal.__version__, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1)[1].strip() == "[]"
    assert {"open", "align", "__version__"} <= set(dir(congeal))
    with pytest.raises(AttributeError, match="no attribute 'aligned'"):
        _ = congeal.aligned


def test_tables_are_data_frames(opened: Any) -> None:
    assert len(opened.images) == 12
    assert list(opened.clusters["n_images"]) == [10]
    assert {"seconds", "device", "margin", "backbone"} <= set(opened.clusters.columns)
    assert len(opened.alignments) == 10
    outliers = opened.alignments["outlier"].sum()
    said = "1 outlier" if outliers == 1 else f"{outliers} outliers"
    assert f"10 images, 1 cluster, {said}" in repr(opened)


def test_correspondences_are_filtered_at_the_store(opened: Any) -> None:
    everything = opened.correspondences()
    cluster = opened.clusters["cluster_id"][0]
    one = opened.correspondences(cluster=cluster, image="a/1.png", columns=["point_id", "x", "y"])
    assert list(one.columns) == ["point_id", "x", "y"]
    assert len(everything) == 10 * len(one)
    assert len(opened.correspondences(cluster=cluster)) == len(everything)
    with pytest.raises(UserError, match="no cluster 'c0'"):
        opened.correspondences(cluster="c0")
    with pytest.raises(UserError, match="no column z: there are cluster_id"):
        opened.correspondences(columns=["z"])


def test_points_go_through_the_atlas(opened: Any) -> None:
    points = np.array([[32.0, 30.0], [40.0, 35.0]])
    there = opened.transfer("a/0.png", points, "b/1.png")
    assert list(there.columns) == ["x", "y", "confidence", "visible"]
    assert there["confidence"].between(0, 1).all()
    # By way of the atlas to the image itself: where they came from, to within a cell of these coarse maps.
    same = opened.transfer("a/0.png", points, "a/0.png")
    np.testing.assert_allclose(same[["x", "y"]], points, atol=4)


def test_an_image_has_an_id_and_any_of_its_names(opened: Any) -> None:
    images = opened.images.set_index("uri")
    image_id = images.loc["a/0.png", "image_id"]
    by_id = opened.transfer(image_id, [[30, 30]], "b/1.png")
    by_name = opened.transfer("a/0.png", [[30, 30]], "b/1.png")
    by_copy = opened.transfer("a/copy of 0.png", [[30, 30]], "b/1.png")
    assert by_id.equals(by_name)
    assert by_id.equals(by_copy)


def test_images_without_maps_get_a_sentence(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.clusters import clusters_stage
    from tasks.clusters.cluster_roles import Sorting

    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, -1, -1], np.int32)
    split = Sorting(labels, np.array([0, 4], np.int32), np.zeros(10, np.float32))
    monkeypatch.setattr(clusters_stage, "sort", lambda *_: split)
    run(finished / "source", tmp_path / "out", tiny(weights, LITTLE_IN_COMMON))
    opened = congeal.open(tmp_path / "out")
    images = opened.images
    outlier = images[(images["status"] == "ok") & images["cluster_id"].isna()]["uri"].iloc[0]
    first, second = (group["uri"].iloc[0] for _, group in images.groupby("cluster_id"))
    for source, target, words in (
        ("nowhere.png", first, "no image 'nowhere.png'"),
        ("broken.jpg", first, "'broken.jpg' could not be used: not an image"),
        (first, outlier, "is an outlier"),
        (first, second, "are in different clusters"),
    ):
        with pytest.raises(UserError, match=words):
            opened.transfer(source, [[1, 1]], target)
    with pytest.raises(CongealError, match="lies outside"):
        opened.transfer(first, [[1000, 1]], first)


def test_an_atlas_and_maps(opened: Any) -> None:
    cluster = opened.clusters["cluster_id"][0]
    atlas = opened.atlas(cluster)
    assert atlas.features.shape == (16, 16, 64)
    assert atlas.average.shape[-1] == 3
    assert set(atlas.members) == set(opened.alignments["image_id"])
    maps = opened.maps("b/0.png")
    assert (maps.frame.width, maps.frame.height) == (64, 84)
    assert maps.forward.shape == (16, 16, 2)
    assert maps.backward_confidence.shape == (12, 12)


def test_sql_reads_the_tables_together(opened: Any) -> None:
    found = opened.sql(
        "SELECT i.uri, a.scale, c.device FROM images i JOIN alignments a USING (image_id) "
        "JOIN clusters c ON c.cluster_id = a.cluster_id WHERE i.status = 'ok' ORDER BY i.uri"
    )
    assert len(found) == 10
    assert found["uri"].iloc[0] == "a/0.png"
    assert opened.sql("SELECT count(*) AS n FROM correspondences")["n"][0] == len(opened.correspondences())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nothing FROM images", 'Referenced column "nothing" not found'),
        ("SELECT * FROM read_csv('mine.csv')", "disabled by configuration"),
        ("COPY images TO 'images.csv'", "One reading statement"),
        ("CREATE TABLE mine AS SELECT 1", "One reading statement"),
        ("SET threads = 1", "One reading statement"),
        ("SELECT 1; SELECT 2", "One reading statement"),
        ("SELEC", "syntax error"),
    ],
)
def test_sql_only_reads_what_is_published(opened: Any, query: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        opened.sql(query)


def test_an_opened_version_stays_what_it_was(tmp_path: Path, weights: Path) -> None:
    source, destination = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    run(source, destination, tiny(weights))
    before = congeal.open(destination)
    folder(source, {"c/new.png": photographs(3)["a/2.png"]})
    run(source, destination, tiny(weights))
    assert len(before.images) == 4
    assert len(congeal.open(destination).images) == 5
    assert len(congeal.open(destination, version="1").images) == 4
    with pytest.raises(UserError, match="has no version 9"):
        congeal.open(destination, version="9")


@pytest.mark.s3
def test_a_destination_on_s3(
    tmp_path: Path,
    weights: Path,
    s3_location: Location,
    s3_settings: StorageSettings,
    s3_endpoint: str,
) -> None:
    source = folder(tmp_path / "source", photographs(2))
    run(source, s3_location, tiny(weights, LITTLE_IN_COMMON, storage=s3_settings))
    opened = congeal.open(s3_location.url, endpoint_url=s3_endpoint)
    assert len(opened.images) == 4
    assert len(opened.correspondences(image="a/0.png")) > 0
    assert opened.sql("SELECT count(*) AS n FROM alignments")["n"][0] == 4
    assert opened.transfer("a/0.png", [[30, 30]], "b/1.png").shape == (1, 4)


def test_nothing_published(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Nothing is published in .*: `congeal run SOURCE"):
        congeal.open(tmp_path)
