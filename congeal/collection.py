"""The analysts' door: opens a finished destination and reads, lazily, what a run has published there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from infra.arrays import open_group
from infra.commits import Marker, find_marker, in_threads, outputs_location
from infra.errors import DamagedError, UserError
from infra.publications import Publication, check_layout, published
from infra.settings import load_settings
from infra.storage import Location
from infra.tables import ALIGNMENTS, CLUSTERS, CORRESPONDENCES, IMAGES, dataset

if TYPE_CHECKING:
    from congeal.transfer import Maps

Floats = npt.NDArray[np.float32]

TABLES = {
    "images": IMAGES,
    "clusters": CLUSTERS,
    "alignments": ALIGNMENTS,
    "correspondences": CORRESPONDENCES,
}
READING = ("SELECT", "EXPLAIN", "MULTI")  # MULTI: a PIVOT, which DuckDB takes apart
MADE = pa.schema([("cluster_id", pa.string()), ("seconds", pa.float64()), ("device", pa.string())])


def open(destination: str | os.PathLike[str], version: str | None = None, **storage: Any) -> Collection:  # noqa: A001
    """Open what a run has published at `destination`, a path or an fsspec URL.

    version: an older publication, by number or file name. storage: settings of the section `storage`
    (endpoint_url, key, secret, anonymous, …); what is not given comes from CONGEAL_STORAGE__… and the usual
    AWS variables. Raises UserError if nothing is published there.
    """
    settings = load_settings().storage
    if storage:
        settings = type(settings)(**(settings.model_dump() | storage))
    return Collection(Location.parse(destination, settings), version)


@dataclass(frozen=True)
class StoredAtlas:
    """The atlas of one cluster over the square [-1, 1]^2: v down, u right, cells as in align_corners=False.

    features: float16 [a, a, c]. saliency, confidence: float32 [a, a] in [0, 1]. average: uint8 [s, s, 3], the
    average of the aligned images, or None where none could be shown. members: image ids, in the maps' order.
    """

    cluster_id: str
    status: str
    features: npt.NDArray[np.float16]
    saliency: Floats
    confidence: Floats
    average: npt.NDArray[np.uint8] | None
    members: tuple[str, ...]


class Collection:
    """A published version of a destination; it stays what it was, whatever later runs publish."""

    def __init__(self, place: Location, version: str | None = None) -> None:
        self.place = place
        publication = published(place, version) if check_layout(place) else None
        if publication is None:
            raise UserError(f"Nothing is published in {place}: `congeal run SOURCE {place}` does that.")
        self.publication: Publication = publication

    def __repr__(self) -> str:
        about, counts = self.publication, self.publication.counts
        return (
            f"<congeal collection {self.place}, version {about.number} of {about.source}: "
            f"{counts.get('ok', 0):,} images, {counts.get('clusters', 0):,} clusters, "
            f"{counts.get('outliers', 0):,} outliers; "
            ".images .clusters .alignments .correspondences() .transfer() .atlas() .maps() .sql()>"
        )

    @property
    def images(self) -> pd.DataFrame:
        """One row an object of the source that is called like an image, sorted by uri."""
        return _frame(self._dataset("images").to_table())

    @property
    def clusters(self) -> pd.DataFrame:
        """One row a cluster, with the seconds that its atlas took and the device that computed it."""
        return _frame(self._clusters())

    @property
    def alignments(self) -> pd.DataFrame:
        """One row an image that has a cluster: its pose, its quality, whether it fits."""
        return _frame(self._dataset("alignments").to_table())

    def correspondences(
        self, cluster: str | None = None, image: str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Where the points of the atlases lie in the images; filtered at the store.

        cluster: a cluster id. image: an image id or a path relative to the source. columns: only these.
        """
        wanted = None
        if cluster is not None:
            self._cluster(cluster)
            wanted = pads.field("cluster_id") == cluster
        if image is not None:
            row = self.find(image)
            one = (pads.field("cluster_id") == row["cluster_id"]) & (
                pads.field("image_id") == row["image_id"]
            )
            wanted = one if wanted is None else wanted & one
        unknown = [name for name in columns or () if name not in CORRESPONDENCES.names]
        if unknown:
            raise UserError(f"There is no column {unknown[0]}: there are {', '.join(CORRESPONDENCES.names)}.")
        chosen = None if columns is None else list(columns)
        return _frame(self._dataset("correspondences").to_table(columns=chosen, filter=wanted))

    def transfer(self, source: str, points: npt.ArrayLike, target: str) -> pd.DataFrame:
        """Carry points of one image to another of the same cluster, through their atlas.

        source, target: image ids or paths relative to the source. points: [k, 2], x and y in pixels of the
        original image. Returns x, y (pixels of the target), confidence in [0, 1] and visible, a row a point.
        """
        from congeal.transfer import transfer

        given = np.asarray(points, np.float64).reshape(-1, 2)
        result = transfer(given, *self._together(source, target))
        columns = {"confidence": result.confidence, "visible": result.visible}
        return pd.DataFrame({"x": result.xy[:, 0], "y": result.xy[:, 1], **columns})

    def atlas(self, cluster: str) -> StoredAtlas:
        """The atlas of a cluster."""
        group = self._group(cluster)
        arrays = group["atlas"]
        average = np.asarray(arrays["average"][:]) if "average" in arrays else None
        return StoredAtlas(
            cluster_id=cluster,
            status=str(group.attrs["status"]),
            features=np.asarray(arrays["features"][:]),
            saliency=np.asarray(arrays["saliency"][:]),
            confidence=np.asarray(arrays["confidence"][:]),
            average=average,
            members=tuple(group.attrs["image_ids"]),
        )

    def maps(self, image: str) -> Maps:
        """The dense maps of an image (id or path relative to the source) both ways: see congeal.transfer."""
        return self._maps(self._aligned(image))

    def sql(self, query: str) -> pd.DataFrame:
        """A DuckDB query over images, clusters, alignments and correspondences."""
        return _frame(self.query(query))

    def query(self, query: str) -> pa.Table:
        """The same as an Arrow table. Nothing can be written, and nothing else be read.

        Raises UserError with DuckDB's own message, or for anything but one reading statement.
        """
        with duckdb.connect(config={"python_enable_replacements": False}) as connection:
            connection.register("clusters", self._clusters())
            for name in ("images", "alignments", "correspondences"):
                connection.register(name, self._dataset(name))
            connection.execute("SET enable_external_access = false; SET lock_configuration = true")
            try:
                kinds = [statement.type.name for statement in connection.extract_statements(query)]
                if len(kinds) != 1 or kinds[0] not in READING:
                    raise UserError(
                        "One reading statement is allowed: SELECT, FROM, WITH, DESCRIBE, EXPLAIN …."
                    )
                return connection.sql(query).to_arrow_table()
            except duckdb.Error as error:
                raise UserError(str(error)) from error

    def find(self, image: str) -> dict[str, Any]:
        """The row of an image by its id or its path relative to the source; UserError if there is none."""
        wanted = (pads.field("uri") == image) | (pads.field("image_id") == image)
        rows = self._dataset("images").to_table(filter=wanted).to_pylist()
        if not rows:
            raise UserError(
                f"There is no image {image!r} in {self.place}: give an image id or a path relative to "
                f"{self.publication.source}."
            )
        # The same bytes under several names: any row will do, but the one that was asked for says it best.
        return min(rows, key=lambda row: (row["uri"] != image, row["status"] != "ok", row["uri"]))

    def _aligned(self, image: str) -> dict[str, Any]:
        row = self.find(image)
        if row["status"] == "failed":
            raise UserError(f"The image {image!r} could not be used: {row['error']}.")
        if row["cluster_id"] is None:
            raise UserError(
                f"The image {image!r} is an outlier: it belongs to no cluster, so it has no maps."
            )
        return row

    def _together(self, source: str, target: str) -> tuple[Maps, Maps]:
        first, second = self._aligned(source), self._aligned(target)
        if first["cluster_id"] != second["cluster_id"]:
            raise UserError(
                f"The images {source!r} and {target!r} are in different clusters ({first['cluster_id']} and "
                f"{second['cluster_id']}): points are carried within one cluster only."
            )
        return self._maps(first), self._maps(second)

    def _maps(self, row: dict[str, Any]) -> Maps:
        from congeal.coordinates import Frame
        from congeal.transfer import Maps

        group = self._group(row["cluster_id"])
        position = list(group.attrs["image_ids"]).index(row["image_id"])
        arrays = {
            name: np.asarray(group["maps"][name][position], np.float32)
            for name in ("forward", "forward_confidence", "backward", "backward_confidence")
        }
        return Maps(Frame(row["width"], row["height"]), **arrays)

    def _group(self, cluster: str) -> Any:
        # zarr's own types say that anything may come out of a group.
        marker = self._marker("atlases", self._cluster(cluster)["atlas_unit"])
        return open_group(outputs_location(self.place, marker) / "atlas.zarr")

    def _cluster(self, cluster: str) -> dict[str, Any]:
        rows = self._dataset("clusters").to_table(filter=pads.field("cluster_id") == cluster).to_pylist()
        if not rows:
            raise UserError(f"There is no cluster {cluster!r} in {self.place}: see the table clusters.")
        return dict(rows[0])

    def _clusters(self) -> pa.Table:
        table = self._dataset("clusters").to_table()
        made = {
            name: facts for marker in self._index for name, facts in marker.record.get("made", {}).items()
        }
        rows = [made[name] | {"cluster_id": name} for name in table["cluster_id"].to_pylist()]
        facts = pa.Table.from_pylist(rows, schema=MADE)
        return table.append_column("seconds", facts["seconds"]).append_column("device", facts["device"])

    def _dataset(self, table: str) -> pads.Dataset:
        return self._datasets[table]

    @cached_property
    def _datasets(self) -> dict[str, pads.Dataset]:
        found: dict[str, list[Location]] = {name: [] for name in TABLES}
        for marker in self._index:
            for path in marker.outputs:
                name = path.removesuffix(".parquet")
                if name in found:
                    found[name].append(outputs_location(self.place, marker) / path)
        return {name: dataset(places, TABLES[name]) for name, places in found.items()}

    @cached_property
    def _index(self) -> list[Marker]:
        return list(in_threads(lambda unit: self._marker("index", unit), self.publication.units["index"]))

    def _marker(self, stage: str, unit: str) -> Marker:
        marker = find_marker(self.place, stage, unit)
        if marker is None:
            raise DamagedError(
                f"The unit {stage}/{unit} of {self.place} is gone: `congeal run` makes it anew from "
                f"{self.publication.source}."
            )
        return marker


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame
