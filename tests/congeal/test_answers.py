from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from known_collection import BIRDS, known

import congeal
from infra.errors import UserError

__all__ = ["known"]


@pytest.fixture(scope="module")
def opened(known: Path) -> Any:
    return congeal.open(known)


def test_every_table_can_stay_arrow(opened: Any) -> None:
    assert isinstance(opened.table("images", as_="arrow"), pa.Table)
    assert isinstance(opened.correspondences(image="a/0.png", as_="arrow"), pa.Table)
    assert isinstance(opened.transfer("a/0.png", [[30, 30]], "a/1.png", as_="arrow"), pa.Table)
    assert isinstance(opened.landmarks([[30, 30]], "a/0.png", as_="arrow"), pa.Table)
    assert isinstance(opened.nearest("a/0.png", as_="arrow"), pa.Table)
    assert isinstance(opened.sql("SELECT 1 AS one", as_="arrow"), pa.Table)
    with pytest.raises(UserError, match="no form 'cudf': use pandas, arrow, polars"):
        opened.table("images", as_="cudf")


def test_polars_takes_arrow_without_pandas(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setitem(sys.modules, "polars", SimpleNamespace(DataFrame=taken.append))
    opened.table("images", as_="polars")
    assert isinstance(taken[0], pa.Table)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UserError, match="polars is not installed: `pip install polars`"):
        opened.table("images", as_="polars")


def test_tables_are_filtered_at_the_store(opened: Any) -> None:
    failed = opened.table("images", columns=["uri", "error"], where={"status": "failed"})
    assert failed.to_dict("records") == [{"uri": "broken.jpg", "error": "not an image"}]
    some = opened.table("images", where={"uri": ["a/1.png", "b/1.png"], "status": "ok"})
    assert some["uri"].tolist() == ["a/1.png", "b/1.png"]
    assert len(opened.table("alignments", where={"cluster_id": BIRDS})) == 5
    assert len(opened.table("clusters", columns=["seconds"], where={"cluster_id": BIRDS})) == 1
    with pytest.raises(UserError, match="no table 'image': there are images"):
        opened.table("image")
    with pytest.raises(UserError, match="no column colour"):
        opened.table("images", where={"colour": "red"})


def test_datasets_are_unread(opened: Any) -> None:
    assert opened.tables.correspondences.count_rows() == len(opened.correspondences())
    assert opened.tables.images.head(1).num_rows == 1
    assert opened.tables.clusters.count_rows() == 2
    assert opened.tables.alignments.count_rows() == 7
    assert ".correspondences" in repr(opened.tables)


def test_arrays_with_names_for_their_axes(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def dataset(variables: Any, coords: Any, attrs: Any) -> Any:
        for dims, values in variables.values():
            assert len(dims) == np.ndim(values)
            for name, size in zip(dims, np.shape(values), strict=True):
                assert name not in coords or len(coords[name]) == size
        made.append((variables, coords, attrs))
        return made[-1]

    monkeypatch.setitem(sys.modules, "xarray", SimpleNamespace(Dataset=dataset))
    opened.maps("a/0.png", as_="xarray")
    opened.atlas(BIRDS, as_="xarray")
    assert made[0][2] == {"width": 80, "height": 60}
    assert {"features", "saliency", "confidence", "average"} == set(made[1][0])
    assert made[1][2]["cluster_id"] == BIRDS
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UserError, match="xarray is not installed"):
        opened.maps("a/0.png", as_="xarray")
