"""The analysts' door: opens a finished destination and reads, lazily, what a run has published there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

import congeal_floors.door  # noqa: F401  before infra
from congeal.results import annotation_transfer as spreading
from congeal.results import argument_checks as arguments
from congeal.results import conversions as answers
from congeal.results import display
from congeal.results import point_transfer as carrying
from congeal.results import similarity_search as neighbours
from congeal.results.conversions import FORMS, ArrowTables, Form, answered
from congeal.results.published_version import Published
from congeal.results.schema.rows import ImageRow, MemberRow
from congeal.results.schema.tables import TABLES
from congeal.results.stored_maps import StoredAtlas
from congeal.settings import load_settings
from infra.errors import UserError
from infra.ledger.publications import Publication
from infra.settings import StorageSettings, with_storage
from infra.storage.location import Location

if TYPE_CHECKING:
    import pandas as pd

    from congeal.results.landmark_shapes import MeasuredShapes
    from congeal.transfer.annotations import Annotation
    from congeal.transfer.points import Maps

__all__ = ["Collection", "StoredAtlas", "open"]

Arrays = Literal["numpy", "xarray"]
ARRAYS = ("numpy", "xarray")
KINDS = ("layer", "mask", "labels")


def open(  # noqa: A001
    destination: str | os.PathLike[str], version: str | int | None = None, **storage: Any
) -> Collection:
    """Open what a run has published at `destination`, a path or an fsspec URL.

    version: an older publication, by number or file name. storage: settings of the section `storage`
    (endpoint_url, key, secret, anonymous, …); what is not given comes from CONGEAL_STORAGE__… and the usual
    AWS variables. Raises UserError if nothing is published there, or there is no such version or setting.
    """
    settings = with_storage(load_settings(), storage).storage
    place = Location.parse(arguments.name_of(destination, "place"), settings)
    return Collection(place, version, settings)


class Collection:
    """A published version of a destination; it stays what it was, whatever later runs publish.

    Images are named by their id or by their path relative to the source. Methods that answer with a table
    take ``as_``: "pandas" (a DataFrame), "arrow" or "polars". What cannot be answered is a UserError or, for
    points and edits that do not fit, a CongealError, with one sentence.
    """

    def __init__(
        self, place: Location, version: str | int | None = None, storage: StorageSettings | None = None
    ) -> None:
        if version is not None and not isinstance(version, str):
            version = str(arguments.count_of(version, "a version"))
        self._published = Published(place, version, storage)

    def __repr__(self) -> str:
        return display.text(str(self.place), self.publication, self._published.tables.outliers)

    def _repr_html_(self) -> str:
        return display.page(str(self.place), self.publication, self._published.tables.outliers)

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

        columns: only these. where: column to the value, or the list of values, that it must have; None is no
        value. In pandas, what can be missing has a type that says so: boolean, Int32, Int64 with NA, so that
        `~images.outlier` is a mask (NA counts as not chosen).
        """
        arguments.one_of(as_, FORMS, "form")
        arguments.one_of(name, tuple(TABLES), "table")
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
            condition = arguments.condition(source.schema.field(column), value)
            wanted = condition if wanted is None else wanted & condition
        found = source.to_table(columns=columns, filter=wanted)
        return answered(found, as_, can_be_missing=name == "images")

    def correspondences(
        self,
        cluster: str | None = None,
        image: str | None = None,
        columns: Sequence[str] | None = None,
        as_: Form = "pandas",
    ) -> Any:
        """Where the points of the atlases lie in the images; filtered at the store.

        cluster: a cluster id. image: an image; one that is not of the cluster, or of none, has no rows.
        columns: only these.
        """
        arguments.one_of(as_, FORMS, "form")
        where: dict[str, Any] = {}
        if image is not None:
            row = self.find(image)
            where = {"cluster_id": row["cluster_id"], "image_id": row["image_id"]}
        if cluster is not None:
            self._published.cluster(arguments.name_of(cluster, "cluster"))
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
        arguments.one_of(as_, FORMS, "form")
        given, first = arguments.points_of(points), arguments.name_of(source, "image")
        one = isinstance(target, (str, os.PathLike)) and target != "all"
        to = arguments.name_of(target, "image") if one else arguments.targets_of(target)
        return answered(carrying.transfer(self._published, first, given, to), as_)

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
        arguments.one_of(as_, FORMS, "form")
        given = arguments.points_of(points, several=True)
        sources = None if source is None else arguments.names_of(source, "image")
        place = None if atlas is None else arguments.name_of(atlas, "cluster")
        labels: Any = arguments.labels_of(names)
        found = carrying.landmarks(self._published, given, sources, place, labels, arguments.targets_of(to))
        return answered(found, as_)

    def shapes(self, landmarks: pd.DataFrame | pa.Table, components: int | None = None) -> MeasuredShapes:
        """Procrustes-aligned shapes of a table from `landmarks`, and their principal components.

        landmarks: a DataFrame of pandas or Polars, or an Arrow table, with image, point, x and y. Images with
        a landmark that is not known or lies off the image are left out, and named. Rigid maps
        (see `clusters.deformation`) carry copies of one shape: of images with such maps only what was marked
        by hand counts as known, unless components is 0, which asks for sizes alone.
        """
        from congeal.results.landmark_shapes import measured

        if components is not None:
            components = arguments.count_of(components, "components")
        table = answers.as_arrow(landmarks)
        images = table["image"].unique().to_pylist() if "image" in table.column_names else []
        return measured(table, components, self._published.rigidly_mapped(images))

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
        edits = [edit] if isinstance(edit, np.ndarray) else edit
        if not isinstance(edits, Sequence) or not all(isinstance(one, np.ndarray) for one in edits):
            raise UserError(
                "An edit is an array, or a list of arrays: congeal.imaging.layer_files.read_edit reads one."
            )
        if kind is not None:
            arguments.one_of(kind, KINDS, "kind")
        sources = [] if source is None else arguments.names_of(source, "image")
        place = None if atlas is None else arguments.name_of(atlas, "cluster")
        targets = arguments.targets_of(to)
        return spreading.spread(self._published, list(edits), sources, place, targets, kind, fade)

    def propagate_annotations(
        self, annotations: Sequence[Annotation], to: carrying.Targets = "all", *, marked: bool = True
    ) -> Iterator[Annotation]:
        """Keypoints, outlines, boxes and masks of things on all images of their clusters, image by image.

        The n-th thing of a category on one image is the n-th of that category on the others: things marked on
        several images are combined by confidence. What was marked by hand comes back as it is; with
        marked=False it does not come.
        """
        from congeal.transfer.annotations import Annotation

        given = list(annotations or ())
        for number, one in enumerate(given):
            if not isinstance(one, Annotation):
                raise UserError(
                    f"Number {number} of the annotations is {type(one).__name__}, no "
                    "congeal.transfer.annotations.Annotation: congeal.transfer.formats reads them from COCO "
                    "and TPS."
                )
        return spreading.spread_annotations(self._published, given, arguments.targets_of(to), marked)

    def nearest(
        self, image: str | Sequence[str], k: int = 10, *, same_cluster: bool = False, as_: Form = "pandas"
    ) -> Any:
        """The k images that look most like an image, by the cosine between the embeddings of the backbone.

        Returns image, rank, neighbour, image_id, cluster_id and similarity.
        """
        arguments.one_of(as_, FORMS, "form")
        images, most = arguments.names_of(image, "image"), arguments.count_of(k, "neighbours")
        return answered(neighbours.nearest(self._published, images, most, same_cluster), as_)

    def atlas(self, cluster: str, as_: Arrays = "numpy") -> Any:
        """The atlas of a cluster: a StoredAtlas, or an xarray.Dataset."""
        arguments.one_of(as_, ARRAYS, "form")
        atlas = self._published.stored(arguments.name_of(cluster, "cluster")).atlas()
        return answers.atlas_as_xarray(atlas) if as_ == "xarray" else atlas

    def maps(self, image: str, as_: Arrays = "numpy") -> Any:
        """The dense maps of an image both ways: a congeal.transfer.points.Maps, or an xarray.Dataset."""
        arguments.one_of(as_, ARRAYS, "form")
        maps: Maps = self._published.maps(self._published.aligned(arguments.name_of(image, "image")))
        return answers.maps_as_xarray(maps) if as_ == "xarray" else maps

    def pictures(self, cluster: str) -> dict[str, str]:
        """Where a cluster's pictures lie: "members", "aligned", "average_after" … to a path or URL of a PNG.

        members and aligned are contact sheets, each image with its name under it. Empty if none was drawn.
        """
        return self._published.pictures(arguments.name_of(cluster, "cluster"))

    def image(self, image: str) -> npt.NDArray[np.uint8]:
        """The pixels of an image, uint8 [h, w, 3], read from the source at its full size."""
        return self._published.pixels(self.find(image))

    def sql(self, query: str, as_: Form = "pandas") -> Any:
        """A DuckDB query over images, clusters, alignments and correspondences."""
        arguments.one_of(as_, FORMS, "form")
        return answered(self.query(query), as_)

    def query(self, text: str) -> pa.Table:
        """The same as an Arrow table. Nothing can be written, and nothing else be read.

        Raises UserError with DuckDB's own message, or for anything but one reading statement.
        """
        if not isinstance(text, str):
            raise UserError(f"A query is text, not {type(text).__name__}.")
        return self._published.database.query(text)

    def members(self, cluster: str) -> list[MemberRow]:
        """The images of a cluster, one row of the table of images each (some columns), by uri."""
        return self._published.members(arguments.name_of(cluster, "cluster"))

    def misfits(self, cluster: str) -> dict[str, str]:
        """Image id to reason, of the images of a cluster that do not fit its atlas."""
        name = arguments.name_of(cluster, "cluster")
        self._published.cluster(name)
        return self._published.misfits(name)

    def duplicates(self, cluster: str) -> dict[str, str]:
        """Path to image id, of the files that are byte for byte another image of a cluster."""
        return self._published.duplicates(cluster)

    def locate(self, names: Sequence[str]) -> dict[str, str]:
        """Names in an annotation file to paths relative to the source; UserError for one that means none.

        `images/a.png`, `./a.png`, paths of other machines and names in another case mean the image whose path
        ends so, if there is only one.
        """
        return self._published.locate(arguments.names_of(names, "image"))

    def named(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The same without raising: what was found, and for every other name a sentence."""
        found = self._published.named(names)
        sentences = {name: self._published.unnamed(name, what) for name, what in found.unknown.items()}
        return dict(found.found), sentences

    def find(self, image: str) -> ImageRow:
        """The row of an image in the table of images; UserError if there is none."""
        return self._published.find(arguments.name_of(image, "image"))

    def find_all(self, images: Sequence[str]) -> list[ImageRow]:
        """The rows of several images, in one reading of the table."""
        return self._published.find_all(images)


def _columns(columns: Any) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)
