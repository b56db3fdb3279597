"""What a run has published in a destination, read lazily."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import congeal_floors.door  # noqa: F401  before infra
from congeal.results import display
from congeal.results.argument_checks import count_of, name_of, names_of, one_of, points_of, targets_of
from congeal.results.conversions import (
    FORMS,
    Form,
    Table,
    answered,
    as_arrow,
    atlas_as_xarray,
    maps_as_xarray,
)
from congeal.results.published_version import Published
from congeal.results.schema.rows import MemberRow
from congeal.results.stored.maps import StoredAtlas
from congeal.results.table_methods import TableMethods
from congeal.results.transfer.annotation_transfer import CarriedImage, Kind, spread, spread_annotations
from congeal.results.transfer.point_transfer import TargetImages
from congeal.settings import load_settings
from infra.errors import UserError
from infra.ledger.publications import Publication
from infra.settings import StorageSettings, with_storage
from infra.storage.location import Location

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from congeal.results.cluster_views import ClusterView
    from congeal.results.landmark_shapes import MeasuredShapes
    from congeal.results.new_images import ClusterFit
    from congeal.results.version_comparison import VersionDiff
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
    place = Location.parse(name_of(destination, "place"), settings)
    return Collection(place, version, settings)


class Collection(TableMethods):
    """A published version of a destination; it stays what it was, whatever later runs publish.

    Images are named by their id or by their path relative to the source. Methods that answer with a table
    take ``as_``: "pandas" (a DataFrame), "arrow" or "polars". What cannot be answered is a UserError or, for
    points and edits that do not fit, a CongealError, with one sentence.
    """

    def __init__(
        self, place: Location, version: str | int | None = None, storage: StorageSettings | None = None
    ) -> None:
        if version is not None and not isinstance(version, str):
            version = str(count_of(version, "a version"))
        self._published = Published(place, version, storage)

    def __repr__(self) -> str:
        return display.text(*self._shown)

    def _repr_html_(self) -> str:
        return display.page(*self._shown)

    @property
    def _shown(self) -> tuple[type, str, Publication, int]:
        return type(self), str(self.place), self.publication, self._published.tables.outliers

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

    def shapes(
        self,
        landmarks: pd.DataFrame | pa.Table,
        components: int | None = None,
        groups: str | None = None,
    ) -> MeasuredShapes:
        """Procrustes-aligned shapes of a table from `landmarks`, and their principal components.

        landmarks: a DataFrame of pandas or Polars, or an Arrow table, with image, point, x and y. Images with
        a landmark that is not known or lies off the image are left out, and named. Rigid maps
        (see `clusters.deformation`) carry copies of one shape: of images with such maps only what was marked
        by hand counts as known, unless components is 0, which asks for sizes alone. With a column instance_id
        each instance is an individual, called IMAGE#NUMBER from its second on. groups: a column of the
        table images, one of its owner's or another, such as "species" or "cluster_id": the shapes are told
        group by group, too.

        Raises UserError, besides what `landmark_shapes.measured` says, for a column that there is not.
        """
        from congeal.results.image_groups import values_of
        from congeal.results.landmark_shapes import individuals, measured

        if components is not None:
            components = count_of(components, "components")
        table, whose = individuals(as_arrow(landmarks))
        names = table["image"].unique().to_pylist() if "image" in table.column_names else []
        rigid = self._published.rigidly_mapped([whose.get(name, name) for name in names])
        found = measured(table, components, {name for name in names if whose.get(name, name) in rigid})
        if groups is None:
            return found
        images = [whose.get(name, name) for name in found.images]
        values = values_of(self._published.tables, name_of(groups, "column"), images)
        return replace(found, groups=values, grouped_by=groups)

    def propagate(
        self,
        edit: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        source: str | Sequence[str] | None = None,
        *,
        atlas: str | None = None,
        to: TargetImages = "all",
        kind: Kind | None = None,
        fade: bool = False,
        instances: bool = True,
    ) -> Iterator[CarriedImage]:
        """An edit, a mask or a label map on all images of the cluster, at their full size, one at a time.

        edit: uint8 [h, w, 4] (RGBA, not premultiplied), a mask bool [h, w], or labels, whole numbers [h, w],
        of the size of the image `source`; for several sources as many. With `atlas`, a cluster id, a square
        of any size painted over the atlas' average. kind: "layer", "mask" or "labels", where the array alone
        does not say it. fade: alpha is multiplied by confidence. instances: on all things of the kind that an
        image shows, see `instances`, not on the first alone; sources come back as they were painted.
        """
        edits = [edit] if isinstance(edit, np.ndarray) else edit
        if not isinstance(edits, Sequence) or not all(isinstance(one, np.ndarray) for one in edits):
            raise UserError(
                "An edit is an array, or a list of arrays: congeal.imaging.layer_files.read_edit reads one."
            )
        if kind is not None:
            one_of(kind, KINDS, "kind")
        sources = [] if source is None else names_of(source, "image")
        place = None if atlas is None else self._id_of(atlas)
        targets = targets_of(to)
        return spread(self._published, list(edits), sources, place, targets, kind, fade, instances)

    def propagate_annotations(
        self,
        annotations: Sequence[Annotation],
        to: TargetImages = "all",
        *,
        marked: bool = True,
        instances: bool = True,
        unseen: MutableMapping[str, str] | None = None,
    ) -> Iterator[Annotation]:
        """Keypoints, outlines, boxes and masks of things on all images of their clusters, image by image.

        The n-th thing of a category on one image is the n-th of that category on the others: what is marked
        on several images is combined by confidence. What was marked by hand comes back as it is; with
        marked=False it does not come. instances: an image that shows several of the kind (see `instances`),
        and on which nobody has marked any, gets an annotation for each, or for the one that it is, as the
        annotation asks for (`Annotation.instances`); False: for the first alone. unseen: gets the images, by
        path, on which individuals cannot be told, as they are in the source no more, and why; such images get
        none. None: that is an error.
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
        return spread_annotations(self._published, given, targets_of(to), marked, instances, unseen)

    @overload
    def atlas(self, cluster: str, as_: Literal["numpy"] = "numpy") -> StoredAtlas: ...

    @overload
    def atlas(self, cluster: str, as_: Literal["xarray"]) -> xr.Dataset: ...

    @overload
    def atlas(self, cluster: str, as_: Arrays) -> StoredAtlas | xr.Dataset: ...

    def atlas(self, cluster: str, as_: Arrays = "numpy") -> StoredAtlas | xr.Dataset:
        """The atlas of a cluster: a StoredAtlas, or an xarray.Dataset."""
        one_of(as_, ARRAYS, "form")
        atlas = self._published.atlas(self._id_of(cluster))
        return atlas_as_xarray(atlas) if as_ == "xarray" else atlas

    @overload
    def maps(self, image: str, as_: Literal["numpy"] = "numpy", *, instance: int = 0) -> Maps: ...

    @overload
    def maps(self, image: str, as_: Literal["xarray"], *, instance: int = 0) -> xr.Dataset: ...

    @overload
    def maps(self, image: str, as_: Arrays, *, instance: int = 0) -> Maps | xr.Dataset: ...

    def maps(self, image: str, as_: Arrays = "numpy", *, instance: int = 0) -> Maps | xr.Dataset:
        """The dense maps of an image both ways: a congeal.transfer.points.Maps, or an xarray.Dataset.

        instance: which of the things of the kind that it shows, see `instances`.
        """
        one_of(as_, ARRAYS, "form")
        number = count_of(instance, "an instance")
        maps = self._published.maps(self._published.aligned(name_of(image, "image")), number)
        return maps_as_xarray(maps) if as_ == "xarray" else maps

    def instances(self, image: str) -> tuple[int, ...]:
        """Which things of the kind were mapped in an image: (0,), or (0, 1, …) where it shows several.

        Others than the first are looked for by a run with alignment.instances_max.
        """
        row = self._published.aligned(name_of(image, "image"))
        self._published.require_aligned(row["cluster_id"])
        return self._published.instances(row["cluster_id"]).numbers(row["image_id"])

    def instance_at(self, image: str, points: npt.ArrayLike) -> int:
        """Which of the things of the kind in an image points lie on: a number of `instances`.

        points: float [n, 2], x and y in pixels of the image; together, of one thing.
        """
        from congeal.results.transfer.instance_transfer import instance_of

        return instance_of(self._published, name_of(image, "image"), points_of(points))

    def transfer_to_instances(
        self,
        source: str,
        points: npt.ArrayLike,
        target: str | Sequence[str] = "all",
        *,
        instance: int = 0,
        as_: Form = "pandas",
    ) -> Table:
        """As `transfer`, to every instance: columns target, instance_id, point, x, y, confidence, visible.

        points: float [n, 2], x and y in pixels of the source. target: an image, several, or "all" (with the
        other instances of the source). instance: of the source, on which the points are.
        """
        from congeal.results.transfer.instance_transfer import transfer_to_instances

        one_of(as_, FORMS, "form")
        one = isinstance(target, (str, os.PathLike)) and target != "all"
        to = [name_of(target, "image")] if one else targets_of(target)
        found = transfer_to_instances(
            self._published,
            name_of(source, "image"),
            points_of(points),
            None if to == "all" else list(to),
            count_of(instance, "an instance"),
        )
        return answered(found, as_)

    def diff(self, earlier: str | int | None = None) -> VersionDiff:
        """What this version says otherwise than an earlier one: images, clusters, points, figures.

        earlier: its number or file name; None: the newest one before this. Raises UserError if there is no
        such version, or if it was pruned.
        """
        from congeal.results.version_comparison import compare, previous_version

        if earlier is not None and not isinstance(earlier, str):
            earlier = str(count_of(earlier, "a version"))
        name = previous_version(self._published) if earlier is None else earlier
        return compare(Published(self.place, name, self._published.storage), self._published)

    def cluster(self, cluster: str) -> ClusterFit:
        """A cluster, to which images that are no members can be fitted: `c.cluster(id).fit("new.jpg")`."""
        from congeal.results.new_images import ClusterFit

        return ClusterFit.of(self._published, name_of(cluster, "cluster"))

    def show(self, cluster: str) -> ClusterView:
        """The page of a cluster as the report has it, shown inline by a notebook (its first 100 members)."""
        from congeal.results.cluster_views import view

        return view(self._published, self._id_of(cluster))

    def figure(self, cluster: str, members: int = 12) -> Figure:
        """A cluster as a matplotlib figure: averages, members as they are and aligned, points by colour.

        It needs the extra: pip install "congeal[figures]".
        """
        from congeal.results.cluster_views import figure

        return figure(self._published, self._id_of(cluster), count_of(members, "members"))

    def pictures(self, cluster: str) -> dict[str, str]:
        """Where a cluster's pictures lie: "members", "aligned", "average_after" … to a path or URL of a PNG.

        members and aligned are contact sheets, each image with its name under it. Empty if none was drawn.
        """
        return self._published.pictures(self._id_of(cluster))

    def image(self, image: str) -> npt.NDArray[np.uint8]:
        """The pixels of an image, uint8 [h, w, 3], read from the source at its full size."""
        return self._published.pixels(self.find(image))

    def members(self, cluster: str) -> list[MemberRow]:
        """The images of a cluster, one row of the table of images each (some columns), by uri."""
        return self._published.members(self._id_of(cluster))

    def misfits(self, cluster: str) -> dict[str, str]:
        """Image id to reason, of the images of a cluster that do not fit its atlas."""
        name = self._id_of(cluster)
        self._published.cluster(name)
        return self._published.misfits(name)

    def duplicates(self, cluster: str) -> dict[str, str]:
        """Path to image id, of the files that are byte for byte another image of a cluster."""
        return self._published.duplicates(self._id_of(cluster))

    def locate(self, names: Sequence[str]) -> dict[str, str]:
        """Names in an annotation file to paths relative to the source; UserError for one that means none.

        `images/a.png`, `./a.png`, paths of other machines and names in another case mean the image whose path
        ends so, if there is only one.
        """
        return self._published.locate(names_of(names, "image"))

    def named(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The same without raising: what was found, and for every other name a sentence."""
        found = self._published.named(names)
        sentences = {name: self._published.unnamed(name, what) for name, what in found.unknown.items()}
        return dict(found.found), sentences
