"""The methods of a collection that answer with a table."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, overload

import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from congeal.results import similarity_search
from congeal.results.argument_checks import (
    condition,
    count_of,
    labels_of,
    name_of,
    names_of,
    one_of,
    points_of,
    targets_of,
)
from congeal.results.conversions import FORMS, ArrowTables, Form, Table, answered
from congeal.results.published_version import Published
from congeal.results.schema.rows import ImageRow
from congeal.results.schema.tables import TABLES
from congeal.results.transfer import point_transfer
from congeal.results.transfer.point_transfer import TargetImages
from infra.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class TableMethods:
    """What a collection answers with a table: `as_` says in which form."""

    _published: Published

    def _id_of(self, cluster: str) -> str:
        return self._published.cluster_id(name_of(cluster, "cluster"))

    @property
    def images(self) -> pd.DataFrame:
        """One row an object of the source that is called like an image, sorted by uri."""
        return self.table("images")

    @property
    def clusters(self) -> pd.DataFrame:
        """One row a cluster, with the seconds that its atlas took and the device that computed it."""
        return self.table("clusters")

    @property
    def alignments(self) -> pd.DataFrame:
        """One row an image that has a cluster: its pose, its quality, whether it fits."""
        return self.table("alignments")

    @property
    def tables(self) -> ArrowTables:
        """The four tables as Arrow datasets, unread."""
        return ArrowTables(self._published.tables)

    @overload
    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
        as_: Literal["pandas"] = "pandas",
    ) -> pd.DataFrame: ...

    @overload
    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
        *,
        as_: Literal["arrow"],
    ) -> pa.Table: ...

    @overload
    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
        *,
        as_: Literal["polars"],
    ) -> pl.DataFrame: ...

    @overload
    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
        *,
        as_: Form,
    ) -> Table: ...

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
        as_: Form = "pandas",
    ) -> Table:
        """One of the tables images, clusters, alignments, correspondences, filtered at the store.

        columns: only these. where: column to the value, or the list of values, that it must have; None is no
        value. In pandas, what can be missing has a type that says so: boolean, Int32, Int64 with NA, so that
        `~images.outlier` is a mask (NA counts as not chosen).
        """
        one_of(as_, FORMS, "form")
        one_of(name, tuple(TABLES), "table")
        columns = None if columns is None else _columns(columns)
        if where is not None and not isinstance(where, Mapping):
            raise UserError('where is a dictionary of columns, such as {"status": "ok"}.')
        tables = self._published.tables
        one = (where or {}).get("cluster_id")
        if name == "clusters":
            source = pads.dataset(tables.clusters())
        else:
            source = tables.dataset(name, one if isinstance(one, str) and name != "images" else None)
        names = source.schema.names
        for column in (*(columns or ()), *(where or ())):
            if column not in names:
                near = difflib.get_close_matches(str(column), names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}."
                raise UserError(f"There is no column {column}: {hint}")
        wanted = None
        for column, value in (where or {}).items():
            holds = condition(source.schema.field(column), value)
            wanted = holds if wanted is None else wanted & holds
        found = source.to_table(columns=columns, filter=wanted)
        if name == "images":
            found = tables.without_dates_beyond(found)
        return answered(found, as_, can_be_missing=name == "images")

    @overload
    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        as_: Literal["pandas"] = "pandas",
    ) -> pd.DataFrame: ...

    @overload
    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        as_: Literal["arrow"],
    ) -> pa.Table: ...

    @overload
    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        as_: Literal["polars"],
    ) -> pl.DataFrame: ...

    @overload
    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        as_: Form,
    ) -> Table: ...

    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        as_: Form = "pandas",
    ) -> Table:
        """Where the points of the atlases lie in the images; filtered at the store.

        cluster: a cluster id. image: an image; one that is not of the cluster, or of none, has no rows.
        columns: only these.
        """
        one_of(as_, FORMS, "form")
        where: dict[str, object] = {}
        if image is not None:
            row = self.find(image)
            where = {"cluster_id": row["cluster_id"], "image_id": row["image_id"]}
        if cluster is not None:
            cluster = self._id_of(cluster)
            self._published.cluster(cluster)
            where["cluster_id"] = cluster if where.get("cluster_id", cluster) == cluster else []
        return self.table("correspondences", columns, where, as_=as_)

    @overload
    def transfer(
        self,
        source: str,
        points: npt.ArrayLike,
        target: str | Sequence[str],
        as_: Literal["pandas"] = "pandas",
    ) -> pd.DataFrame: ...

    @overload
    def transfer(
        self, source: str, points: npt.ArrayLike, target: str | Sequence[str], as_: Literal["arrow"]
    ) -> pa.Table: ...

    @overload
    def transfer(
        self, source: str, points: npt.ArrayLike, target: str | Sequence[str], as_: Literal["polars"]
    ) -> pl.DataFrame: ...

    @overload
    def transfer(
        self, source: str, points: npt.ArrayLike, target: str | Sequence[str], as_: Form
    ) -> Table: ...

    def transfer(
        self, source: str, points: npt.ArrayLike, target: str | Sequence[str], as_: Form = "pandas"
    ) -> Table:
        """Carry points of one image to others of the same cluster, through their atlas.

        points: [k, 2], x and y in pixels of the original image. target: an image; or several, or "all" (every
        other image of the cluster that fits its atlas). Returns x, y (pixels of the target), confidence in
        [0, 1] and visible, a row a point; for several targets after the columns target and point.
        """
        one_of(as_, FORMS, "form")
        given, first = points_of(points), name_of(source, "image")
        one = isinstance(target, (str, os.PathLike)) and target != "all"
        to = name_of(target, "image") if one else targets_of(target)
        return answered(point_transfer.transfer(self._published, first, given, to), as_)

    @overload
    def landmarks(
        self,
        points: npt.ArrayLike,
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        names: Sequence[str] | None = None,
        to: TargetImages = "all",
        instances: bool = False,
        as_: Literal["pandas"] = "pandas",
    ) -> pd.DataFrame: ...

    @overload
    def landmarks(
        self,
        points: npt.ArrayLike,
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        names: Sequence[str] | None = None,
        to: TargetImages = "all",
        instances: bool = False,
        as_: Literal["arrow"],
    ) -> pa.Table: ...

    @overload
    def landmarks(
        self,
        points: npt.ArrayLike,
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        names: Sequence[str] | None = None,
        to: TargetImages = "all",
        instances: bool = False,
        as_: Literal["polars"],
    ) -> pl.DataFrame: ...

    @overload
    def landmarks(
        self,
        points: npt.ArrayLike,
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        names: Sequence[str] | None = None,
        to: TargetImages = "all",
        instances: bool = False,
        as_: Form,
    ) -> Table: ...

    def landmarks(
        self,
        points: npt.ArrayLike,
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        names: Sequence[str] | None = None,
        to: TargetImages = "all",
        instances: bool = False,
        as_: Form = "pandas",
    ) -> Table:
        """Landmarks of all images of a cluster, from one image, from several, or from the atlas.

        points: [k, 2], pixels of the image `source`; for several sources [s, k, 2], NaN where an image does
        not show a point (they are combined by confidence); with `atlas`, a cluster id, u and v in [-1, 1].
        names: what the points are called, else 0 to k - 1. to: these images only. instances: on every
        thing of the kind that an image shows (see `instances`), not on the first alone.

        Returns image, image_id, point, x, y, confidence, visible and origin, a row a point and image; the
        images that do not fit the atlas are left out, and what was marked by hand stays as it is. With
        instances a row a point and instance, and instance_id after image_id.
        """
        one_of(as_, FORMS, "form")
        given = points_of(points, several=True)
        sources = None if source is None else names_of(source, "image")
        place = None if atlas is None else self._id_of(atlas)
        labels, images = labels_of(names), targets_of(to)
        found = point_transfer.landmarks(self._published, given, sources, place, labels, images, instances)
        return answered(found, as_)

    @overload
    def nearest(
        self,
        image: str | Sequence[str],
        k: int = 10,
        *,
        same_cluster: bool = False,
        as_: Literal["pandas"] = "pandas",
    ) -> pd.DataFrame: ...

    @overload
    def nearest(
        self, image: str | Sequence[str], k: int = 10, *, same_cluster: bool = False, as_: Literal["arrow"]
    ) -> pa.Table: ...

    @overload
    def nearest(
        self, image: str | Sequence[str], k: int = 10, *, same_cluster: bool = False, as_: Literal["polars"]
    ) -> pl.DataFrame: ...

    @overload
    def nearest(
        self, image: str | Sequence[str], k: int = 10, *, same_cluster: bool = False, as_: Form
    ) -> Table: ...

    def nearest(
        self, image: str | Sequence[str], k: int = 10, *, same_cluster: bool = False, as_: Form = "pandas"
    ) -> Table:
        """The k images that look most like an image, by the cosine between the embeddings of the backbone.

        Returns image, rank, neighbour, image_id, cluster_id and similarity.
        """
        one_of(as_, FORMS, "form")
        images, most = names_of(image, "image"), count_of(k, "neighbours")
        return answered(similarity_search.nearest(self._published, images, most, same_cluster), as_)

    @overload
    def sql(self, query: str, as_: Literal["pandas"] = "pandas") -> pd.DataFrame: ...

    @overload
    def sql(self, query: str, as_: Literal["arrow"]) -> pa.Table: ...

    @overload
    def sql(self, query: str, as_: Literal["polars"]) -> pl.DataFrame: ...

    @overload
    def sql(self, query: str, as_: Form) -> Table: ...

    def sql(self, query: str, as_: Form = "pandas") -> Table:
        """A DuckDB query over images, clusters, alignments and correspondences."""
        one_of(as_, FORMS, "form")
        return answered(self.query(query), as_)

    def query(self, text: str) -> pa.Table:
        """The same as an Arrow table. Nothing can be written, and nothing else be read.

        Raises UserError with DuckDB's own message, or for anything but one reading statement.
        """
        if not isinstance(text, str):
            raise UserError(f"A query is text, not {type(text).__name__}.")
        return self._published.database.query(text)

    def find(self, image: str) -> ImageRow:
        """The row of an image in the table of images; UserError if there is none."""
        return self._published.find(name_of(image, "image"))

    def find_all(self, images: Sequence[str]) -> list[ImageRow]:
        """The rows of several images, in one reading of the table."""
        return self._published.find_all(images)


def _columns(columns: Sequence[str]) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)
