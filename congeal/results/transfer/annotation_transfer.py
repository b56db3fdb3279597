"""What is marked or painted on images, or on an atlas, in the other images of their cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.results.published_tables import SMALL_TABLES
from congeal.results.published_version import Published
from congeal.results.schema.rows import MemberRow
from congeal.results.transfer.marked_things import each_annotation, maps_of_instances, marked_things
from congeal.results.transfer.point_transfer import TargetImages, chosen, sound
from congeal.transfer.annotations import Annotation
from congeal_floors.plurals import counted
from infra.errors import UserError

if TYPE_CHECKING:
    from congeal.results.stored.instances import StoredInstances
    from congeal.transfer.layers import Carried, Painting
    from congeal.transfer.points import Maps

Pixels = npt.NDArray[Any]
Kind = Literal["layer", "mask", "labels"]


@dataclass(frozen=True)
class CarriedImage:
    """An edit, mask or label map on one image.

    Attributes:
        image, image_id: which; image is its path relative to the source.
        pixels: of the image's full size: uint8 [h, w, 4] (an edit), uint8 [h, w] (a mask, 0 to 255) or labels
            [h, w].
        confidence: the mean over what it shows, in [0, 1]; 1 where it was painted by hand.
        origin: the images that it was painted on, or "atlas CLUSTER".
    """

    image: str
    image_id: str
    pixels: Pixels
    confidence: float
    origin: tuple[str, ...]


def spread(
    published: Published,
    edits: Sequence[Pixels],
    sources: Sequence[str],
    atlas: str | None,
    to: TargetImages,
    kind: Kind | None,
    fade: bool,
    instances: bool = True,
) -> Iterator[CarriedImage]:
    """Each target in turn; nothing is computed before it is asked for. See `Collection.propagate`.

    edits: layers uint8 [h, w, 4], masks bool [h, w] or labels int [h, w], of the size of the sources.
    """
    from congeal.transfer.layers import Painting

    if bool(sources) == (atlas is not None):
        raise UserError("Say where the edit was painted: source=IMAGE (one or several) or atlas=CLUSTER.")
    if len(edits) != max(len(sources), 1):
        raise UserError(
            f"There are {len(edits)} edits and {counted(len(sources), 'image')} that they are painted on."
        )
    published.tables.fetch(*SMALL_TABLES)
    rows = published.of_one_cluster(sources) if sources else []
    cluster = str(rows[0]["cluster_id"] if rows else atlas)
    targets = chosen(published, cluster, to, rows)
    maps: list[Maps | None] = [
        _of_painted(maps_of_instances(published, row), edit) for row, edit in zip(rows, edits, strict=False)
    ] or [None]
    names = list(sources) or [f"the atlas of {cluster}"]
    paintings = [
        _checked(Painting(edit, one), name) for edit, one, name in zip(edits, maps, names, strict=True)
    ]
    kinds = {_kind(edit, kind, name) for edit, name in zip(edits, names, strict=True)}
    if len(kinds) > 1:
        raise UserError(f"The edits are {' and '.join(sorted(kinds))}: transfer each kind by itself.")
    pairs = list(zip(rows, edits, strict=bool(rows)))
    own = {row["image_id"]: (row["uri"], edit) for row, edit in reversed(pairs)}
    own |= {row["uri"]: (row["uri"], edit) for row, edit in pairs}
    fits = sound(published, rows) if rows else [True]
    origin = tuple(row["uri"] for row, fit in zip(rows, fits, strict=bool(rows)) if fit)
    carried_from = [painting for painting, fit in zip(paintings, fits, strict=True) if fit]
    held = published.instances(cluster) if instances else None
    work = _Work(carried_from, own, kinds.pop(), fade, origin or (f"atlas {cluster}",), held)
    return (_on(published, row, work) for row in targets)


@dataclass(frozen=True)
class _Work:
    """What is carried, and what is known already and whence, by path and by image id (of duplicates).

    held: the further instances that it is carried to, too; None: to the first alone.
    """

    paintings: Sequence[Painting]
    own: dict[str, tuple[str, Pixels]]
    kind: Kind
    fade: bool
    origin: tuple[str, ...]
    held: StoredInstances | None


def _on(published: Published, row: MemberRow, work: _Work) -> CarriedImage:
    name, image_id = row["uri"], row["image_id"]
    known = work.own.get(name) or work.own.get(image_id)
    if known is not None:
        # By way of the atlas and back it would lose sharpness; it is known here.
        origin, pixels = known
        whole = pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
        return CarriedImage(name, image_id, whole, 1.0, (origin,))
    carried = _carried(work.paintings, published.maps(row), work.kind, work.fade)
    further = () if work.held is None else work.held.numbers(image_id)[1:]
    if work.held is not None and further:
        from congeal.transfer.layers import laid_together

        parts = [
            _carried(work.paintings, work.held.maps(image_id, one), work.kind, work.fade) for one in further
        ]
        carried = laid_together([carried, *parts], masks=work.kind == "mask")
    return CarriedImage(name, image_id, carried.pixels, carried.confidence, work.origin)


def _of_painted(maps: Mapping[int, Maps], edit: Pixels) -> Maps:
    """The maps of the instance that something was painted on."""
    if len(maps) == 1 or edit.ndim not in (2, 3):
        return maps[0]
    from congeal.transfer.instance_choice import instance_at, places_of_painting

    return maps[instance_at(places_of_painting(edit), maps)]


def _carried(paintings: Sequence[Painting], maps: Maps, kind: Kind, fade: bool) -> Carried:
    from congeal.transfer.layers import carry_labels, carry_layer, carry_mask

    if kind == "layer":
        return carry_layer(paintings, maps, fade)
    return carry_mask(paintings, maps, fade) if kind == "mask" else carry_labels(paintings, maps)


def _kind(edit: Pixels, kind: Kind | None, name: str) -> Kind:
    """The kind of an edit: what was said, if the array can be that; else what it must be."""
    possible: list[Kind] = []
    if edit.ndim == 3 and edit.shape[2] == 4 and edit.dtype == np.uint8:
        possible = ["layer"]
    elif edit.ndim == 2 and edit.dtype == bool:
        possible = ["mask"]
    elif edit.ndim == 2 and np.issubdtype(edit.dtype, np.integer):
        possible = ["labels", "mask"] if edit.dtype == np.uint8 else ["labels"]
    if not possible or kind not in (None, *possible):
        shape = " x ".join(str(side) for side in edit.shape)
        raise UserError(
            f"The edit on {name} is {edit.dtype} {shape}: an edit is RGBA, uint8 [h, w, 4], with an alpha "
            "channel, a mask bool or uint8 [h, w], a label map whole numbers [h, w]."
        )
    return kind or possible[0]


def _checked(painting: Painting, name: str) -> Painting:
    from congeal.transfer.layers import check

    try:
        check(painting)
    except CongealError as error:
        raise UserError(f"The edit on {name} cannot be used: {error}.") from error
    return painting


def spread_annotations(
    published: Published,
    annotations: Sequence[Annotation],
    to: TargetImages,
    marked: bool = True,
    instances: bool = True,
    unseen: MutableMapping[str, str] | None = None,
) -> Iterator[Annotation]:
    """Every annotated instance on every target, target by target; what was marked on a target stays as it is.

    marked: whether what was marked on a target is among the answers. instances: whether images have it on
    all their instances, not on the first alone. unseen: see `Collection.propagate_annotations`.

    See `Collection.propagate_annotations`.
    """
    if not annotations:
        raise UserError("There are no annotations to transfer.")
    to = [to] if isinstance(to, str) and to != "all" else to
    published.tables.fetch(*SMALL_TABLES)
    rows = published.aligned_all([one.image for one in annotations])
    clusters: dict[str, list[tuple[Annotation, MemberRow]]] = {}
    for annotation, row in zip(annotations, rows, strict=True):
        named = replace(annotation, image=row["uri"], origin=annotation.origin or (row["uri"],))
        clusters.setdefault(row["cluster_id"], []).append((named, row))
    for name in clusters:
        published.require_aligned(name)
    targets: dict[str, list[MemberRow]] = {}
    if to == "all":
        for name, pairs in clusters.items():
            targets[name] = chosen(published, name, "all", [row for _, row in pairs])
    else:
        for name, row in zip(to, published.aligned_all(list(to)), strict=True):
            if row["cluster_id"] not in clusters:
                raise UserError(
                    f"The image {name!r} is in the cluster {row['cluster_id']}, where nothing is annotated: "
                    "no correspondence exists."
                )
            targets.setdefault(row["cluster_id"], []).append(row)
    prepared = [(cluster, marked_things(published, pairs)) for cluster, pairs in clusters.items()]
    return (
        annotation
        for cluster, groups in prepared
        for annotation, by_hand in each_annotation(
            published,
            cluster,
            groups,
            targets.get(cluster, []),
            everything=to == "all",
            instances=instances,
            unseen=unseen,
        )
        if marked or not by_hand
    )
