"""What a run has published, by name: images, clusters, their stored maps."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as pads

from congeal.alignment.model import RIGID
from congeal.alignment.outcomes import FAILED, MEANINGLESS
from congeal.backbones.stronger import stronger
from congeal.results.image_name_matching import Names, match
from congeal.results.published_tables import PublishedTables
from congeal.results.schema.atlas_arrays import ATLAS_GROUP
from congeal.results.schema.date_limits import within
from congeal.results.schema.instances import of_first
from congeal.results.schema.rows import AlignedRow, ClusterRow, ImageRow, MemberRow
from congeal.results.stored.instances import StoredInstances
from congeal.results.stored.maps import StoredAtlas, StoredMaps
from congeal.results.stored.pictures import picture_of
from infra.errors import UserError
from infra.ledger.commits import outputs_location
from infra.ledger.moved_sources import present_url
from infra.ledger.publications import Publication, check_layout, published
from infra.settings import StorageSettings
from infra.storage.image_source import image_source
from infra.storage.location import Location

if TYPE_CHECKING:
    from congeal.results.queries.sql import Database
    from congeal.transfer.points import Maps

# Clusters that have no maps to speak of, by status, and why.
NOT_ALIGNED = {**MEANINGLESS, FAILED: "it could not be aligned"}
IMAGE_ID = re.compile("[0-9a-f]{32}")
CLUSTER_ID = re.compile("c[0-9a-f]{11}")
GROUPS = 64  # clusters whose groups stay open


def source_of(
    publication: Publication, storage: StorageSettings | None = None, present: str | None = None
) -> Location:
    """Where the images of a version lie. present: where its first place lies now, if it was moved."""
    given = publication.settings.get("source", {})  # absent in what earlier versions published
    first = present or publication.source
    return image_source(first, given.get("also", ()), given.get("roots", ()), storage)


class Published:
    """One version of a destination."""

    def __init__(
        self, place: Location, version: str | None = None, storage: StorageSettings | None = None
    ) -> None:
        self.place = place
        self.storage = storage
        with ThreadPoolExecutor(1) as pool:
            # At the same time; whose destination it is comes first, whatever is published there.
            asked = pool.submit(published, place, version)
            publication = asked.result() if check_layout(place) else None
        if publication is None:
            raise UserError(f"Nothing is published in {place}: `congeal run SOURCE {place}` does that.")
        self.publication: Publication = publication
        self.tables = PublishedTables(place, publication)
        self._groups: OrderedDict[str, tuple[StoredMaps, StoredInstances]] = OrderedDict()

    @cached_property
    def source(self) -> Location:
        """Where the images lie."""
        return source_of(self.publication, self.storage, present_url(self.place, self.publication.source))

    @cached_property
    def database(self) -> Database:
        """The tables under DuckDB."""
        from congeal.results.queries.sql import Database

        return Database(self.tables)

    def find(self, image: str) -> ImageRow:
        """The row of an image by its id or its path relative to the source; UserError if there is none."""
        return self.find_all([image])[0]

    def find_all(self, images: Sequence[str]) -> list[ImageRow]:
        """The rows of several images, in one reading of the table."""
        # No image file's name looks like an id; the table is sorted by uri, so that one is found quickly.
        ids = [name for name in images if IMAGE_ID.fullmatch(name)]
        uris = sorted(set(images) - set(ids))
        rows: list[ImageRow] = []
        for column, names in (("uri", uris), ("image_id", ids)):
            if names:
                wanted = pads.field(column).isin(names)
                rows += within(self.tables.dataset("images").to_table(filter=wanted)).to_pylist()
        by_name: dict[str | None, list[ImageRow]] = {}
        for row in rows:
            by_name.setdefault(row["uri"], []).append(row)
            by_name.setdefault(row["image_id"], []).append(row)
        return [self._best(image, by_name.get(image, [])) for image in images]

    def _best(self, image: str, rows: Sequence[ImageRow]) -> ImageRow:
        if not rows:
            raise UserError(
                f"There is no image {image!r} in {self.place}: give an image id or a path relative to "
                f"{self.publication.source}."
            )
        # The same bytes under several names: any row will do, but the one that was asked for says it best.
        return min(rows, key=lambda row: (row["uri"] != image, row["status"] != "ok", row["uri"]))

    def locate(self, names: Sequence[str]) -> dict[str, str]:
        """Names in an annotation file to uris, as `congeal.results.image_name_matching.match` finds them.

        Raises UserError for a name that no image has, or that several have.
        """
        named = self.named(names)
        for name, what in named.unknown.items():
            raise UserError(self.unnamed(name, what))
        return dict(named.found)

    def named(self, names: Sequence[str]) -> Names:
        """The same without raising."""
        table = self.tables.dataset("images").to_table(columns=["uri"])
        return match(names, table["uri"].to_pylist())

    def unnamed(self, name: str, what: str) -> str:
        """A sentence about a name that means no image."""
        return f"{what} {name!r} in {self.place}: give paths relative to {self.publication.source}."

    def aligned(self, image: str) -> AlignedRow:
        """The row of an image that belongs to a cluster; UserError for any other, saying why."""
        return self.aligned_all([image])[0]

    def aligned_all(self, images: Sequence[str]) -> list[AlignedRow]:
        """The rows of several images that belong to clusters."""
        self.tables.fetch("images", "clusters")  # whose rows are next
        rows = self.find_all(images)
        for image, row in zip(images, rows, strict=True):
            if row["status"] == "failed":
                raise UserError(f"The image {image!r} could not be used: {row['error']}.")
            if row["cluster_id"] is None:
                raise UserError(
                    f"The image {image!r} is an outlier: it belongs to no cluster, so it has no maps."
                )
        return cast("list[AlignedRow]", rows)

    def of_one_cluster(self, images: Sequence[str]) -> list[AlignedRow]:
        """The rows of images that must all be in the cluster of the first, and that one be aligned."""
        rows = self.aligned_all(images)
        for image, row in zip(images, rows, strict=True):
            if row["cluster_id"] != rows[0]["cluster_id"]:
                raise UserError(
                    f"The images {images[0]!r} and {image!r} are in different clusters "
                    f"({self.called(rows[0]['cluster_id'])} and {self.called(row['cluster_id'])}): no "
                    "correspondence exists between them."
                )
        self.require_aligned(rows[0]["cluster_id"])
        return rows

    def require_aligned(self, cluster: str) -> ClusterRow:
        """The row of a cluster through whose maps something can be carried; UserError for any other."""
        row = self.cluster(cluster)
        if row["status"] in NOT_ALIGNED:
            why = row["error"] or NOT_ALIGNED[row["status"]]
            needed = stronger(self.publication.backbone) if row["status"] in MEANINGLESS else None
            cure = "" if needed is None else f"; features of {needed} may show more in its images"
            raise UserError(
                f"Nothing can be transferred within the cluster {self.called(cluster)}: {why} (status "
                f"{row['status']}){cure}."
            )
        return row

    def deformation(self, cluster: str) -> str:
        """What the maps of a cluster have beyond a pose: "rigid" (nothing), "flow" or "guided"."""
        # In the group, since tables of old versions do not have it.
        return self.stored(cluster).deformation

    def members(self, cluster: str) -> list[MemberRow]:
        """A cluster's images without duplicates, by uri."""
        self.cluster(cluster)
        columns = list(MemberRow.__annotations__)
        wanted = (pads.field("cluster_id") == cluster) & (pads.field("status") == "ok")
        rows: list[MemberRow] = (
            self.tables.dataset("images").to_table(columns=columns, filter=wanted).to_pylist()
        )
        return sorted(rows, key=lambda row: row["uri"])

    def duplicates(self, cluster: str) -> dict[str, str]:
        """Uri to image id, of the files that are byte for byte another image of a cluster."""
        wanted = (pads.field("cluster_id") == cluster) & (pads.field("status") == "duplicate")
        rows = self.tables.dataset("images").to_table(columns=["uri", "image_id"], filter=wanted).to_pylist()
        return {row["uri"]: row["image_id"] for row in rows}

    def misfits(self, cluster: str) -> dict[str, str]:
        """Image id to reason, of a cluster's images that do not fit its atlas."""
        wanted = (pads.field("cluster_id") == cluster) & pads.field("outlier") & of_first()
        columns = ["image_id", "outlier_reason"]
        rows = self.tables.dataset("alignments", cluster).to_table(columns=columns, filter=wanted).to_pylist()
        return {row["image_id"]: row["outlier_reason"] or "it does not fit" for row in rows}

    def alignment(self, cluster: str, image_id: str) -> dict[str, Any] | None:
        """The row of the table alignments of an image, of its first instance; None if there is none."""
        wanted = (pads.field("cluster_id") == cluster) & (pads.field("image_id") == image_id) & of_first()
        rows = self.tables.dataset("alignments", cluster).to_table(filter=wanted).to_pylist()
        return rows[0] if rows else None

    def cluster_id(self, cluster: str) -> str:
        """The id of a cluster that is named by its id or by the name that its owner gave it."""
        if CLUSTER_ID.fullmatch(cluster):
            return cluster
        wanted = pads.field("name") == cluster
        found = self.tables.dataset("clusters").to_table(columns=["cluster_id"], filter=wanted)
        ids: list[str] = found["cluster_id"].to_pylist()
        return ids[0] if len(ids) == 1 else cluster

    def cluster(self, cluster: str) -> ClusterRow:
        """The row of a cluster; UserError if there is none."""
        wanted = pads.field("cluster_id") == cluster
        rows: list[ClusterRow] = self.tables.dataset("clusters", cluster).to_table(filter=wanted).to_pylist()
        if not rows:
            raise UserError(f"There is no cluster {cluster!r} in {self.place}: see the table clusters.")
        return rows[0]

    def called(self, cluster: str) -> str:
        """A cluster's id, its name before it where it has one."""
        name = self.cluster(cluster)["name"]
        return cluster if name is None else f"{name!r} ({cluster})"

    def rigidly_mapped(self, images: Iterable[str]) -> frozenset[str]:
        """Those of some images, named by id or path, whose cluster's maps are rigid.

        Images that are not known here are none of them: whatever is said of those comes from elsewhere.
        """
        names = sorted(set(images))
        if not names:
            return frozenset()
        columns = ["uri", "image_id", "cluster_id"]
        wanted = (pads.field("uri").isin(names) | pads.field("image_id").isin(names)) & pads.field(
            "cluster_id"
        ).is_valid()
        rows = self.tables.dataset("images").to_table(columns=columns, filter=wanted).to_pylist()
        rigid = {name for name in {row["cluster_id"] for row in rows} if self.deformation(name) == RIGID}
        found = {row[key] for row in rows if row["cluster_id"] in rigid for key in ("uri", "image_id")}
        return frozenset(found & set(names))

    def stored(self, cluster: str) -> StoredMaps:
        """The stored atlas and maps of a cluster; the last few stay open. UserError if it has none."""
        return self._opened(cluster)[0]

    def instances(self, cluster: str) -> StoredInstances:
        """Further instances in the images of a cluster that has an atlas, see `stored`."""
        return self._opened(cluster)[1]

    def _opened(self, cluster: str) -> tuple[StoredMaps, StoredInstances]:
        if cluster not in self._groups:
            row = self.cluster(cluster)
            if row["status"] == FAILED or row["atlas_unit"] is None:
                raise UserError(f"The cluster {cluster} has no atlas: {row['error'] or NOT_ALIGNED[FAILED]}.")
            marker = self.tables.marker("atlases", row["atlas_unit"])
            place = outputs_location(self.place, marker) / ATLAS_GROUP.name
            further = StoredInstances(cluster, self.place, marker)
            self._groups[cluster] = StoredMaps(cluster, place), further
            if len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(cluster)
        return self._groups[cluster]

    def atlas(self, cluster: str) -> StoredAtlas:
        """The atlas of a cluster with its average image. UserError if it has none."""

        def picture() -> npt.NDArray[np.uint8] | None:
            marker = self.tables.marker("atlases", str(self.cluster(cluster)["atlas_unit"]))
            return picture_of(outputs_location(self.place, marker), marker, "average_after")

        return self.stored(cluster).atlas(picture)

    def pictures(self, cluster: str) -> dict[str, str]:
        """Name to path or URL of each of a cluster's pictures; empty if it has none."""
        unit = self.cluster(cluster)["atlas_unit"]
        if unit is None:
            return {}
        marker = self.tables.marker("atlases", unit)
        folder = outputs_location(self.place, marker)
        return {
            path.removeprefix("previews/").removesuffix(".png"): (folder / path).url.removeprefix("file://")
            for path in sorted(marker.outputs)
            if path.startswith("previews/")
        }

    def pixels(self, row: ImageRow | MemberRow, target: int | None = None) -> npt.NDArray[np.uint8]:
        """The pixels of an image, uint8 [h, w, 3], from the source.

        target: that its longer side has at least, see `congeal.imaging.decoding.decode`; None: its full size.
        Raises UserError if it is not there any more, or has changed, or is no sound image.
        """
        from congeal.errors import ImageError
        from congeal.imaging.decoding import decode

        place = self.source / row["uri"]
        data = place.read_bytes()
        if hashlib.sha256(data).hexdigest()[: len(row["image_id"] or "")] != row["image_id"]:
            raise UserError(f"The image {place} has changed since it was catalogued: run congeal again.")
        limits = self.publication.settings["catalog"]
        try:
            stated = limits.get("range")  # absent in what earlier versions published
            return decode(
                data,
                int(limits["max_pixels"]),
                int(limits["min_side"]),
                target,
                value_range=(float(stated[0]), float(stated[1])) if stated else None,
            )
        except ImageError as error:
            raise UserError(f"The image {place} could not be used: {error.reason}.") from error

    def maps(self, row: MemberRow, instance: int = 0) -> Maps:
        """The dense maps of an image that belongs to a cluster, or of a further instance in it."""
        stored = self.stored(row["cluster_id"])
        if instance:
            return self.instances(row["cluster_id"]).maps(row["image_id"], instance)
        return stored.maps(stored.position[row["image_id"]])
