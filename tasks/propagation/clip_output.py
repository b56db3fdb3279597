"""What was marked on a frame of a video, carried to all of it and written as a clip."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.results.collection import Collection
from congeal.results.transfer.annotation_transfer import Kind
from congeal.transfer.layers import over
from infra.compute.temporary_folders import temporary_folder
from infra.errors import UserError
from tasks.propagation.output_folder import Order, outside

ENDING = ".mp4"
TINT = (255, 64, 32)
STRENGTH = 0.5  # of the tint of a mask or label that is laid over a frame
GOLDEN = 0.618033988749895

Pixels = npt.NDArray[Any]


class FrameRow(NamedTuple):
    """A frame as the table of images has it. cluster: of the image that it is, or is the same as.

    size: height and width, pixels.
    """

    uri: str
    clip: str
    frame: int
    time: float
    cluster: str | None
    image_id: str
    size: tuple[int, int]


def is_clip(out: str) -> bool:
    """True for the name of a clip."""
    return out.lower().endswith(ENDING)


def propagate_clip(
    collection: Collection,
    kind: Kind,
    edits: Sequence[Pixels],
    sources: Sequence[str],
    atlas: str | None,
    order: Order,
) -> dict[str, Any]:
    """A clip of all frames of the video: an edit laid over them; masks, white on black; labels, in colours.

    edits: as of `Collection.propagate`. With `order.composite` masks and labels are laid over the frames,
    too. Frames of other shots are there as they are, or black.
    """
    frames, cluster = _video(collection, sources, atlas, order)
    targets = _targets(collection, frames, cluster, sources)
    carried = collection.propagate(
        edits, list(sources) or None, atlas=atlas, to=targets, kind=kind, fade=order.fade
    )
    shown = kind == "layer" or order.composite
    here, sure = set(targets), []

    def drawn() -> Iterator[tuple[float, Pixels]]:
        for row in frames:
            one = next(carried) if row.uri in here else None
            if one is not None:
                sure.append(one.confidence)
            if shown:
                image = collection.image(row.uri)
                yield row.time, image if one is None else over(image, _layer(kind, one.pixels))
            else:
                size = frame_sizes[row.uri]
                yield row.time, np.zeros((*size, 3), np.uint8) if one is None else _alone(kind, one.pixels)

    frame_sizes = {row.uri: row.size for row in frames}
    facts = _written(drawn(), frames, cluster, kind, order)
    there = sum(row.cluster == cluster for row in frames)
    return facts | _told(sure, there - len(sure))


def propagate_points(
    collection: Collection, points: npt.NDArray[np.float64], source: str, order: Order
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A clip of the video with points drawn on it, hollow where they are hidden; and a row a point and frame.

    points: float64 [k, 2], pixels of the source.
    The rows have frame, time, image, point, x, y, confidence and visible; where frames show several of the
    kind, a row for each, and instance_id.
    """
    frames, cluster = _video(collection, [source], None, order)
    own = {str(row["uri"]) for row in collection.find_all([source])}
    targets = _targets(collection, frames, cluster, [source])
    marked = collection.instance_at(source, points)
    moved = collection.transfer_to_instances(source, points, targets, instance=marked)
    k = len(points)
    each = moved.iloc[:: max(k, 1)] if k else moved
    where = list(zip(each["target"], each["instance_id"], strict=True))  # frames, and instances in each
    xy = np.array(moved[["x", "y"]], np.float64).reshape(len(where), k, 2)
    sure = np.array(moved["confidence"], np.float64).reshape(len(where), k)
    seen = np.array(moved["visible"], bool).reshape(len(where), k)
    # Where they were marked they are as they were marked.
    for at in (number for number, (uri, one) in enumerate(where) if uri in own and one == marked):
        xy[at], sure[at], seen[at] = points, 1.0, True
    place: dict[str, list[int]] = {}
    for at, (uri, _) in enumerate(where):
        place.setdefault(uri, []).append(at)
    rows = [
        {
            "frame": row.frame, "time": row.time, "image": row.uri, "point": number,
            "x": float(xy[at, number, 0]), "y": float(xy[at, number, 1]),
            "confidence": float(sure[at, number]), "visible": bool(seen[at, number]),
        } | ({"instance_id": int(where[at][1])} if len(where) > len(targets) else {})
        for row in frames for at in place.get(row.uri, ()) for number in range(k)
    ]  # fmt: skip

    def drawn() -> Iterator[tuple[float, Pixels]]:
        for row in frames:
            image = collection.image(row.uri)
            for at in place.get(row.uri, ()):
                image = _dotted(image, xy[at], seen[at])
            yield row.time, image

    facts = _written(drawn(), frames, cluster, "points", order)
    there = sum(row.cluster == cluster for row in frames)
    of_frames = [float(sure[place[uri]].mean()) for uri in targets] if k else []
    return facts | _told(of_frames, there - len(targets)) | {"points": k}, rows


def _told(sure: Sequence[float], left_out: int) -> dict[str, Any]:
    """How sure what was carried is. sure: of each frame; left_out: frames of the shot that do not fit."""
    median = round(float(np.median(sure)), 4) if sure else None
    return {
        "images": len(sure),
        "median_confidence": median,
        "left_out": left_out,
        "left_out_images": [],
        "left_out_duplicates": [],
    }


def _video(
    collection: Collection, sources: Sequence[str], atlas: str | None, order: Order
) -> tuple[list[FrameRow], str]:
    """The frames of the video that is meant, in order, and the cluster; UserError where it is not clear."""
    if order.to != "all":
        raise UserError("A clip has all frames of its video: leave out --to, or name a folder as --out.")
    rows = _frame_rows(collection)
    if sources:
        found = collection.find_all(list(sources))
        clusters = {str(row["cluster_id"]) for row in found}
        clips = {rows[str(row["uri"])].clip for row in found if str(row["uri"]) in rows}
    else:
        clusters = {str(atlas)}
        clips = {row.clip for row in rows.values() if row.cluster == atlas}
    if len(clips) != 1 or len(clusters) != 1:
        what = "are frames of several videos" if clips else "is no frame of a video"
        named = ", ".join(sources) or f"the cluster {atlas}"
        raise UserError(f"To write a clip, mark one frame of one video: {named} {what}.")
    (clip,) = clips
    frames = sorted((row for row in rows.values() if row.clip == clip), key=lambda row: row.frame)
    outside(collection, order.out)
    if order.out.exists() and not order.overwrite:
        raise UserError(f"The file {order.out} is there already: name another, or say --overwrite.")
    for given in order.inputs:
        if order.out.contains(given):
            raise UserError(f"The file {given} is an input: write somewhere else.")
    return frames, next(iter(clusters))


def _frame_rows(collection: Collection) -> dict[str, FrameRow]:
    """The frames of all videos that can be read, by path."""
    images = collection.images
    names = {
        one: f"video_{one}" if f"video_{one}" in images.columns else one for one in ("clip", "frame", "time")
    }
    if any(name not in images.columns for name in names.values()):
        raise UserError(
            "The images of this collection are no video: run congeal on a clip, or set source.video=frames "
            "for a folder of frames."
        )
    known: dict[str, Any] = {}
    for row in images.to_dict("records"):
        if row["status"] == "ok":
            known[row["image_id"]] = row["cluster_id"]
    found = {}
    for row in images.to_dict("records"):
        clip, frame, time = (row[names[one]] for one in ("clip", "frame", "time"))
        if row["status"] == "failed" or not isinstance(clip, str) or math.isnan(time):
            continue
        cluster = known.get(row["image_id"])
        found[row["uri"]] = FrameRow(
            row["uri"],
            clip,
            int(frame),
            float(time),
            cluster if isinstance(cluster, str) else None,
            row["image_id"],
            (int(row["height"]), int(row["width"])),
        )
    return found


def _targets(
    collection: Collection, frames: Sequence[FrameRow], cluster: str, sources: Sequence[str]
) -> list[str]:
    """The frames that something is carried to: those of the shot that fit, and those that were marked."""
    misfits = collection.misfits(cluster)
    named = {str(row["uri"]) for row in collection.find_all(list(sources))} if sources else set()
    return [
        row.uri
        for row in frames
        if row.cluster == cluster and (row.uri in named or row.image_id not in misfits)
    ]


def _written(
    drawn: Iterator[tuple[float, Pixels]], frames: Sequence[FrameRow], cluster: str, kind: str, order: Order
) -> dict[str, Any]:
    from infra.video.clip_writer import write_mp4

    with temporary_folder("clip") as folder:
        path = folder / "clip.mp4"
        count = write_mp4(path, drawn)
        order.out.write_bytes(path.read_bytes())
    return {"kind": kind, "out": str(order.out), "frames": count, "cluster": cluster, "clip": frames[0].clip}


def _layer(kind: Kind, pixels: Pixels) -> Pixels:
    """What was carried, as an RGBA layer uint8 [h, w, 4]; masks and labels let the frame shine through."""
    if kind == "layer":
        return pixels
    covered = pixels / 255.0 if kind == "mask" else (pixels != 0).astype(np.float64)
    layer = np.empty((*pixels.shape, 4), np.uint8)
    layer[..., :3] = TINT if kind == "mask" else _alone(kind, pixels)
    layer[..., 3] = np.rint(covered * 255 * STRENGTH)
    return layer


def _alone(kind: Kind, pixels: Pixels) -> Pixels:
    """A mask white on black, labels in colours on black: uint8 [h, w, 3]."""
    if kind == "mask":
        return np.repeat(pixels[..., None], 3, axis=2)
    out = np.zeros((*pixels.shape, 3), np.uint8)
    for label in np.unique(pixels[pixels != 0]).tolist():
        out[pixels == label] = _colour(int(label) - 1)
    return out


def _colour(number: int) -> tuple[int, int, int]:
    """Colours that differ, whatever their number."""
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _dotted(image: Pixels, xy: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_]) -> Pixels:
    """An image with points drawn on it."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    radius = max(2.0, max(image.shape[:2]) / 160)
    for number, ((x, y), visible) in enumerate(zip(xy.tolist(), seen.tolist(), strict=True)):
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        box = (x - radius, y - radius, x + radius, y + radius)
        colour = _colour(number)
        width = max(1, round(radius / 3))
        draw.ellipse(
            box, fill=colour if visible else None, outline=(255, 255, 255) if visible else colour, width=width
        )
    return np.asarray(picture)
