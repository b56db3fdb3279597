"""Points of images, or of an atlas, in the other images of their cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.geometry.arrays import Doubles
from congeal.results.published_tables import SMALL_TABLES
from congeal.results.published_version import Published
from congeal.results.schema.instances import INSTANCE
from congeal.results.schema.rows import MemberRow
from congeal_floors.plurals import counted
from infra.errors import UserError

if TYPE_CHECKING:
    from congeal.results.stored.instances import StoredInstances
    from congeal.results.stored.maps import StoredMaps
    from congeal.transfer.annotation_propagation import AtlasPoints

TargetImages = Literal["all"] | Sequence[str]


def chosen(
    published: Published, cluster: str, to: TargetImages, sources: Sequence[MemberRow] = ()
) -> list[MemberRow]:
    """The rows of the images that something is carried to.

    to: names, which must be of the cluster; or "all": every image of the cluster that fits its atlas, and the
    sources, which know it best, whether they fit or not, and also under the name of a duplicate.
    """
    published.require_aligned(cluster)
    if isinstance(to, str) and to != "all":
        to = [to]
    if to == "all":
        misfits = published.misfits(cluster).keys() - {row["image_id"] for row in sources}
        members = published.members(cluster)
        named = {row["uri"]: row for row in (*members, *sources) if row["image_id"] not in misfits}
        return [named[uri] for uri in sorted(named)]
    rows: list[MemberRow] = [*published.aligned_all(list(to))]
    for name, row in zip(to, rows, strict=True):
        if row["cluster_id"] != cluster:
            raise UserError(
                f"The image {name!r} is in the cluster {row['cluster_id']}, not in {cluster}: no "
                "correspondence exists between them."
            )
    return rows


def sound(published: Published, rows: Sequence[MemberRow]) -> list[bool]:
    """Which of the sources, all of one cluster, fit their atlas: from the others nothing is carried.

    Raises UserError if none does.
    """
    misfits = published.misfits(rows[0]["cluster_id"])
    fits = [row["image_id"] not in misfits for row in rows]
    if not any(fits):
        reason = misfits[rows[0]["image_id"]]
        raise UserError(
            f"The image {rows[0]['uri']!r} does not fit its atlas ({reason}): nothing can be transferred "
            "from it."
        )
    return fits


def transfer(
    published: Published, source: str, points: npt.ArrayLike, target: str | Sequence[str]
) -> pa.Table:
    """x, y, confidence, visible of points [k, 2] of one image in another; a row a point.

    target: one image; or several, or "all" (every other image of the cluster that fits): then with the
    columns target and point before them.
    """
    from congeal.transfer.points import transfer_to_many

    given = np.asarray(points, np.float64).reshape(-1, 2)
    rows: Sequence[MemberRow]
    if isinstance(target, str) and target != "all":
        first, *rows = published.of_one_cluster([source, target])
        names = [target]
    elif target == "all":
        published.tables.fetch(*SMALL_TABLES)
        first = published.aligned(source)
        rows = [
            row
            for row in chosen(published, first["cluster_id"], "all")
            if row["image_id"] != first["image_id"]
        ]
        names = [row["uri"] for row in rows]
    else:
        first, *rows = published.of_one_cluster([source, *target])
        names = list(target)
    stored = published.stored(first["cluster_id"])
    maps = stored.maps(stored.position[first["image_id"]])
    positions = [stored.position[row["image_id"]] for row in rows]
    parts = [transfer_to_many(given, maps, targets) for _, targets in stored.slabs(positions)]
    if not parts:
        parts = [transfer_to_many(given, maps, stored.forward([]))]
    xy = np.concatenate([part.xy for part in parts]).reshape(-1, 2)
    columns = {
        "x": xy[:, 0],
        "y": xy[:, 1],
        "confidence": np.concatenate([part.confidence for part in parts]).ravel(),
        "visible": np.concatenate([part.visible for part in parts]).ravel(),
    }
    if isinstance(target, str) and target != "all":
        return pa.table(columns)
    return pa.table(_repeated({"target": names}, len(given)) | columns)


def landmarks(
    published: Published,
    points: npt.ArrayLike,
    source: str | Sequence[str] | None,
    atlas: str | None,
    names: Sequence[str] | Sequence[int] | None,
    to: TargetImages,
    instances: bool = False,
) -> pa.Table:
    """image, image_id, point, x, y, confidence, visible, origin: a row a point and image, by image.

    points: [k, 2] or, of several sources, [s, k, 2]. instances: and for every instance, after a column
    instance_id. See `Collection.landmarks`.
    """
    from congeal.transfer.annotation_propagation import AtlasPoints, points_to_atlas

    sources = [] if source is None else [source] if isinstance(source, str) else list(source)
    given = np.asarray(points, np.float64)
    if bool(sources) == (atlas is not None):
        raise UserError("Say where the points are: source=IMAGE (one or several) or atlas=CLUSTER.")
    if given.ndim == 2:
        given = given[None]
    if given.ndim != 3 or given.shape[0] != max(len(sources), 1) or given.shape[2] != 2:
        raise UserError(
            f"Points of {counted(max(len(sources), 1), 'image')} have the shape [images, k, 2], not "
            f"{list(np.shape(points))}."
        )
    k = given.shape[1]
    labels: list[str | int] = list(range(k)) if names is None else list(names)
    if len(labels) != k:
        raise UserError(f"There are {counted(k, 'point')} and {len(labels)} names.")
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise UserError(f"Two landmarks are called {twice[0]!r}: give each a name of its own.")
    published.tables.fetch(*SMALL_TABLES)
    rows = published.of_one_cluster(sources) if sources else []
    cluster = str(rows[0]["cluster_id"] if rows else atlas)
    stored, held = published.stored(cluster), published.instances(cluster)
    lies = [
        lies_on(published, row, marks) if instances else 0 for row, marks in zip(rows, given, strict=False)
    ]
    if sources:
        known = [
            points_to_atlas(marks, published.maps(row, number), f"the image {name!r}")
            for marks, row, name, number in zip(given, rows, sources, lies, strict=True)
        ]
        fits = sound(published, rows)
        known = [points for points, fit in zip(known, fits, strict=True) if fit]
        sources = [row["uri"] for row, fit in zip(rows, fits, strict=True) if fit]
    else:
        _check_atlas(given[0], cluster)
        known = [AtlasPoints(given[0], np.ones(k))]
    targets = chosen(published, cluster, to, rows)
    shown = [(row, one) for row in targets for one in (held.numbers(row["image_id"]) if instances else (0,))]
    xy, sure, visible = _carried(known, stored, held, shown)
    origin = np.full((len(shown), k), ", ".join(sources) if sources else f"atlas {cluster}", object)
    _keep_marked(given, list(zip(rows, lies, strict=True)), shown, xy, sure, visible, origin)
    columns = {
        "x": xy[..., 0].ravel(),
        "y": xy[..., 1].ravel(),
        "confidence": sure.ravel(),
        "visible": visible.ravel(),
        "origin": pa.array(origin.ravel(), pa.string()),
    }
    images = {"image": [row["uri"] for row, _ in shown], "image_id": [row["image_id"] for row, _ in shown]}
    table = pa.table(_repeated(images, k, labels) | columns)
    if not instances:
        return table
    numbers = np.repeat(np.array([number for _, number in shown], np.int32), k)
    return table.add_column(2, INSTANCE, pa.array(numbers))


def _carried(
    known: Sequence[AtlasPoints],
    stored: StoredMaps,
    held: StoredInstances,
    shown: Sequence[tuple[MemberRow, int]],
) -> tuple[Doubles, Doubles, npt.NDArray[np.bool_]]:
    """k known points on n instances of images: places [n, k, 2], confidence [n, k] and who is seen [n, k]."""
    from congeal.transfer.annotation_propagation import carry_points
    from congeal.transfer.points import ForwardMaps

    k = len(known[0].places)
    firsts = [at for at, (_, number) in enumerate(shown) if not number]
    xy, sure = np.full((len(shown), k, 2), np.nan), np.zeros((len(shown), k))
    visible = np.zeros((len(shown), k), bool)
    done = 0
    for some, maps in stored.slabs([stored.position[shown[at][0]["image_id"]] for at in firsts]):
        found = carry_points(known, maps)
        here = firsts[done : done + len(some)]
        xy[here], sure[here], visible[here] = found.xy, found.confidence, found.visible
        done += len(some)
    for at, (row, number) in enumerate(shown):
        if number:
            found = carry_points(known, ForwardMaps.of(held.maps(row["image_id"], number)))
            xy[at], sure[at], visible[at] = found.xy[0], found.confidence[0], found.visible[0]
    return xy, sure, visible


def lies_on(published: Published, row: MemberRow, points: Doubles) -> int:
    """The instance of an image that points [k, 2] lie on."""
    numbers = published.instances(row["cluster_id"]).numbers(row["image_id"])
    if len(numbers) == 1:
        return numbers[0]
    from congeal.transfer.instance_choice import instance_at

    return instance_at(points, {number: published.maps(row, number) for number in numbers})


def _keep_marked(
    given: Doubles,
    rows: Sequence[tuple[MemberRow, int]],
    targets: Sequence[tuple[MemberRow, int]],
    xy: Doubles,
    sure: Doubles,
    visible: npt.NDArray[np.bool_],
    origin: npt.NDArray[np.object_],
) -> None:
    """What a person has marked on an image stays as it is, in place; images with numbers of instances."""
    by_hand = list(zip(given, rows, strict=bool(rows)))
    for number, (target, instance) in enumerate(targets):
        # The same bytes under two names are one image; what was marked under its own name comes first.
        same = [
            (marks, row)
            for marks, (row, lies) in by_hand
            if row["image_id"] == target["image_id"] and lies == instance
        ]
        for marks, row in sorted(same, key=lambda pair: pair[1]["uri"] == target["uri"]):
            marked = ~np.isnan(marks).any(1)
            xy[number, marked], sure[number, marked], visible[number, marked] = marks[marked], 1.0, True
            origin[number, marked] = row["uri"]


def _check_atlas(places: Doubles, cluster: str) -> None:
    beyond = np.flatnonzero(~(np.abs(places) <= 1).all(1))
    if beyond.size:
        u, v = places[beyond[0]]
        raise UserError(
            f"Point {beyond[0]} at ({u:g}, {v:g}) lies outside the atlas of {cluster}, the square [-1, 1]²."
        )


def _repeated(
    names: dict[str, list[str]], k: int, points: Sequence[str | int] | None = None
) -> dict[str, pa.Array]:
    """Columns of names, each k times, and a column of points 0 to k - 1, or as they are called."""
    each: dict[str, pa.Array] = {}
    n = 0
    for name, values in names.items():
        n = len(values)
        each[name] = pa.array(values, pa.string()).take(pa.array(np.repeat(np.arange(n), k)))
    labels = pa.array(range(k)) if points is None else pa.array(list(points))
    return each | {"point": labels.take(pa.array(np.tile(np.arange(k), n)))}
