from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_runs import folder, photographs, run, tiny

from congeal.results.schema.parquet_files import dataset
from infra.storage.location import Location
from tasks.clusters import clusters_stage, collection_embeddings
from tasks.clusters.cluster_roles import Sorting, sort
from tasks.clusters.clusters_stage import MEMBERS, SETS


def tables(destination: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    (members,) = destination.glob("stages/clusters/*/*/*/members.parquet")
    (sets,) = destination.glob("stages/clusters/*/*/*/clusters.parquet")
    read = [
        dataset([Location.parse(path)], schema).to_table().to_pylist()
        for path, schema in ((members, MEMBERS), (sets, SETS))
    ]
    return read[0], read[1]


def test_the_nearest_to_the_medoid_build_the_atlas(finished: Path) -> None:
    members, sets = tables(finished / "destination")
    assert [row["rank"] for row in members] == list(range(10))
    assert [row["role"] for row in members] == ["member"] * 6 + ["fitted"] * 4
    distances = [row["distance"] for row in members]
    # Those that are no near copies by distance, then the others by distance.
    assert distances[0] == min(distances)
    assert sum(later < earlier for earlier, later in pairwise(distances)) <= 1
    assert sets == [
        {
            "cluster_id": members[0]["cluster_id"],
            "medoid_image_id": members[0]["image_id"],
            "n_images": 10,
            "n_members": 6,
        }
    ]


def test_a_cluster_is_named_by_its_members(finished: Path, tmp_path: Path, weights: Path) -> None:
    run(finished / "source", tmp_path / "other", tiny(weights, "atlases.atlas_size=3", "seed=5"))
    same, _ = tables(tmp_path / "other")
    first, _ = tables(finished / "destination")
    assert {row["cluster_id"] for row in same} == {row["cluster_id"] for row in first}
    source = folder(tmp_path / "source", photographs(2))
    run(source, tmp_path / "fewer", tiny(weights))
    fewer, _ = tables(tmp_path / "fewer")
    assert fewer[0]["cluster_id"] != first[0]["cluster_id"]
    assert len(fewer[0]["cluster_id"]) == 12


def test_outliers_belong_to_nothing(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split(*_: Any) -> Sorting:
        labels = np.array([0, 0, 0, 1, 1, 1, -1, -1, 1, 0], np.int32)
        return Sorting(labels, np.array([2, 4], np.int32), np.linspace(0, 1, 10, dtype=np.float32))

    monkeypatch.setattr(clusters_stage, "sort", split)
    facts = run(finished / "source", tmp_path / "out", tiny(weights))
    # Two belong to no set; the eight others' sets have nothing in common for a backbone that knows nothing.
    assert (facts["clusters"], facts["outliers"]) == (2, 10)
    members, sets = tables(tmp_path / "out")
    assert [row["outlier"] for row in members] == [False] * 8 + [True] * 2
    assert all(row["cluster_id"] is None and row["role"] is None for row in members[8:])
    assert [row["n_images"] for row in sets] == [4, 4]
    ids = sorted(row["image_id"] for row in members)
    assert {row["medoid_image_id"] for row in sets} == {ids[2], ids[4]}


def test_no_cluster_at_all_is_an_answer(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Sorting(np.full(10, -1, np.int32), np.zeros(0, np.int32), np.ones(10, np.float32))
    monkeypatch.setattr(clusters_stage, "sort", lambda *_: nothing)
    facts = run(finished / "source", tmp_path / "out", tiny(weights))
    assert (facts["clusters"], facts["outliers"]) == (0, 10)
    assert facts["published"]
    assert run(finished / "source", tmp_path / "out", tiny(weights))["up_to_date"]


def test_single_takes_everything(weights: Path) -> None:
    embeddings = np.eye(4, dtype=np.float32)
    embeddings[3] = embeddings[2] = (0.6, 0, 0.8, 0)
    found = sort(embeddings, tiny(weights), clusters_stage.VERSION)
    assert found.labels.tolist() == [0] * 4
    assert found.medoids.tolist() == [2]
    assert found.distances.tolist() == pytest.approx([0.4, 1, 0, 0], abs=1e-6)


def test_large_collections_keep_their_embeddings_in_a_file(
    finished: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_embeddings, "IN_MEMORY_BYTES", 0)
    kinds = []
    real = clusters_stage.sort
    monkeypatch.setattr(
        clusters_stage,
        "sort",
        lambda embeddings, *more: kinds.append(type(embeddings)) or real(embeddings, *more),
    )
    run(finished / "source", tmp_path / "out", tiny(weights))
    assert kinds == [np.memmap]
    assert tables(tmp_path / "out") == tables(finished / "destination")
