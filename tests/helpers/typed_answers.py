"""What a type checker knows of the answers of a collection: checked by `make types`, run by a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_type

import numpy as np
import pandas as pd
import pyarrow as pa

from congeal.results.collection import Collection
from congeal.results.conversions import Form, Table
from congeal.results.schema.rows import ImageRow, MemberRow
from congeal.results.stored.maps import StoredAtlas
from congeal.results.transfer.annotation_transfer import CarriedImage
from congeal.transfer.points import Maps

if TYPE_CHECKING:
    import polars as pl
    import xarray as xr

POINTS = [[30.0, 30.0]]


def frames(c: Collection, cluster: str, image: str, other: str) -> Iterator[pd.DataFrame]:
    """Every method that answers with a table, as it answers when no form is asked for."""
    yield assert_type(c.images, pd.DataFrame)
    yield assert_type(c.clusters, pd.DataFrame)
    yield assert_type(c.alignments, pd.DataFrame)
    yield assert_type(c.table("images", ["uri"], {"status": "ok"}), pd.DataFrame)
    yield assert_type(c.correspondences(cluster=cluster, columns=["x"]), pd.DataFrame)
    yield assert_type(c.transfer(image, POINTS, other), pd.DataFrame)
    yield assert_type(c.transfer(source=image, points=POINTS, target=[other], as_="pandas"), pd.DataFrame)
    yield assert_type(c.landmarks(POINTS, image), pd.DataFrame)
    yield assert_type(c.landmarks([[0.0, 0.0]], atlas=cluster, names=["tip"], to=[image]), pd.DataFrame)
    yield assert_type(c.nearest(image, 1, same_cluster=True), pd.DataFrame)
    yield assert_type(c.sql("FROM images"), pd.DataFrame)


def arrow_tables(c: Collection, cluster: str, image: str, other: str) -> Iterator[pa.Table]:
    """The same as Arrow tables."""
    yield assert_type(c.table("images", as_="arrow"), pa.Table)
    yield assert_type(c.correspondences(image=image, as_="arrow"), pa.Table)
    yield assert_type(c.transfer(image, POINTS, other, "arrow"), pa.Table)
    yield assert_type(c.landmarks(POINTS, image, as_="arrow"), pa.Table)
    yield assert_type(c.nearest([image, other], as_="arrow"), pa.Table)
    yield assert_type(c.sql("FROM images", "arrow"), pa.Table)
    yield assert_type(c.query("FROM clusters"), pa.Table)


def polars_frames(c: Collection, cluster: str, image: str, other: str) -> Iterator[pl.DataFrame]:
    """The same as Polars frames; only where Polars is installed."""
    yield assert_type(c.table("images", as_="polars"), "pl.DataFrame")
    yield assert_type(c.correspondences(cluster, as_="polars"), "pl.DataFrame")
    yield assert_type(c.transfer(image, POINTS, other, as_="polars"), "pl.DataFrame")
    yield assert_type(c.landmarks(POINTS, image, as_="polars"), "pl.DataFrame")
    yield assert_type(c.nearest(image, as_="polars"), "pl.DataFrame")
    yield assert_type(c.sql("FROM images", as_="polars"), "pl.DataFrame")


def xarray_datasets(c: Collection, cluster: str, image: str) -> Iterator[xr.Dataset]:
    """Arrays as datasets; only where xarray is installed."""
    yield assert_type(c.atlas(cluster, as_="xarray"), "xr.Dataset")
    yield assert_type(c.maps(image, as_="xarray"), "xr.Dataset")


def tables_of_any_form(c: Collection, cluster: str, image: str, form: Form) -> Iterator[Table]:
    """A form that is known when it runs alone gives one of the three."""
    yield assert_type(c.table("images", as_=form), Table)
    yield assert_type(c.correspondences(cluster, as_=form), Table)
    yield assert_type(c.transfer(image, POINTS, image, as_=form), Table)
    yield assert_type(c.landmarks(POINTS, image, as_=form), Table)
    yield assert_type(c.nearest(image, as_=form), Table)
    yield assert_type(c.sql("FROM images", as_=form), Table)


def others(c: Collection, cluster: str, image: str, form: Literal["numpy", "xarray"]) -> None:
    """Arrays and rows."""
    atlas = assert_type(c.atlas(cluster), StoredAtlas)
    assert atlas.features.dtype.kind == "f"
    maps = assert_type(c.maps(image, as_="numpy"), Maps)
    assert maps.forward.shape[-1] == 2
    assert isinstance(assert_type(c.atlas(cluster, as_=form), "StoredAtlas | xr.Dataset"), StoredAtlas)
    assert isinstance(assert_type(c.maps(image, as_=form), "Maps | xr.Dataset"), Maps)
    row = assert_type(c.find(image), ImageRow)
    assert set(row) == set(ImageRow.__annotations__)
    assert_type(row["cluster_id"], "str | None")
    members = assert_type(c.members(cluster), list[MemberRow])
    assert {name for member in members for name in member} == set(MemberRow.__annotations__)
    mask = np.ones((members[0]["height"], members[0]["width"]), bool)
    carried = assert_type(c.propagate(mask, members[0]["uri"]), Iterator[CarriedImage])
    assert next(carried).pixels.dtype == np.uint8
    assert Path(assert_type(c.pictures(cluster), dict[str, str]).get("members", "")).suffix in ("", ".png")
