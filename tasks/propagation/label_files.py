"""What a file of labels marks, carried to all others: the file comes back with more in it.

Every format is a reader that gives a `congeal.transfer.formats.labels.LabelFile`; all else is the same for
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from congeal.errors import CongealError
from congeal.results.collection import Collection
from congeal.results.schema.rows import ImageRow, MemberRow
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.labels import Entry, LabelFile, Size, agreeing, carriable, placed
from infra.errors import UserError
from infra.storage.image_source import as_path
from tasks.propagation.output_folder import Order, left_out, nothing_lost, outside
from tasks.propagation.yolo_folder import labels_in

COCO = "labels.json"  # with data/ beside it, as FiftyOne's COCODetectionDataset has it
IMAGES = "data"
TPS = "landmarks.tps"
SLEAP = "labels.slp"
VIA = "via.json"

# Further files by name: from the file of labels, what is carried, its names to paths, and sizes by path.
Beside = Callable[[Any, Sequence[Annotation], Mapping[str, str], Mapping[str, Size]], Mapping[str, bytes]]


def propagate_coco(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """labels.json: the COCO file with what it marks on all images of the clusters that it marks something in.

    With images: beside it data/ with copies of them, a folder that FiftyOne imports.
    """
    from congeal.transfer.formats import coco

    about = f"Carried by congeal over images of {collection.publication.source}"
    return _propagate(
        collection, "coco", lambda given: replace(coco.read(given), about=about), name, data, order, COCO
    )


def propagate_tps(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """landmarks.tps: the TPS file with its landmarks and curves on all images of the specimens' clusters.

    A specimen that was marked by hand stays as it is; of the others, COMMENT says how sure they are.
    """
    from congeal.transfer.formats import tps_file

    return _propagate(collection, "tps", tps_file.read_file, name, data, order, TPS)


def propagate_deeplabcut(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """DeepLabCut's CSV, under its own name, with what is labelled on all frames of the clusters.

    Of an .h5 file comes the CSV. Beside it, likelihood_NAME: the same rows with how sure each place is.
    """
    from congeal.transfer.formats import deeplabcut, deeplabcut_h5
    from congeal.transfer.formats.hdf5 import is_hdf5

    path = PurePosixPath(name.replace("\\", "/"))
    called = path.name if path.suffix.lower() == ".csv" else path.with_suffix(".csv").name

    def read(given: bytes) -> LabelFile:
        if is_hdf5(given):
            return deeplabcut.read(deeplabcut_h5.csv_of(given, called).encode())
        return deeplabcut.read(given)

    def beside(
        file: deeplabcut.DeepLabCutFile,
        carried: Sequence[Annotation],
        found: Mapping[str, str],
        sizes: Mapping[str, Size],
    ) -> dict[str, bytes]:
        return {f"likelihood_{called}": file.likelihoods(carried, found)}

    return _propagate(collection, "deeplabcut", read, name, data, order, called, beside)


def propagate_sleap(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """labels.slp: the SLEAP file with its instances; carried ones are predicted instances with scores."""
    from congeal.transfer.formats import sleap

    return _propagate(collection, "sleap", sleap.read, name, data, order, SLEAP)


def propagate_via(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """via.json: the VGG Image Annotator's file with its regions on all images of the clusters."""
    from congeal.transfer.formats import via

    return _propagate(collection, "via", via.read, name, data, order, VIA)


def propagate_yolo(collection: Collection, name: str, data: bytes, order: Order) -> dict[str, Any]:
    """data.yaml and the label files beside and below it, with new ones for all images of the clusters.

    A label file that is there stays as it is: who has labelled an image has labelled all of it. Beside them
    carried.csv, which says how sure every new row is.
    """
    from congeal.transfer.formats import yolo

    (place,) = order.inputs
    folder = place.above[0]
    if folder.contains(order.out) or order.out.contains(folder):
        raise UserError(
            f"The folder {order.out} holds the labels in {folder} or lies there: write elsewhere."
        )
    texts, images_of = labels_in(folder, collection)
    return _propagate(
        collection,
        "yolo",
        lambda given: yolo.read(given, texts, images_of),
        name,
        data,
        order,
        yolo.CONFIG,
        yolo.YoloFile.files,
        finished=True,
    )


def _propagate(
    collection: Collection,
    kind: str,
    read: Callable[[bytes], LabelFile],
    name: str,
    data: bytes,
    order: Order,
    called: str,
    beside: Beside | None = None,
    finished: bool = False,
) -> dict[str, Any]:
    """finished: to images that the file names nothing is added."""
    out = outside(collection, order.out)
    nothing_lost(order, [called])
    try:
        file = read(data)
    except CongealError as error:
        raise UserError(f"The file {name} cannot be used: {error}.") from error
    try:
        marks = marks_of(collection, name, file)
        unseen: dict[str, str] = {}
        carried: Iterable[Annotation] = collection.propagate_annotations(
            marks.annotations, order.to, marked=False, unseen=unseen
        )
        sizes = _targets(collection, marks, order)
        done = set(marks.found.values()) if finished else set()
        carried = (one for one in carried if one.image not in done)
        noted: list[Annotation] = []
        more: Mapping[str, bytes] = {}
        if beside is not None:
            carried = list(carried)
            more = beside(file, carried, marks.found, sizes)
            nothing_lost(order, more)
        text = file.written(_noted(carried, noted), marks.found, sizes)
    except CongealError as error:
        raise UserError(f"The file {name} cannot be transferred: {error}.") from error
    images = _copies(marks.found, {one.image for one in noted}) if order.with_images else {}
    if images:
        nothing_lost(order, images)
    for one, content in {called: text, **more}.items():
        (out / one).write_bytes(content)
    for copy, uri in images.items():
        (out / copy).write_bytes((collection.source / uri).read_bytes())
    by_hand = {one.image for one in marks.annotations}
    shown = {one.image for one in noted} | by_hand
    sure = [one.confidence for one in noted]
    return {
        "kind": kind,
        "out": str(out / called),
        "images": len(shown & sizes.keys()),
        "annotations": marks.listed + len(noted),
        "carried": len(noted),
        "by_hand": marks.listed,
        "median_confidence": round(float(np.median(sure)), 4) if sure else None,
        "clusters": marks.clusters,
        "left_out_annotations": marks.left_out,
        "nothing_to_see": sorted(sizes.keys() - shown - done - unseen.keys()),
        "unseen": [{"image": image, "reason": reason} for image, reason in sorted(unseen.items())],
        "taken_for": {name: uri for name, uri in sorted(marks.found.items()) if name != uri},
    } | left_out(collection, marks.clusters, order, by_hand).facts()


@dataclass(frozen=True)
class Marks:
    """What is carried.

    annotations: on paths of images; empty ones hold their place. found: names in the file to paths. left_out:
    the entries that are not carried, or not whole, and why. listed: how many the file has.
    """

    annotations: list[Annotation]
    found: dict[str, str]
    clusters: list[str]
    left_out: list[dict[str, str]]
    listed: int


def marks_of(collection: Collection, name: str, file: LabelFile) -> Marks:
    """What a file marks on the images of a collection. Raises UserError if nothing is carried."""
    found, reasons = collection.named(list(file.images))
    rows = dict(zip(found, collection.find_all(list(found.values())), strict=True))
    sizes = {image: _size(row) for image, row in rows.items() if row["width"] is not None}
    reasons |= _unusable(rows, file.images)
    entries = placed(file.entries(sizes), found)
    entries = [
        carriable(entry, sizes[entry.image]) if entry.image in sizes and entry.image not in reasons else entry
        for entry in entries
    ]
    usable = agreeing([entry for entry in entries if entry.image not in reasons])
    misfits, clusters = _misfits(collection, usable, rows)
    problems: list[dict[str, str]] = []
    for entry in [entry for entry in entries if entry.image in reasons] + usable:
        if entry.absent or (entry.waiting and entry.image not in reasons):
            continue
        why = list(entry.problems)
        if entry.image in reasons:
            why.append(reasons[entry.image].rstrip("."))
        elif entry.image in misfits and not why:
            why.append(f"the image does not fit its atlas ({misfits[entry.image]})")
        problems += [{"name": entry.name, "image": entry.image, "reason": reason} for reason in why]
    annotations = [
        entry.annotation
        for entry in usable
        if entry.annotation is not None and not entry.waiting and rows[entry.image]["cluster_id"] in clusters
    ]
    if not any(not one.empty for one in annotations):
        _refuse(name, problems)
    listed = sum(not (entry.waiting or entry.absent) for entry in entries)
    return Marks(annotations, found, sorted(clusters), problems, listed)


def _refuse(name: str, problems: Sequence[Mapping[str, str]]) -> None:
    if not problems:
        raise UserError(f"The file {name} marks nothing: there are no annotations to transfer.")
    first = problems[0]
    where = f" on {first['image']}" if first["image"] else ""
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    raise UserError(
        f"The file {name} cannot be transferred: {first['name']}{where}: {first['reason']}{more}."
    )


def _unusable(rows: Mapping[str, ImageRow], said: Mapping[str, Size | None]) -> dict[str, str]:
    """Image to why nothing can be transferred from what is marked on it."""
    reasons: dict[str, str] = {}
    for image, row in rows.items():
        size = said.get(image)
        if row["status"] == "failed":
            reasons[image] = f"the image could not be used: {row['error']}"
        elif row["cluster_id"] is None:
            reasons[image] = f"the image {row['uri']} is an outlier: it belongs to no cluster"
        elif size is not None and size != _size(row):
            reasons[image] = (
                f"the file marks {row['uri']} at {size[0]} x {size[1]} pixels; the image has {row['width']} "
                f"x {row['height']} (after EXIF orientation)"
            )
    return reasons


def _misfits(
    collection: Collection, usable: Sequence[Entry], rows: Mapping[str, ImageRow]
) -> tuple[dict[str, str], set[str]]:
    """The marked images that do not fit their atlas, and the clusters in which one does."""
    marked: dict[str, set[str]] = {}
    for entry in usable:
        if entry.annotation is not None and not entry.annotation.empty:
            marked.setdefault(str(rows[entry.image]["cluster_id"]), set()).add(entry.image)
    misfits: dict[str, str] = {}
    clusters: set[str] = set()
    for cluster, images in marked.items():
        reasons = collection.misfits(cluster)
        ids = {image: rows[image]["image_id"] for image in images}
        beyond = {image: reasons[name] for image, name in ids.items() if name is not None and name in reasons}
        misfits |= beyond
        if len(beyond) < len(images):
            clusters.add(cluster)
    return misfits, clusters


def _targets(collection: Collection, marks: Marks, order: Order) -> dict[str, Size]:
    """Path to width and height of every image that something is carried to."""
    if order.to != "all":
        named = [order.to] if isinstance(order.to, str) else list(order.to)
        return {str(row["uri"]): _size(row) for row in collection.find_all(named)}
    marked = collection.find_all(sorted({one.image for one in marks.annotations}))
    own = {row["image_id"] for row in marked}
    rows: dict[str, ImageRow | MemberRow] = {str(row["uri"]): row for row in marked}
    for cluster in marks.clusters:
        misfits = collection.misfits(cluster).keys() - own
        rows |= {
            str(row["uri"]): row for row in collection.members(cluster) if row["image_id"] not in misfits
        }
    return {uri: _size(row) for uri, row in rows.items()}


def _size(row: ImageRow | MemberRow) -> Size:
    width, height = row["width"], row["height"]
    assert width is not None  # noqa: S101 - an image that could be read
    assert height is not None  # noqa: S101
    return width, height


def _noted(annotations: Iterable[Annotation], noted: list[Annotation]) -> Iterator[Annotation]:
    # A carried mask is as large as its image: each is encoded before the next is made.
    for annotation in annotations:
        noted.append(Annotation(annotation.image, annotation.category, confidence=annotation.confidence))
        yield annotation


def _copies(found: Mapping[str, str], carried: Iterable[str]) -> dict[str, str]:
    """File name below the folder to path, for a copy of every image that labels.json names."""
    copies = {}
    named = set(found.values())
    for name, uri in found.items():
        path = PurePosixPath(name)
        plain = (
            "\\" not in name
            and "://" not in name
            and not path.is_absolute()
            and ".." not in path.parts
            and "\0" not in name
        )
        copies[f"{IMAGES}/{path if plain else as_path(uri)}"] = uri
    return copies | {f"{IMAGES}/{as_path(uri)}": uri for uri in carried if uri not in named}
