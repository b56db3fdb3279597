"""What `congeal propagate` was asked for: exactly one kind of thing, and where it was made."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.settings import StorageSettings
from infra.storage.location import Location

TRACKED = ("frame", "time", "image", "point", "x", "y", "confidence", "visible")
FILES = ("coco", "tps", "deeplabcut", "sleap", "yolo", "via")  # these name their images themselves


@dataclass(frozen=True)
class Request:
    """painted: kind ("layer", "mask", "labels") to files. sources, atlas: where. The others: a file."""

    painted: Mapping[str, Sequence[str]]
    sources: Sequence[str]
    atlas: str | None
    coco: str | None = None
    tps: str | None = None
    deeplabcut: str | None = None
    sleap: str | None = None
    yolo: str | None = None
    via: str | None = None
    points: str | None = None


def carry_out(
    collection: Any,
    request: Request,
    out: str,
    storage: StorageSettings,
    **how: Any,
) -> dict[str, Any]:
    """Carry it and write it; the facts. Raises UserError for a request that does not say one thing."""
    from tasks import propagation as propagate

    kind = _kind(request)
    order = propagate.Order(Location.parse(out, storage), **how)
    clip = propagate.is_clip(order.out.name)
    if order.composite and kind != "layer" and not clip:
        raise UserError("--composite goes with --layer: only an edit can be laid over an image.")
    if kind == "points":
        return _points(collection, request, order, storage, clip=clip)
    if order.with_images and kind != "coco":
        raise UserError("--with-images goes with --coco.")
    carry = {
        "coco": propagate.propagate_coco,
        "tps": propagate.propagate_tps,
        "deeplabcut": propagate.propagate_deeplabcut,
        "sleap": propagate.propagate_sleap,
        "yolo": propagate.propagate_yolo,
        "via": propagate.propagate_via,
    }
    if kind in carry:
        file = str(getattr(request, kind))
        place = Location.parse(file, storage)
        return carry[kind](collection, file, place.read_bytes(), replace(order, inputs=[place]))
    files = request.painted[kind]
    if request.atlas is None and len(files) != len(request.sources):
        raise UserError(
            f"There are {counted(len(files), 'file')} of --{kind} and {len(request.sources)} of "
            "--from: each edit needs "
            "its image."
        )
    if request.atlas is not None and (request.sources or len(files) != 1):
        raise UserError(f"With --atlas goes one --{kind} and no --from.")
    if len(set(files)) < len(files):
        raise UserError("The same file is given twice: each image needs an edit of its own.")
    places = {file: Location.parse(file, storage) for file in files}
    contents = {file: place.read_bytes() for file, place in places.items()}
    order = replace(order, inputs=list(places.values()))
    return propagate.propagate_pictures(collection, kind, contents, request.sources, request.atlas, order)


def _points(
    collection: Any, request: Request, order: Any, storage: StorageSettings, *, clip: bool
) -> dict[str, Any]:
    """Points drawn on a whole video, and where they are, in a CSV file beside the clip."""
    import numpy as np

    from flows.propagation.points import read_points
    from tasks import propagation as propagate

    if not clip:
        raise UserError(
            "--points goes with a clip, --out NAME.mp4; congeal transfer --to all carries points to images."
        )
    if len(request.sources) != 1 or request.atlas is not None:
        raise UserError("With --points goes one --from: the frame that the points are marked on.")
    given = Location.parse(str(request.points), storage)
    beside = Location.parse(order.out.url[: -len(".mp4")] + ".csv", storage)
    if beside.exists() and not order.overwrite:
        raise UserError(f"The file {beside} is there already: name another clip, or say --overwrite.")
    order = replace(order, inputs=[given])
    if beside.contains(given):
        raise UserError(f"The file {given} is an input: write somewhere else.")
    xy = np.array(read_points(given).xy(), np.float64).reshape(-1, 2)
    facts, rows = propagate.propagate_points(collection, xy, request.sources[0], order)
    text = io.StringIO(newline="")
    columns = [*TRACKED, *(["instance_id"] if rows and "instance_id" in rows[0] else [])]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    beside.write_bytes(text.getvalue().encode())
    return facts | {"tracks": str(beside)}


def _kind(request: Request) -> Any:
    given = [kind for kind, files in request.painted.items() if files]
    given += [kind for kind in (*FILES, "points") if getattr(request, kind)]
    if len(given) != 1:
        said = " and ".join(f"--{kind}" for kind in given) or "nothing"
        options = ", ".join(f"--{kind}" for kind in (*request.painted, *FILES, "points"))
        raise UserError(f"Say what to carry: one of {options} ({said} was given).")
    if given[0] in FILES and (request.sources or request.atlas):
        raise UserError(f"--{given[0]} names its images itself: leave out --from and --atlas.")
    return given[0]
