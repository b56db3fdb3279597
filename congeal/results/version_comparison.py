"""What one version of a destination says otherwise than an earlier one: images, clusters, points, figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.dataset as pads

from congeal.alignment.outcomes import OK
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import cell_centres
from congeal.results.outlier_counts import further_instances
from congeal.results.published_version import Published
from congeal.results.schema.atlas_arrays import ATLAS_FEATURES, ATLAS_GROUP, ATLAS_SALIENCY
from congeal.results.schema.rows import ClusterRow
from infra.errors import UserError
from infra.ledger.publications import versions

GRID = 16  # points of an atlas a side that are followed
MOST_FOLLOWED = 64  # images of a cluster in which they are followed, evenly spread over the ids
SAME_FRAME = 0.05  # atlas units (half the atlas' side is 1) by which a frame may move and count as the same
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
    """The images of two versions that are ok, duplicates not counted. come, gone: paths, sorted."""

    before: int
    after: int
    come: list[str]
    gone: list[str]
    renamed: list[Renamed]
    other_cluster: list[ClusterOfImage]


@dataclass(frozen=True)
class PointChanges:
    """How far the points of an atlas have moved on the images that are in the cluster before and after.

    Attributes:
        images: in how many of them the points were followed, at most MOST_FOLLOWED.
        points: how many were seen (confidence 0.5 or more, on the image) in the earlier version.
        median, p90: of the distance between where a point was and where it is, pixels of each image.
        frame_moved: how far the frame of the atlas has moved, atlas units (half the atlas' side is 1): the
            median over the points, of each the median over the images; 0 for an atlas that was kept.
        same_frame: whether that is 0.05 or less, so that u, v and point_id mean the same place.
    """

    images: int
    points: int
    median: float
    p90: float
    frame_moved: float
    same_frame: bool


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
    further_instances: things of their kind that images show besides their first, before and after.
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
    further_instances: tuple[int, int] = (0, 0)


def previous_version(published: Published) -> str:
    """File name of the newest version before this one; UserError if there is none."""
    number = published.publication.number
    earlier = [name for name in versions(published.place) if int(name.partition("-")[0]) < number]
    if not earlier:
        raise UserError(
            f"{published.place} has no version before {number}: there is nothing to compare it with."
        )
    return earlier[-1]


def compare(before: Published, after: Published, follow: int | None = None) -> VersionDiff:
    """The differences of two versions of a destination. Raises UserError if they are the same one.

    follow: of how many changed clusters, the largest ones, points are followed; None: of all.
    """
    numbers = before.publication.number, after.publication.number
    if numbers[0] == numbers[1]:
        raise UserError(f"Version {numbers[0]} is compared with itself: name two versions.")
    was, now = _images(before), _images(after)
    rows_before, rows_after = _clusters(before), _clusters(after)
    notes = []
    figures = dict(FIGURES)
    if _schema_version(before) < MAPS_SINCE:
        del figures["cycle_error"]
        notes.append(
            f"The cycle errors of version {numbers[0]} are not of its maps (schema version below "
            f"{MAPS_SINCE}): they are not compared."
        )
    both = sorted(rows_before.keys() & rows_after.keys())
    pairs = [(rows_before[name], rows_after[name]) for name in both]
    members = [_by_cluster(was), _by_cluster(now)]
    pairs = [pair for pair in pairs if _differ(*pair, members)]
    largest = sorted(pairs, key=lambda pair: (-pair[1]["n_images"], pair[1]["cluster_id"]))[:follow]
    followed = {now["cluster_id"] for _, now in largest}
    changed = [
        _change(before, after, *pair, members, figures, follow=pair[1]["cluster_id"] in followed)
        for pair in pairs
    ]
    if len(followed) < len(changed):
        notes.append(
            f"Points were followed in the {len(followed):,} largest of {len(changed):,} changed clusters: "
            "`congeal diff` follows them in all."
        )
    return VersionDiff(
        *numbers,
        _image_changes(was, now),
        [_name(rows_after[name]) for name in sorted(rows_after.keys() - rows_before.keys())],
        [_name(rows_before[name]) for name in sorted(rows_before.keys() - rows_after.keys())],
        changed,
        len(both) - len(changed),
        _overall(rows_before.values(), rows_after.values(), figures),
        notes,
        (_further(before), _further(after)),
    )


def _further(published: Published) -> int:
    return further_instances(published.publication.counts)["found"]


def _images(published: Published) -> dict[str, tuple[str, str | None]]:
    """Path and cluster of every sound image, by id."""
    table = published.tables.dataset("images").to_table(
        columns=["image_id", "uri", "cluster_id"], filter=pads.field("status") == "ok"
    )
    columns = (table[name].to_pylist() for name in ("image_id", "uri", "cluster_id"))
    return {image_id: (uri, cluster) for image_id, uri, cluster in zip(*columns, strict=True)}


def _clusters(published: Published) -> dict[str, ClusterRow]:
    rows: list[ClusterRow] = published.tables.dataset("clusters").to_table().to_pylist()
    return {row["cluster_id"]: row for row in rows}


def _schema_version(published: Published) -> int:
    schema = published.tables.dataset("clusters").schema
    return int((schema.metadata or {}).get(b"congeal.schema_version", b"0"))


def _by_cluster(images: Mapping[str, tuple[str, str | None]]) -> dict[str | None, set[str]]:
    found: dict[str | None, set[str]] = {}
    for image_id, (_, cluster) in images.items():
        found.setdefault(cluster, set()).add(image_id)
    return found


def _image_changes(
    was: Mapping[str, tuple[str, str | None]], now: Mapping[str, tuple[str, str | None]]
) -> ImageChanges:
    both = was.keys() & now.keys()
    renamed = [Renamed(name, was[name][0], now[name][0]) for name in both if was[name][0] != now[name][0]]
    moved = [
        ClusterOfImage(name, now[name][0], was[name][1], now[name][1])
        for name in both
        if was[name][1] != now[name][1]
    ]
    return ImageChanges(
        len(was),
        len(now),
        sorted(now[name][0] for name in now.keys() - was.keys()),
        sorted(was[name][0] for name in was.keys() - now.keys()),
        sorted(renamed, key=lambda one: one.after),
        sorted(moved, key=lambda one: one.uri),
    )


def _name(row: ClusterRow) -> ClusterName:
    return ClusterName(row["cluster_id"], _called(row), row["n_images"])


def _called(row: ClusterRow) -> str | None:
    facts: Any = row
    name: str | None = facts.get("name")  # what was published before clusters had names lacks it
    return name


def _differ(was: ClusterRow, now: ClusterRow, members: Sequence[Mapping[str | None, set[str]]]) -> bool:
    old, new = (one.get(now["cluster_id"], set()) for one in members)
    return was["atlas_unit"] != now["atlas_unit"] or old != new or _called(was) != _called(now)


def _change(
    before: Published,
    after: Published,
    was: ClusterRow,
    now: ClusterRow,
    members: Sequence[Mapping[str | None, set[str]]],
    figures: Mapping[str, bool | None],
    *,
    follow: bool,
) -> ClusterChange:
    """What has changed about a cluster."""
    cluster = now["cluster_id"]
    old, new = (one.get(cluster, set()) for one in members)
    same_unit = was["atlas_unit"] == now["atlas_unit"]
    anew = not same_unit and _template(before, was) != _template(after, now)
    points = None
    if follow and was["status"] == now["status"] == OK:
        points = _points(before, after, cluster, old & new, kept=not anew)
    old_facts: Any = was
    new_facts: Any = now
    compared = {
        name: _figure(old_facts.get(name), new_facts.get(name), less)
        for name, less in figures.items()
        if old_facts.get(name) != new_facts.get(name)
    }
    return ClusterChange(
        cluster,
        _called(now),
        _called(was),
        was["n_images"],
        now["n_images"],
        len(new - old),
        len(old - new),
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


def _points(
    before: Published, after: Published, cluster: str, shared: set[str], *, kept: bool
) -> PointChanges | None:
    from congeal.transfer.points import VISIBLE, from_atlas_to_many, to_atlas

    old, new = before.stored(cluster), after.stored(cluster)
    misfits = before.misfits(cluster).keys() | after.misfits(cluster).keys()
    names = sorted((shared & old.position.keys() & new.position.keys()) - misfits)
    chosen = [
        names[at] for at in np.unique(np.linspace(0, len(names) - 1, MOST_FOLLOWED).round().astype(int))
    ]
    if not names:
        return None
    places = cell_centres(GRID).reshape(-1, 2).astype(np.float64)
    then = old.forward([old.position[name] for name in chosen])
    xy, sure = from_atlas_to_many(places, then)
    there, _ = from_atlas_to_many(places, new.forward([new.position[name] for name in chosen]))
    inside = np.stack([frame.inside(at) for frame, at in zip(then.frames, xy, strict=True)])
    seen = (sure >= VISIBLE) & inside
    if not seen.any():
        return None
    distance = np.linalg.norm(there - xy, axis=-1)[seen]
    moved = 0.0
    if not kept:
        shift = np.full((*seen.shape, 2), np.nan)
        for row, name in enumerate(chosen):
            at, _ = to_atlas(xy[row][seen[row]], new.maps(new.position[name]))
            shift[row, seen[row]] = at - places[seen[row]]
        moved = _frame_moved(shift[:, seen.any(axis=0)])
    return PointChanges(
        len(chosen),
        int(seen.sum()),
        float(np.median(distance)),
        float(np.quantile(distance, 0.9)),
        moved,
        moved <= SAME_FRAME,
    )


def _frame_moved(shift: Doubles) -> float:
    """shift [images, points, 2], NaN where a point is not seen; each point is seen in some image."""
    return float(np.median(np.linalg.norm(np.nanmedian(shift, axis=0), axis=-1)))


def _figure(before: float | None, after: float | None, less: bool | None) -> FigureChange:
    better = None
    if less is not None and before is not None and after is not None and before != after:
        better = (after < before) is less
    return FigureChange(before, after, better)


def _overall(
    before: Iterable[ClusterRow], after: Iterable[ClusterRow], figures: Mapping[str, bool | None]
) -> dict[str, FigureChange]:
    earlier, later = list(before), list(after)
    found = {}
    for name, less in figures.items():
        if name == "n_outliers":
            continue
        was, now = _median(earlier, name), _median(later, name)
        found[name] = _figure(was, now, less)
    return found


def _median(rows: Iterable[ClusterRow], name: str) -> float | None:
    values: list[Any] = [row.get(name) for row in rows if row["status"] == OK]
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
