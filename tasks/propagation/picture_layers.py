"""Edits, masks and label maps, carried to all others and written to a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.results.collection import Collection
from congeal.results.transfer.annotation_transfer import CarriedImage, Kind
from infra.errors import UserError
from tasks.atlases.previews import png
from tasks.propagation.clip_output import is_clip, propagate_clip
from tasks.propagation.output_folder import FileNames, Order, left_out, nothing_lost, outside

LIST = "propagated.csv"


def propagate_pictures(
    collection: Collection,
    kind: Kind,
    files: Mapping[str, bytes],
    sources: Sequence[str],
    atlas: str | None,
    order: Order,
) -> dict[str, Any]:
    """A PNG for every target, called like the image, and a list of them, the least sure first; or a clip.

    files: name to content of as many edits, masks or label maps as there are sources, or of one for an atlas.
    """
    from congeal.imaging import layer_files
    from congeal.transfer.layers import over

    readers: dict[Kind, Callable[[bytes], npt.NDArray[Any]]] = {
        "layer": layer_files.read_edit,
        "mask": layer_files.read_mask,
        "labels": layer_files.read_labels,
    }
    if is_clip(order.out.name):
        edits = [_read(name, data, readers[kind]) for name, data in files.items()]
        return propagate_clip(collection, kind, edits, sources, atlas, order)
    out = outside(collection, order.out)
    edits = [_read(name, data, readers[kind]) for name, data in files.items()]
    carried = collection.propagate(
        edits, list(sources) or None, atlas=atlas, to=order.to, kind=kind, fade=order.fade
    )
    rows = [collection.find(image) for image in sources]
    cluster = atlas or str(rows[0]["cluster_id"])
    by_hand = [str(row["uri"]) for row in rows]
    names = FileNames({LIST})
    called = {uri: names.beside(uri, ".png") for uri in _targets(collection, cluster, by_hand, order)}
    nothing_lost(order, [*called.values(), LIST])
    written: list[tuple[CarriedImage, str]] = []
    for one in carried:
        pixels = over(collection.image(one.image), one.pixels) if order.composite else one.pixels
        (out / called[one.image]).write_bytes(png(pixels))
        written.append((replace(one, pixels=np.zeros(0)), called[one.image]))
    listed = sorted(written, key=lambda row: (row[0].confidence, row[1]))
    table = [
        (name, one.image, one.image_id, f"{one.confidence:.4f}", ", ".join(one.origin))
        for one, name in listed
    ]
    (out / LIST).write_bytes(_csv(("file", "image", "image_id", "confidence", "origin"), table))
    sure = [one.confidence for one, _ in listed]
    return {
        "kind": kind,
        "out": str(out),
        "images": len(listed),
        "median_confidence": round(float(np.median(sure)), 4) if sure else None,
        "cluster": cluster,
    } | left_out(collection, [cluster], order, by_hand).facts()


def _targets(collection: Collection, cluster: str, by_hand: Sequence[str], order: Order) -> list[str]:
    """The paths of the images that a picture is written for."""
    if order.to != "all":
        named = [order.to] if isinstance(order.to, str) else order.to
        return [str(row["uri"]) for row in collection.find_all(named)]
    misfits = collection.misfits(cluster)
    fitting = {str(row["uri"]) for row in collection.members(cluster) if row["image_id"] not in misfits}
    same = {row["image_id"] for row in (collection.find(uri) for uri in by_hand)} if by_hand else set()
    own = {str(row["uri"]) for row in collection.members(cluster) if row["image_id"] in same}
    return sorted({*fitting, *own, *by_hand})


def _read(name: str, data: bytes, reader: Callable[[bytes], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    try:
        return reader(data)
    except CongealError as error:
        raise UserError(f"The file {name} cannot be used: {error}.") from error


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
