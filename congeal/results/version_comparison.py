"""What one version of a destination says otherwise than an earlier one: images, clusters, points, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from congeal.alignment.outcomes import OK
from congeal.results.outlier_counts import further_instances
from congeal.results.point_changes import PointChanges, point_changes
from congeal.results.published_version import Published
from congeal.results.schema.atlas_arrays import ATLAS_FEATURES, ATLAS_GROUP, ATLAS_SALIENCY
from congeal.results.schema.rows import ClusterRow
from congeal.results.version_tables import SharedCluster, VersionTables, row_of, version_tables
from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.ledger.publications import versions

ATLAS = f"{ATLAS_GROUP.name}/"
# Outputs that a kept atlas keeps, in whatever version of the stage.
KEPT = tuple(f"{ATLAS}{array.path}/" for array in (ATLAS_FEATURES, ATLAS_SALIENCY))
MAPS_SINCE = 3  # the schema version since which cycle errors are those of the maps
# What is compared of a cluster, and whether less of it is better (None: neither is).
FIGURES: dict[str, bool | None] = {
    "residual": True,
    "cycle_error": True,
    "fold_fraction": True,
    "coverage": False,
    "confidence": False,
    "margin": None,
    "n_outliers": True,
}


@dataclass(frozen=True)
class Renamed:
    """An image that has another path than before, and the same bytes."""

    image_id: str
    before: str
    after: str


@dataclass(frozen=True)
class ClusterOfImage:
    """An image that was there before and has another cluster now; None: it has none."""

    image_id: str
    uri: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class ImageChanges:
    """The images of two versions that are ok, duplicates not counted.

    come, gone: paths, sorted; n_come, n_gone, …: how many there are, also where only the first are named.
    """

    before: int
    after: int
    come: list[str]
    gone: list[str]
    renamed: list[Renamed]
    other_cluster: list[ClusterOfImage]
    n_come: int
    n_gone: int
    n_renamed: int
    n_other_cluster: int


@dataclass(frozen=True)
class FigureChange:
    """A column of the table clusters before and after. better: None where neither is, or one is missing."""

    before: float | None
    after: float | None
    better: bool | None


@dataclass(frozen=True)
class ClusterChange:
    """A cluster that is in both versions, and what is new about it.

    joined, left: images. solved_anew: its atlas is another one; what was only extended is not. points: None
    where nothing can be, or was to be, followed. figures: by column of the table clusters, those that differ.
    """

    cluster_id: str
    name: str | None
    name_before: str | None
    n_images_before: int
    n_images: int
    joined: int
    left: int
    status_before: str
    status: str
    solved_anew: bool
    points: PointChanges | None
    figures: dict[str, FigureChange]


@dataclass(frozen=True)
class ClusterName:
    """A cluster that only one of the versions has."""

    cluster_id: str
    name: str | None
    n_images: int


@dataclass(frozen=True)
class VersionDiff:
    """What the version `after` says otherwise than the version `before` (their numbers).

    new, gone: clusters of only one of them. changed: clusters of both that are not the same in every respect;
    unchanged: how many are. figures: medians over all aligned clusters. notes: what could not be compared.
    further_instances: things of their kind that images show besides their first, before and after. n_new,
    n_gone, n_changed: how many clusters, also where only the first are named.
    """

    before: int
    after: int
    images: ImageChanges
    new: list[ClusterName]
    gone: list[ClusterName]
    changed: list[ClusterChange]
    unchanged: int
    figures: dict[str, FigureChange]
    notes: list[str]
    further_instances: tuple[int, int]
    n_new: int
    n_gone: int
    n_changed: int


def previous_version(published: Published) -> str:
    """File name of the newest version before this one; UserError if there is none."""
    number = published.publication.number
    earlier = [name for name in versions(published.place) if int(name.partition("-")[0]) < number]
    if not earlier:
        raise UserError(
            f"{published.place} has no version before {number}: there is nothing to compare it with."
        )
    return earlier[-1]


def compare(
    before: Published, after: Published, follow: int | None = None, most: int | None = None
) -> VersionDiff:
    """The differences of two versions of a destination. Raises UserError if they are the same one.

    follow: of how many changed clusters, the largest ones, points are followed; None: of all. most: of images
    and clusters of each kind that are named, the first ones; all are counted. None: all. Of images, which lie
    in a temporary file, memory holds those that are named.
    """
    numbers = before.publication.number, after.publication.number
    if numbers[0] == numbers[1]:
        raise UserError(f"Version {numbers[0]} is compared with itself: name two versions.")
    notes = []
    figures = dict(FIGURES)
    if _schema_version(before) < MAPS_SINCE:
        del figures["cycle_error"]
        notes.append(
            f"The cycle errors of version {numbers[0]} are not of its maps (schema version below "
            f"{MAPS_SINCE}): they are not compared."
        )
    with version_tables(before, after) as tables:
        n_new, new = tables.new(most)
        n_gone, gone = tables.lost(most)
        n_changed, changed = tables.changed(most)
        followed = tables.largest(follow)
        if len(followed) < n_changed:
            notes.append(
                f"Points were followed in the {len(followed):,} largest of "
                f"{counted(n_changed, 'changed cluster')}: "
                "`congeal diff` follows them in all."
            )
        return VersionDiff(
            *numbers,
            _image_changes(tables, most),
            [_name(row_of(tables.now, at)) for at in new],
            [_name(row_of(tables.was, at)) for at in gone],
            [_change(before, after, tables, one, figures, follow=one.now_at in followed) for one in changed],
            tables.in_both() - n_changed,
            _overall(tables.was, tables.now, figures),
            notes,
            (_further(before), _further(after)),
            n_new,
            n_gone,
            n_changed,
        )


def _further(published: Published) -> int:
    return further_instances(published.publication.counts)["found"]


def _schema_version(published: Published) -> int:
    schema = published.tables.dataset("clusters").schema
    return int((schema.metadata or {}).get(b"congeal.schema_version", b"0"))


def _image_changes(tables: VersionTables, most: int | None) -> ImageChanges:
    before, after = tables.images()
    n_come, come = tables.come(most)
    n_gone, gone = tables.gone(most)
    n_renamed, renamed = tables.renamed(most)
    n_other_cluster, moved = tables.moved(most)
    return ImageChanges(
        before,
        after,
        come,
        gone,
        [Renamed(*one) for one in renamed],
        [ClusterOfImage(*one) for one in moved],
        n_come,
        n_gone,
        n_renamed,
        n_other_cluster,
    )


def _name(row: ClusterRow) -> ClusterName:
    return ClusterName(row["cluster_id"], row["name"], row["n_images"])


def _change(
    before: Published,
    after: Published,
    tables: VersionTables,
    one: SharedCluster,
    figures: Mapping[str, bool | None],
    *,
    follow: bool,
) -> ClusterChange:
    """What has changed about a cluster."""
    was, now = row_of(tables.was, one.was_at), row_of(tables.now, one.now_at)
    cluster = now["cluster_id"]
    same_unit = was["atlas_unit"] == now["atlas_unit"]
    anew = not same_unit and _template(before, was) != _template(after, now)
    points = None
    if follow and was["status"] == now["status"] == OK:
        points = point_changes(before, after, cluster, tables.shared(cluster), kept=not anew)
    old_facts: Any = was
    new_facts: Any = now
    compared = {
        name: _figure(old_facts.get(name), new_facts.get(name), less)
        for name, less in figures.items()
        if old_facts.get(name) != new_facts.get(name)
    }
    return ClusterChange(
        cluster,
        now["name"],
        was["name"],
        was["n_images"],
        now["n_images"],
        one.joined,
        one.left,
        was["status"],
        now["status"],
        anew,
        points,
        compared,
    )


def _template(published: Published, row: ClusterRow) -> dict[str, str]:
    """Checksums of the arrays that make up an atlas, without what is drawn or counted over its images."""
    if row["atlas_unit"] is None:
        return {}
    outputs = published.tables.marker("atlases", row["atlas_unit"]).outputs
    return {
        path: file.sha256
        for path, file in outputs.items()
        if path.startswith(KEPT) and not path.endswith("zarr.json")
    }


def _figure(before: float | None, after: float | None, less: bool | None) -> FigureChange:
    better = None
    if less is not None and before is not None and after is not None and before != after:
        better = (after < before) is less
    return FigureChange(before, after, better)


def _overall(
    before: pa.Table, after: pa.Table, figures: Mapping[str, bool | None]
) -> dict[str, FigureChange]:
    return {
        name: _figure(_median(before, name), _median(after, name), less)
        for name, less in figures.items()
        if name != "n_outliers"
    }


def _median(clusters: pa.Table, name: str) -> float | None:
    """Of those that are aligned."""
    values = clusters[name].filter(pc.equal(clusters["status"].cast(pa.string()), OK)).drop_null()
    return float(np.median(values.cast(pa.float64()).to_numpy())) if len(values) else None
