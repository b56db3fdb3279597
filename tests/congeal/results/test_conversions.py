from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import typed_answers
from known_collection import BIRDS, known, opened

from infra.errors import UserError

__all__ = ["known", "opened"]


def test_every_table_can_stay_arrow(opened: Any) -> None:
    assert isinstance(opened.table("images", as_="arrow"), pa.Table)
    assert isinstance(opened.correspondences(image="a/0.png", as_="arrow"), pa.Table)
    assert isinstance(opened.transfer("a/0.png", [[30, 30]], "a/1.png", as_="arrow"), pa.Table)
    assert isinstance(opened.landmarks([[30, 30]], "a/0.png", as_="arrow"), pa.Table)
    assert isinstance(opened.nearest("a/0.png", as_="arrow"), pa.Table)
    assert isinstance(opened.sql("SELECT 1 AS one", as_="arrow"), pa.Table)
    with pytest.raises(UserError, match="no form 'cudf': use pandas, arrow, polars"):
        opened.table("images", as_="cudf")


def test_answers_have_the_types_that_a_type_checker_is_told(opened: Any) -> None:
    """The whole of tests/helpers/typed_answers.py, which `make types` checks, holds when it runs."""
    places = (BIRDS, "a/0.png", "a/1.png")
    frames = list(typed_answers.frames(opened, *places))
    assert len(frames) == 11
    assert all(isinstance(frame, pd.DataFrame) for frame in frames)
    tables = list(typed_answers.arrow_tables(opened, *places))
    assert len(tables) == 7
    assert all(isinstance(table, pa.Table) for table in tables)
    found = [
        type(table)
        for form in ("pandas", "arrow")
        for table in typed_answers.tables_of_any_form(opened, *places[:2], form)
    ]
    assert found == [pd.DataFrame] * 6 + [pa.Table] * 6
    typed_answers.others(opened, *places[:2], "numpy")


def test_what_is_missing_has_a_type_that_says_so(opened: Any) -> None:
    images = opened.images
    kinds = {"outlier": "boolean", "width": "Int32", "height": "Int32", "features_row": "Int32"}
    assert {name: str(images.dtypes[name]) for name in kinds} == kinds
    broken = images.set_index("uri").loc["broken.jpg"]
    assert all(broken[name] is pd.NA for name in kinds)
    assert images["bytes"].dtype == "Int64"
    assert list(images.columns) == opened.table("images", as_="arrow").column_names
    # The same types whether or not something is missing in what was asked for.
    whole = opened.table("images", where={"status": "ok"})
    assert whole.dtypes.equals(images.dtypes)


def test_a_column_of_truth_values_is_a_mask(opened: Any) -> None:
    images = opened.images
    fitting, outliers = images[~images.outlier], images[images.outlier]
    assert outliers["uri"].tolist() == ["a/misfit.png", "c/outlier.png"]
    assert len(fitting) == len(images) - 3  # of the one that failed nobody knows
    assert "broken.jpg" not in set(fitting["uri"])
    alignments = opened.alignments
    assert len(alignments[~alignments.outlier]) == len(alignments) - 1
    assert len(alignments[~alignments.mirrored]) == 0
    assert alignments["mirrored"].isna().all()
    points = opened.correspondences()
    assert len(points[~points.visible]) + len(points[points.visible]) == len(points)


def test_numbers_of_a_query_stay_what_they_are(opened: Any) -> None:
    large = 2**60 + 1
    found = opened.sql(f"SELECT * FROM (VALUES ({large}, 1, true, 1), (NULL, 2, NULL, 2)) t(a, b, c, a)")
    assert found.iloc[0, 0] == large
    assert [str(kind) for kind in found.dtypes] == ["Int64", "int32", "boolean", "int32"]
    assert list(found.columns) == ["a", "b", "c", "a_1"]
    assert opened.sql("SELECT count(*) AS n FROM images")["n"].dtype == np.int64


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
    with pytest.raises(UserError, match=r"no table 'image': did you mean 'images'\?"):
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
