"""What was painted or marked on images, carried to all others and written to a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from congeal.annotations import Annotation
from congeal.carrying import Targets
from congeal.collection import Collection
from congeal.errors import CongealError
from congeal.spreading import CarriedImage, Kind
from infra.errors import UserError
from infra.storage import Location
from tasks.previews import png

LIST = "propagated.csv"
COCO = "labels.json"  # with data/ beside it, as FiftyOne's COCODetectionDataset has it
IMAGES = "data"
TPS = "landmarks.tps"


@dataclass(frozen=True)
class Order:
    """Where to, and how.

    to: image names or "all". fade: alpha by confidence. composite: the edit laid over the image, instead of
    alone. with_images: copies of the images beside COCO's file.
    """

    out: Location
    to: Targets = "all"
    fade: bool = False
    composite: bool = False
    with_images: bool = False


def propagate_pictures(
    collection: Collection,
    kind: Kind,
    files: Mapping[str, bytes],
    sources: Sequence[str],
    atlas: str | None,
    order: Order,
) -> dict[str, Any]:
    """A PNG for every target, called like the image, and a list of them, the least sure first.

    files: name to content of as many edits, masks or label maps as there are sources, or of one for an atlas.
    """
    from congeal import picture_files
    from congeal.painting import over

    readers: dict[Kind, Callable[[bytes], Any]] = {
        "layer": picture_files.read_edit,
        "mask": picture_files.read_mask,
        "labels": picture_files.read_labels,
    }
    out = _outside(collection, order.out)
    edits = [_read(name, data, readers[kind]) for name, data in files.items()]
    carried = collection.propagate(
        edits, list(sources) or None, atlas=atlas, to=order.to, kind=kind, fade=order.fade
    )
    names = _Names()
    rows: list[tuple[CarriedImage, str]] = []
    for one in carried:
        pixels = over(collection.image(one.image), one.pixels) if order.composite else one.pixels
        name = names.beside(one.image, ".png")
        (out / name).write_bytes(png(pixels))
        rows.append((replace(one, pixels=np.zeros(0)), name))
    listed = sorted(rows, key=lambda row: (row[0].confidence, row[1]))
    table = [
        (name, one.image, one.image_id, f"{one.confidence:.4f}", ", ".join(one.origin))
        for one, name in listed
    ]
    (out / LIST).write_bytes(_csv(("file", "image", "image_id", "confidence", "origin"), table))
    cluster = atlas or collection.find(sources[0])["cluster_id"]
    return _facts(kind, out, [one.confidence for one, _ in listed]) | {
        "cluster": cluster,
        "left_out": _left_out(collection, [cluster], order),
    }


def propagate_coco(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """labels.json with what a COCO file marks, on all images of the clusters that it marks something in.

    With images: beside it data/ with copies of them, a folder that FiftyOne imports.
    """
    from congeal.exchange import coco

    out = _outside(collection, order.out)
    given = _read(name, data, coco.read)
    marked = collection.locate(sorted({one.image for one in given.annotations}))
    for image, uri in marked.items():
        _check_size(collection, name, uri, given.sizes[image])
    annotations = [replace(one, image=marked[one.image]) for one in given.annotations]
    try:
        carried = collection.propagate_annotations(annotations, order.to)
    except CongealError as error:
        raise UserError(f"The file {name} cannot be carried: {error}.") from error
    clusters = sorted({str(collection.find(uri)["cluster_id"]) for uri in marked.values()})
    sizes = _targets(collection, clusters, order)
    about = f"Carried by congeal from {len(marked)} annotated images of {collection.publication.source}"
    confidence: list[float] = []
    (out / COCO).write_bytes(coco.write(_noted(carried, confidence), sizes, given.categories, about))
    if order.with_images:
        for uri in sizes:
            (out / IMAGES / uri).write_bytes((collection.source / uri).read_bytes())
    return _facts("coco", out / COCO, confidence) | {
        "images": len(sizes),
        "annotations": len(confidence),
        "clusters": clusters,
        "left_out": _left_out(collection, clusters, order),
    }


def _noted(annotations: Iterable[Annotation], confidence: list[float]) -> Iterator[Annotation]:
    # A carried mask is as large as its image: each is encoded before the next is made.
    for annotation in annotations:
        confidence.append(annotation.confidence)
        yield annotation


def propagate_tps(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """landmarks.tps with the landmarks and curves of a TPS file on all images of the specimens' clusters.

    A specimen that was marked by hand stays as it is; of the others, COMMENT says how sure they are.
    """
    from congeal.exchange import tps

    out = _outside(collection, order.out)
    specimens = _read(name, data, tps.read)
    marked = collection.locate([one.image for one in specimens])
    rows = [collection.find(marked[one.image]) for one in specimens]
    by_cluster: dict[str, list[tuple[tps.Specimen, dict[str, Any]]]] = {}
    for specimen, row in zip(specimens, rows, strict=True):
        by_cluster.setdefault(str(row["cluster_id"]), []).append((specimen, row))
    written: list[tps.Specimen] = []
    confidence: list[float] = []
    for cluster, pairs in by_cluster.items():
        found = _landmarks(collection, name, pairs, order)
        deformation = collection.atlas(cluster).deformation
        heights = {row["uri"]: int(row["height"]) for row in collection.members(cluster)}
        by_hand = {row["uri"]: specimen for specimen, row in pairs}
        lengths = [len(pairs[0][0].landmarks), *(len(curve) for curve in pairs[0][0].curves)]
        for uri, part in found.groupby("image", sort=False):
            one = _specimen(str(uri), part, heights[str(uri)], lengths, by_hand.get(str(uri)), deformation)
            written.append(one)
            confidence.append(float(part["confidence"].mean()))
    (out / TPS).write_bytes(tps.write(written))
    return _facts("tps", out / TPS, confidence) | {
        "clusters": sorted(by_cluster),
        "left_out": _left_out(collection, sorted(by_cluster), order),
    }


def _landmarks(
    collection: Collection, name: str, pairs: Sequence[tuple[Any, dict[str, Any]]], order: Order
) -> Any:
    from congeal.exchange.tps import flipped

    points = []
    for specimen, row in pairs:
        everything = np.concatenate([specimen.landmarks, *specimen.curves])
        points.append(flipped(everything, int(row["height"])))
    counts = {len(some) for some in points}
    if len(counts) > 1:
        raise UserError(
            f"The specimens of {name} have {min(counts)} to {max(counts)} points: they must agree."
        )
    try:
        return collection.landmarks(np.stack(points), [row["uri"] for _, row in pairs], to=order.to)
    except CongealError as error:
        raise UserError(f"The file {name} cannot be carried: {error}.") from error


def _specimen(
    uri: str, part: Any, height: int, lengths: Sequence[int], by_hand: Any, deformation: str
) -> Any:
    from congeal.exchange.tps import Specimen, flipped

    xy = part[["x", "y"]].to_numpy()
    # What lies off the image is not known there.
    xy = np.where(part[["confidence"]].to_numpy() > 0, xy, np.nan)
    parts = np.split(flipped(xy, height), np.cumsum(lengths)[:-1])
    sure = f"confidence {part['confidence'].min():.3f} to {part['confidence'].max():.3f}"
    # By rigid maps every specimen gets a copy of one shape: whoever measures shapes must know.
    comment = f"{sure}, from {part['origin'].iloc[0]}, by {deformation} maps"
    if by_hand is not None:
        return replace(by_hand, image=uri, landmarks=parts[0], curves=parts[1:])
    return Specimen(uri, parts[0], parts[1:], comment=comment)


def _read(name: str, data: bytes, reader: Callable[[bytes], Any]) -> Any:
    try:
        return reader(data)
    except CongealError as error:
        raise UserError(f"The file {name} cannot be used: {error}.") from error


def _check_size(collection: Collection, name: str, uri: str, size: tuple[int, int]) -> None:
    row = collection.find(uri)
    if size != (row["width"], row["height"]):
        raise UserError(
            f"The file {name} marks {uri} at {size[0]} x {size[1]} pixels; the image has {row['width']} x "
            f"{row['height']} (after EXIF orientation)."
        )


def _targets(collection: Collection, clusters: Sequence[str], order: Order) -> dict[str, tuple[int, int]]:
    """Uri to width and height of every image that something is carried to."""
    if order.to == "all":
        rows = [
            row
            for cluster in clusters
            for row in collection.members(cluster)
            if row["image_id"] not in collection.misfits(cluster)
        ]
    else:
        rows = [collection.find(image) for image in order.to]
    return {str(row["uri"]): (int(row["width"]), int(row["height"])) for row in rows}


def _left_out(collection: Collection, clusters: Sequence[str], order: Order) -> int:
    if order.to != "all":
        return 0
    return sum(len(collection.misfits(cluster)) for cluster in clusters)


def _outside(collection: Collection, out: Location) -> Location:
    """The folder to write to, which must not touch the photographs or the destination."""
    source = collection.source
    for place, what in ((source, "the source"), (collection.place, "the destination")):
        if place.contains(out) or out.contains(place):
            raise UserError(f"The folder {out} holds {what} {place} or lies in it: write somewhere else.")
    return out


class _Names:
    """A file name for every image, none twice."""

    def __init__(self) -> None:
        self._taken: set[str] = {LIST}

    def beside(self, uri: str, ending: str) -> str:
        """The image's path with another ending; where two images differ only in that, after the old one."""
        path = PurePosixPath(uri)
        name = str(path.with_suffix(ending))
        if name in self._taken:
            name = f"{uri}{ending}"
        self._taken.add(name)
        return name


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _facts(kind: str, out: Location, confidence: Sequence[float]) -> dict[str, Any]:
    median = round(float(np.median(confidence)), 4) if confidence else None
    return {"kind": kind, "out": str(out), "images": len(confidence), "median_confidence": median}
