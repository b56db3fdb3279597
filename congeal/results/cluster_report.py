"""The page of one cluster from what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.report.cluster_page import AVERAGES, Cluster, ClusterMaps, Member, Pages, head_of, pages_of
from congeal.results.schema.atlas_arrays import ATLAS_GROUP
from congeal.results.stored.image_squares import SquareSource, Wanted
from congeal.results.stored.instances import StoredInstances
from congeal.results.stored.maps import StoredMaps
from congeal.results.stored.pictures import picture_of
from infra.ledger.commits import Marker, outputs_location
from infra.storage.location import Location

# Names of the pictures on a page, and of the atlas' files.
_FILES = dict(zip(AVERAGES, ("average_before", "average_after", "atlas_features"), strict=True))


class MemberRow(NamedTuple):
    """A member of a cluster in the tables images and alignments, in the order of their columns here."""

    image_id: str
    uri: str
    width: int
    height: int
    features_unit: str | None
    features_row: int | None
    role: str
    mirrored: bool | None
    rotation: float | None
    scale: float | None
    translation_u: float | None
    translation_v: float | None
    residual: float | None
    cycle_error: float | None
    fold_fraction: float | None
    coverage: float | None
    outlier: bool
    outlier_reason: str | None
    further: int = 0  # things of the kind that it shows besides the first


def stored_maps(destination: Location, atlas: Marker, cluster_id: str) -> StoredMaps:
    """The group of a cluster, opened: what its pages and its head are made of."""
    return StoredMaps(cluster_id, outputs_location(destination, atlas) / ATLAS_GROUP.name)


def member_pages(
    destination: Location,
    atlas: Marker,
    stored: StoredMaps,
    rows: Sequence[MemberRow],
    first: int,
    squares: SquareSource,
) -> Pages:
    """The pages of some members of a cluster, given in the order of its page.

    atlas: the marker of the cluster's atlas, which is one with maps. stored: its group. first: the number of
    the first page.
    """
    cluster_id = stored.cluster_id
    held = StoredInstances(cluster_id, destination, atlas)
    by_id = {row.image_id: row for row in rows}
    members = [_member(row, stored.position[row.image_id], held) for row in rows]

    def look(some: Sequence[Member]) -> tuple[list[Any], list[Any]]:
        wanted = [by_id[one.image_id] for one in some]
        return squares.read([Wanted(*row[:2], row.features_unit, row.features_row) for row in wanted])

    def further(at: Sequence[int]) -> ClusterMaps:
        assert held.stored is not None  # noqa: S101 - asked only where there are some
        return ClusterMaps(*held.stored.both_ways(at))

    saliency, _ = stored.atlas_shares
    return pages_of(
        cluster_id, members, first, lambda at: ClusterMaps(*stored.both_ways(at)), saliency, look, further
    )


class Head(NamedTuple):
    """What is said of a cluster besides its pages: see `congeal.report.cluster_page.Cluster`."""

    facts: Mapping[str, Any]
    total: int
    outliers: Sequence[tuple[int, int, str, str]]
    copies: Sequence[tuple[str, str]]


def cluster_head(
    destination: Location, atlas: Marker, stored: StoredMaps, head: Head, pages: Sequence[Mapping[str, Any]]
) -> dict[str, bytes]:
    """The script and the pictures of a cluster, by path.

    atlas, stored: as of `member_pages`. pages: see `congeal.report.cluster_page.Pages`.
    """
    folder = outputs_location(destination, atlas)
    cluster_id = str(head.facts["cluster_id"])
    saliency, confidence = stored.atlas_shares
    pictures = {name: _picture(folder, atlas, name) for name in AVERAGES}
    found = atlas.record.get("instances", {})
    several = (int(found["found"]), int(found["images"])) if found.get("found") else None
    cluster = Cluster(
        cluster_id=cluster_id,
        facts=head.facts,
        total=head.total,
        outliers=head.outliers,
        saliency=saliency,
        confidence=confidence,
        pictures={name: picture for name, picture in pictures.items() if picture is not None},
        copies=head.copies,
        zarr=(folder / ATLAS_GROUP.name).url.removeprefix(destination.url + "/"),
        several=several,
    )
    return head_of(cluster, pages)


def _picture(folder: Location, atlas: Marker, name: str) -> npt.NDArray[np.uint8] | None:
    return picture_of(folder, atlas, _FILES[name])


def _member(row: MemberRow, position: int, held: StoredInstances) -> Member:
    facts = row._asdict()
    known = {name: facts[name] for name in Member._fields if name not in ("row", "further")}
    rows = held.rows.get(row.image_id, {}) if row.further else {}
    return Member(row=position, **known, further=tuple(sorted(rows.items())))
