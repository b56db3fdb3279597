"""Marks of a file on the members of clusters, carried there and by hand, as the pages show them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.report.cluster_page import PAGE, in_order
from congeal.report.data_scripts import script
from congeal.results.cluster_report import MemberRow
from congeal.results.collection import Collection
from congeal.transfer.annotations import Annotation
from congeal.transfer.formats.labels import LabelFile
from infra.errors import UserError
from infra.ledger.commits import Marker, digest
from infra.storage.location import Location
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import Unit, Work
from tasks.report.published_rows import ClusterRows

if TYPE_CHECKING:
    from tasks.propagation.label_files import Marks

FILE = "annotations.js"
MASK = 96  # longer side of a mask as it is shown, pixels
PAIRS = 400  # pairs of marked images of a cluster that confidences are held against
BINS = 10
ALPHA = (
    0.1  # a point counts as right within this share of the longer side of the box around its image's points
)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Annotations:
    """A file of marks that fits the collection.

    Attributes:
        place: the file. digest: of its bytes.
        clusters: in which it marks something that is carried.
        facts: file, categories, instances and images, for the index.
        notes: sentences on what is left out.
    """

    place: Location
    digest: str
    clusters: frozenset[str]
    facts: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnnotationsPayload:
    """The marks of one cluster. members: its rows, packed."""

    destination: Location
    version: str
    place: Location
    digest: str
    cluster_id: str
    members: bytes


def read_annotations(collection: Collection, place: Location) -> Annotations:
    """Look at a COCO (.json) or TPS (.tps) file. Raises UserError for one that marks nothing here."""
    data = place.read_bytes()
    marks = _marks(collection, place, data)
    shown = [one for one in marks.annotations if not one.empty]
    notes = []
    if marks.left_out:
        first = marks.left_out[0]
        more = f", and {len(marks.left_out) - 1:,} more" if len(marks.left_out) > 1 else ""
        notes.append(f"Not shown: {first['name']} on {first['image']}: {first['reason']}{more}.")
    facts = {
        "file": place.name,
        "categories": sorted({one.category for one in shown}),
        "instances": len(shown),
        "images": len({one.image for one in shown}),
    }
    return Annotations(place, _digest(data), frozenset(marks.clusters), facts, tuple(notes))


def payload(destination: Location, version: str, given: Annotations, row: ClusterRows) -> AnnotationsPayload:
    """What the unit of a cluster needs to know."""
    return AnnotationsPayload(
        destination, version, given.place, given.digest, row.cluster_id, pack_rows(row.members)
    )


def make_annotations(unit: Unit[AnnotationsPayload]) -> Marker:
    """The script with the marks of every member, by page; how well confidences fit is in the record."""
    work, asked = Work(unit), unit.payload
    data = asked.place.read_bytes()
    if _digest(data) != asked.digest:
        raise UserError(f"The file {asked.place} has changed while it was used: run again.")
    collection = Collection(asked.destination, asked.version)
    with work.watch.phase("annotations"):
        marks = _marks(collection, asked.place, data)
        rows = [MemberRow(*row) for row in unpack_rows(asked.members)]
        mine = {row.uri for row in rows}
        given = [one for one in marks.annotations if one.image in mine]
        try:
            carried = list(collection.propagate_annotations(given))
        except CongealError as error:
            raise UserError(f"The file {asked.place} cannot be transferred: {error}.") from error
        by_image: dict[str, list[dict[str, Any]]] = {}
        by_hand = {one.image for one in given if not one.empty}
        for one in carried:
            marked = one.image in by_hand and not one.deformation and one.confidence == 1.0
            by_image.setdefault(one.image, []).append(_item(one, len(by_image.get(one.image, ())), marked))
        ordered = in_order(rows)
        pages = [
            [by_image.get(row.uri, []) for row in ordered[start : start + PAGE]]
            for start in range(0, len(ordered), PAGE)
        ]
        facts = reliability(collection, given)
    content = {"cluster": asked.cluster_id, "pages": pages}
    return work.commit({FILE: script(f"annotations/{asked.cluster_id}", content)}, facts)


def reliability(collection: Collection, given: Sequence[Annotation]) -> dict[str, Any]:
    """How often points carried between marked images were right, by confidence: sums for `pooled`."""
    marked = [one for one in given if one.keypoints is not None]
    pairs = [
        (a, b)
        for a in marked
        for b in marked
        if a.image != b.image and a.kind == b.kind and (a.place or 0) == (b.place or 0)
    ]
    if len(pairs) > PAIRS:
        chosen = np.random.default_rng(0).permutation(len(pairs))[:PAIRS]
        pairs = [pairs[at] for at in np.sort(chosen)]
    count, sure, right = (np.zeros(BINS) for _ in range(3))
    for a, b in pairs:
        start, end = np.asarray(a.keypoints), np.asarray(b.keypoints)
        both = np.isfinite(start).all(1) & np.isfinite(end).all(1)
        extent = float(np.ptp(end[np.isfinite(end).all(1)], axis=0).max()) if both.any() else 0.0
        if extent <= 0:
            continue
        found = collection.transfer(a.image, start[both], b.image, as_="arrow")
        xy = np.stack([found["x"].to_numpy(), found["y"].to_numpy()], 1)
        confidence = found["confidence"].to_numpy()
        near = np.hypot(*(xy - end[both]).T) <= ALPHA * extent
        bins = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
        count += np.bincount(bins, minlength=BINS)
        sure += np.bincount(bins, weights=confidence, minlength=BINS)
        right += np.bincount(bins, weights=near.astype(float), minlength=BINS)
    images = len({one.image for pair in pairs for one in pair})
    return {"bins": np.stack([count, sure, right], 1).tolist(), "images": images}


def pooled(records: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The calibration of all clusters; None if no two images of a cluster have the same points marked."""
    found = [record for record in records if record]
    if not found:
        return None
    bins = np.sum([record["bins"] for record in found], axis=0)
    if not bins[:, 0].sum():
        return None
    return {
        "bins": [
            {
                "low": at / BINS,
                "high": (at + 1) / BINS,
                "n": int(n),
                "confidence": sure / n if n else None,
                "right": right / n if n else None,
            }
            for at, (n, sure, right) in enumerate(bins)
        ],
        "threshold": f"within {ALPHA:g} of the longer side of the box around the points of the image",
        "points": int(bins[:, 0].sum()),
        "images": int(sum(record["images"] for record in found)),
    }


def _marks(collection: Collection, place: Location, data: bytes) -> Marks:
    from congeal.transfer.formats import coco, tps_file
    from tasks.propagation.label_files import marks_of  # and with it torch

    kind = PurePosixPath(place.name).suffix.lower()
    if kind not in (".json", ".tps"):
        raise UserError(f"The file {place} is neither COCO (.json) nor TPS (.tps): give one of these.")
    try:
        file = cast("LabelFile", coco.read(data) if kind == ".json" else tps_file.read_file(data))
        return marks_of(collection, place.name, file)
    except CongealError as error:
        raise UserError(f"The file {place.name} cannot be used: {error}.") from error


def _item(one: Annotation, instance: int, marked: bool) -> dict[str, Any]:
    box = one.box
    return {
        "category": one.category,
        "instance": instance,
        "marked": marked,
        "confidence": round(float(one.confidence), 4),
        "keypoints": None if one.keypoints is None else _keypoints(one, marked),
        "outline": [np.round(part, 2).ravel().tolist() for part in one.polygons] or None,
        "bbox": None
        if box is None
        else [round(v, 2) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
        "mask": None if one.mask is None else _mask(one.mask),
    }


def _keypoints(one: Annotation, marked: bool) -> list[list[Any]]:
    points = np.asarray(one.keypoints, np.float64)
    names = list(one.keypoint_names) or [str(number) for number in range(len(points))]
    sure = (
        np.isfinite(points).all(1).astype(float)
        if one.keypoint_confidence is None
        else np.asarray(one.keypoint_confidence)
    )
    found = []
    for name, (x, y), confidence in zip(names, points, sure, strict=True):
        known = bool(np.isfinite(x) and np.isfinite(y))
        found.append(
            [
                str(name),
                round(float(x), 2) if known else None,
                round(float(y), 2) if known else None,
                round(float(confidence), 4),
                int(known and confidence >= 0.5),
                int(marked and known),
            ]
        )
    return found


def _mask(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The mask over the image in a byte a cell, 0 to 255, small."""
    from PIL import Image

    height, width = mask.shape
    share = min(1.0, MASK / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX))
    return {"width": size[0], "height": size[1], "data": base64.b64encode(small.tobytes()).decode("ascii")}


def _digest(data: bytes) -> str:
    import hashlib

    return digest(hashlib.sha256(data).hexdigest())
