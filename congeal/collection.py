"""The analysts' door: opens a finished destination and reads, lazily, what a run has published there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from congeal import answers, carrying, display, neighbours, queries, spreading
from congeal.answers import ArrowTables, Form, answered
from congeal.published import Published
from congeal.stored_maps import StoredAtlas
from infra.errors import UserError
from infra.publications import Publication
from infra.settings import StorageSettings, load_settings
from infra.storage import Location
from infra.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

    from congeal.annotations import Annotation
    from congeal.shapes import MeasuredShapes
    from congeal.transfer import Maps

__all__ = ["Collection", "StoredAtlas", "open"]

Arrays = Literal["numpy", "xarray"]


def open(destination: str | os.PathLike[str], version: str | None = None, **storage: Any) -> Collection:  # noqa: A001
    """Open what a run has published at `destination`, a path or an fsspec URL.

    version: an older publication, by number or file name. storage: settings of the section `storage`
    (endpoint_url, key, secret, anonymous, …); what is not given comes from CONGEAL_STORAGE__… and the usual
    AWS variables. Raises UserError if nothing is published there.
    """
    settings = load_settings().storage
    if storage:
        settings = type(settings)(**(settings.model_dump() | storage))
    return Collection(Location.parse(destination, settings), version, settings)


class Collection:
    """A published version of a destination; it stays what it was, whatever later runs publish.

    Images are named by their id or by their path relative to the source. Methods that answer with a table
    take ``as_``: "pandas" (a DataFrame), "arrow" or "polars". What cannot be answered is a UserError or, for
    points and edits that do not fit, a CongealError, with one sentence.
    """

    def __init__(
        self, place: Location, version: str | None = None, storage: StorageSettings | None = None
    ) -> None:
        self._published = Published(place, version, storage)

    def __repr__(self) -> str:
        return display.text(str(self.place), self.publication)

    def _repr_html_(self) -> str:
        return display.page(str(self.place), self.publication)

    @property
    def place(self) -> Location:
        """The destination."""
        return self._published.place

    @property
    def source(self) -> Location:
        """Where the images lie."""
        return self._published.source

    @property
    def publication(self) -> Publication:
        """The version: number, source, settings, counts, and the units that it is made of."""
        return self._published.publication

    @property
    def images(self) -> pd.DataFrame:
        """One row an object of the source that is called like an image, sorted by uri."""
        frame: pd.DataFrame = self.table("images")
        return frame

    @property
    def clusters(self) -> pd.DataFrame:
        """One row a cluster, with the seconds that its atlas took and the device that computed it."""
        frame: pd.DataFrame = self.table("clusters")
        return frame

    @property
    def alignments(self) -> pd.DataFrame:
        """One row an image that has a cluster: its pose, its quality, whether it fits."""
        frame: pd.DataFrame = self.table("alignments")
        return frame

    @property
    def tables(self) -> ArrowTables:
        """The four tables as Arrow datasets, unread."""
        return ArrowTables(self._published.tables)

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        as_: Form = "pandas",
    ) -> Any:
        """One of the tables images, clusters, alignments, correspondences, filtered at the store.

        columns: only these. where: column to the value, or the list of values, that it must have.
        """
        if name not in TABLES:
            raise UserError(f"There is no table {name!r}: there are {', '.join(TABLES)}.")
        tables = self._published.tables
        one = (where or {}).get("cluster_id")
        if name == "clusters":
            source = pads.dataset(tables.clusters())
        else:
            source = tables.dataset(name, one if isinstance(one, str) and name != "images" else None)
        names = source.schema.names
        for column in (*(columns or ()), *(where or ())):
            if column not in names:
                raise UserError(f"There is no column {column}: there are {', '.join(names)}.")
        wanted = None
        for column, value in (where or {}).items():
            values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
            condition = pads.field(column).isin(list(values))
            wanted = condition if wanted is None else wanted & condition
        chosen = None if columns is None else list(columns)
        return answered(source.to_table(columns=chosen, filter=wanted), as_)

    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        as_: Form = "pandas",
    ) -> Any:
        """Where the points of the atlases lie in the images; filtered at the store.

        cluster: a cluster id. image: an image. columns: only these.
        """
        where: dict[str, Any] = {}
        if image is not None:
            row = self.find(image)
            where = {"cluster_id": row["cluster_id"], "image_id": row["image_id"]}
        if cluster is not None:
            self._published.cluster(cluster)
            where["cluster_id"] = cluster if where.get("cluster_id", cluster) == cluster else []
        return self.table("correspondences", columns, where, as_)

    def transfer(
        self, source: str, points: npt.ArrayLike, target: str | Sequence[str], as_: Form = "pandas"
    ) -> Any:
        """Carry points of one image to others of the same cluster, through their atlas.

        points: [k, 2], x and y in pixels of the original image. target: an image; or several, or "all" (every
        other image of the cluster that fits its atlas). Returns x, y (pixels of the target), confidence in
        [0, 1] and visible, a row a point; for several targets after the columns target and point.
        """
        return answered(carrying.transfer(self._published, source, points, target), as_)

    def landmarks(
        self,
        points: npt.ArrayLike,
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        names: Sequence[str] | None = None,
        to: carrying.Targets = "all",
        as_: Form = "pandas",
    ) -> Any:
        """Landmarks of all images of a cluster, from one image, from several, or from the atlas.

        points: [k, 2], pixels of the image `source`; for several sources [s, k, 2], NaN where an image does
        not show a point (they are combined by confidence); with `atlas`, a cluster id, u and v in [-1, 1].
        names: what the points are called, else 0 to k - 1. to: these images only.

        Returns image, image_id, point, x, y, confidence, visible and origin, a row a point and image; the
        images that do not fit the atlas are left out, and what was marked by hand stays as it is.
        """
        return answered(
            carrying.landmarks(self._published, points, source, atlas, names, to),
            as_,
        )

    def shapes(self, landmarks: pd.DataFrame, components: int | None = None) -> MeasuredShapes:
        """Procrustes-aligned shapes of a table from `landmarks`, and their principal components.

        Images with a landmark that is not known or lies off the image are left out, and named.
        """
        from congeal.shapes import measured

        return measured(pa.Table.from_pandas(landmarks), components)

    def propagate(
        self,
        edit: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        to: carrying.Targets = "all",
        kind: spreading.Kind | None = None,
        fade: bool = False,
    ) -> Iterator[spreading.CarriedImage]:
        """An edit, a mask or a label map on all images of the cluster, at their full size, one at a time.

        edit: uint8 [h, w, 4] (RGBA, not premultiplied), a mask bool [h, w], or labels, whole numbers [h, w],
        of the size of the image `source`; for several sources as many. With `atlas`, a cluster id, a square
        of any size painted over the atlas' average. kind: "layer", "mask" or "labels", where the array alone
        does not say it. fade: alpha is multiplied by confidence.
        """
        edits = [edit] if isinstance(edit, np.ndarray) else list(edit)
        sources = [] if source is None else [source] if isinstance(source, str) else list(source)
        return spreading.spread(self._published, edits, sources, atlas, to, kind, fade)

    def propagate_annotations(
        self, annotations: Sequence[Annotation], to: carrying.Targets = "all", *, marked: bool = True
    ) -> Iterator[Annotation]:
        """Keypoints, outlines, boxes and masks of things on all images of their clusters, image by image.

        The n-th thing of a category on one image is the n-th of that category on the others: things marked on
        several images are combined by confidence. What was marked by hand comes back as it is; with
        marked=False it does not come.
        """
        return spreading.spread_annotations(self._published, annotations, to, marked)

    def nearest(
        self, image: str | Sequence[str], k: int = 10, *, same_cluster: bool = False, as_: Form = "pandas"
    ) -> Any:
        """The k images that look most like an image, by the cosine between the embeddings of the backbone.

        Returns image, rank, neighbour, image_id, cluster_id and similarity.
        """
        images = [image] if isinstance(image, str) else list(image)
        return answered(neighbours.nearest(self._published, images, k, same_cluster), as_)

    def atlas(self, cluster: str, as_: Arrays = "numpy") -> Any:
        """The atlas of a cluster: a StoredAtlas, or an xarray.Dataset."""
        atlas = self._published.stored(cluster).atlas()
        return answers.atlas_as_xarray(atlas) if as_ == "xarray" else atlas

    def maps(self, image: str, as_: Arrays = "numpy") -> Any:
        """The dense maps of an image both ways: a congeal.transfer.Maps, or an xarray.Dataset."""
        maps: Maps = self._published.maps(self._published.aligned(image))
        return answers.maps_as_xarray(maps) if as_ == "xarray" else maps

    def image(self, image: str) -> npt.NDArray[np.uint8]:
        """The pixels of an image, uint8 [h, w, 3], read from the source at its full size."""
        return self._published.pixels(self.find(image))

    def sql(self, query: str, as_: Form = "pandas") -> Any:
        """A DuckDB query over images, clusters, alignments and correspondences."""
        return answered(self.query(query), as_)

    def query(self, text: str) -> pa.Table:
        """The same as an Arrow table. Nothing can be written, and nothing else be read.

        Raises UserError with DuckDB's own message, or for anything but one reading statement.
        """
        return queries.query(self._published.tables, text)

    def members(self, cluster: str) -> list[dict[str, Any]]:
        """The images of a cluster, one row of the table of images each (some columns), by uri."""
        return self._published.members(cluster)

    def misfits(self, cluster: str) -> dict[str, str]:
        """Image id to reason, of the images of a cluster that do not fit its atlas."""
        return self._published.misfits(cluster)

    def duplicates(self, cluster: str) -> dict[str, str]:
        """Path to image id, of the files that are byte for byte another image of a cluster."""
        return self._published.duplicates(cluster)

    def locate(self, names: Sequence[str]) -> dict[str, str]:
        """Names in an annotation file to paths relative to the source; UserError for one that means none.

        `images/a.png`, `./a.png`, paths of other machines and names in another case mean the image whose path
        ends so, if there is only one.
        """
        return self._published.locate(names)

    def named(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The same without raising: what was found, and for every other name a sentence."""
        found = self._published.named(names)
        sentences = {name: self._published.unnamed(name, what) for name, what in found.unknown.items()}
        return dict(found.found), sentences

    def find(self, image: str) -> dict[str, Any]:
        """The row of an image in the table of images; UserError if there is none."""
        return self._published.find(image)

    def find_all(self, images: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of several images, in one reading of the table."""
        return self._published.find_all(images)
