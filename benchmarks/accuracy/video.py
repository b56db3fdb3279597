"""Videos: a mask of the first frame carried to all others, and how steadily tracked points move.

    python benchmarks/accuracy/video.py CLIP_OR_FRAMES MASKS [--set NAME=VALUE …] [--keep FOLDER]
                                        [--record FILE]

MASKS: a folder with a PNG for each frame, in the order of the frames (255 the thing, 128 to be ignored).
The product runs twice, with `alignment.smoothing` as it is and with 0 (each frame by itself), on the same
features. J is the intersection over union of the mask of the first frame, carried, with that of each other
frame, on average (DAVIS). Beside it: the token of the first frame most like each token of a frame says
whether it is the thing ("1 nearest"), and the five that are most like it, weighed by their likeness, each
enlarged bilinearly. Points: every 16th pixel of the first mask; acceleration is the second difference of
their places from frame to frame, in pixels, its median and 90 % over points and frames; "on the thing" is how
many of the points carried lie on it. With --keep, runs and what was found, frame by frame, stay in
the folder: whoever is stopped goes on there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

import congeal
from benchmarks.common.recording import Kept
from congeal.settings import load_settings
from flows.runs.prepare import prepare
from flows.runs.stages import everything
from infra.compute.progress import Progress

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.uint8]
IGNORED = 128


def made(source: str, out: Path, changes: list[str]) -> congeal.Collection:
    """The collection of a video, with the settings that are asked for."""
    settings = load_settings(None, ["engine.kind=loop", "source.video=frames", *changes])
    job = prepare(source, str(out), settings)
    if job.current is None:
        with job.survey:
            everything(job, Progress(quiet=True))
    else:
        job.survey.close()
    return congeal.open(str(out))


def overlap(found: npt.NDArray[np.bool_], truth: Mask) -> float:
    """Intersection over union, where the truth is known."""
    known, thing = truth != IGNORED, truth == 255
    union = ((found | thing) & known).sum()
    return float(((found & thing) & known).sum() / union) if union else 1.0


def carried(
    collection: congeal.Collection, frames: list[str], masks: list[Mask], kept: Kept, title: str
) -> list[float]:
    """J of each frame but the first; those that are kept are not carried to again."""
    first = masks[0] == 255
    truth = dict(zip(frames[1:], masks[1:], strict=True))
    left = [name for name in truth if f"{title}, {name}" not in kept.found]
    for one in collection.propagate([first], [frames[0]], to=left, kind="mask") if left else ():
        score = overlap(one.pixels >= 128, truth[one.image])
        kept.once(f"{title}, {one.image}", lambda score=score: score)
    return [kept.found[f"{title}, {name}"] for name in truth]


def misfits(collection: congeal.Collection, frames: list[str]) -> int:
    """How many of the frames but the first do not fit."""
    without = collection.misfits(str(collection.find(frames[0])["cluster_id"]))
    return sum(collection.find(name)["image_id"] in without for name in frames[1:])


def nearest(
    collection: congeal.Collection, frames: list[str], masks: list[Mask], *, most: int
) -> dict[int, list[float]]:
    """J of each frame but the first, by the most similar token of the first, and by so many."""
    from congeal.alignment.image_features import on_image
    from congeal.geometry.frames import Frame
    from congeal.results.schema.feature_arrays import FEATURE_GROUP, FEATURES
    from infra.ledger.commits import outputs_location
    from infra.storage.zarr_groups import array_in, open_group

    published = collection._published
    groups: dict[str, Any] = {}

    def seen(name: str) -> tuple[torch.Tensor, Frame]:
        row = collection.find(name)
        unit = str(row["features_unit"])
        if unit not in groups:
            marker = published.tables.marker("features", unit)
            groups[unit] = open_group(outputs_location(published.place, marker) / FEATURE_GROUP.name)
        found = array_in(groups[unit], FEATURES.path)[row["features_row"]]
        tokens = torch.as_tensor(np.asarray(found, np.float32))
        frame = Frame(int(row["width"] or 0), int(row["height"] or 0))
        return torch.nn.functional.normalize(tokens, dim=-1), frame

    start, frame = seen(frames[0])
    g = start.shape[0]
    extent = float(next(iter(groups.values())).attrs["extent"])
    cells = grid_pixels(frame, g, extent)
    thing = torch.as_tensor(at_cells((masks[0] == 255).astype(np.float32), cells)).flatten()
    valid = torch.as_tensor(on_image([frame], g, extent)[0]).flatten() > 0
    keys, values = start.reshape(g * g, -1)[valid], thing[valid]
    out: dict[int, list[float]] = {1: [], most: []}
    for name, mask in zip(frames[1:], masks[1:], strict=True):
        tokens, here = seen(name)
        likeness, which = (tokens.reshape(g * g, -1) @ keys.T).topk(most, dim=1)
        height, width = mask.shape
        y, x = np.mgrid[:height, :width]
        places = here.to_frame(np.stack([x, y], -1).astype(np.float64)) / extent
        grid = torch.as_tensor(places, dtype=torch.float32)[None]
        for k, scores in out.items():
            share = torch.softmax(likeness[:, :k] / 0.1, 1)
            plane = (share * values[which[:, :k]]).sum(1).reshape(1, 1, g, g)
            whole = torch.nn.functional.grid_sample(plane, grid, align_corners=False, padding_mode="border")
            scores.append(overlap(whole[0, 0].numpy() >= 0.5, mask))
    return out


def grid_pixels(frame: Any, g: int, extent: float) -> Floats:
    """The middles of tokens in pixels, [g, g, 2]."""
    from congeal.geometry.frames import cell_centres

    return np.asarray(frame.to_pixels(np.asarray(cell_centres(g, extent), np.float64)), np.float64)


def at_cells(mask: npt.NDArray[np.float32], cells: Floats) -> npt.NDArray[np.float32]:
    """The share of each token's square that is the thing, [g, g]."""
    step = abs(cells[0, 1, 0] - cells[0, 0, 0]) / 2
    total = np.pad(mask, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    height, width = mask.shape

    def edge(values: Floats, top: int) -> npt.NDArray[np.intp]:
        return np.clip(np.rint(values + 0.5), 0, top).astype(np.intp)

    x0, x1 = edge(cells[..., 0] - step, width), edge(cells[..., 0] + step, width)
    y0, y1 = edge(cells[..., 1] - step, height), edge(cells[..., 1] + step, height)
    area = np.maximum((x1 - x0) * (y1 - y0), 1)
    return ((total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]) / area).astype(np.float32)


def tracked(collection: congeal.Collection, frames: list[str], masks: list[Mask]) -> dict[str, float]:
    """How steadily points of the first mask move, and how many of them stay on the thing."""
    y, x = np.nonzero(masks[0] == 255)
    every = (x % 16 == 0) & (y % 16 == 0)
    points = np.stack([x[every], y[every]], 1).astype(np.float64)
    moved = collection.transfer(frames[0], points, frames)
    xy = moved[["x", "y"]].to_numpy(np.float64).reshape(len(frames), len(points), 2)
    second = np.linalg.norm(np.diff(xy, 2, axis=0), axis=-1)
    on = []
    for at, mask in enumerate(masks):
        px = np.rint(np.nan_to_num(xy[at], nan=-1)).astype(int)
        inside = (px >= 0).all(1) & (px[:, 0] < mask.shape[1]) & (px[:, 1] < mask.shape[0])
        on.append(float(np.mean([mask[q, p] == 255 for p, q in px[inside]])) if inside.any() else 0.0)
    return {
        "acceleration_median_px": round(float(np.nanmedian(second)), 3),
        "acceleration_p90_px": round(float(np.nanpercentile(second, 90)), 3),
        "on_the_thing": round(float(np.mean(on[1:])), 4),
        "points": len(points),
    }


def told(scores: list[float]) -> dict[str, float]:
    """J over the frames, in percent: on average and in the worst."""
    return {"J": round(100 * float(np.mean(scores)), 2), "least": round(100 * min(scores), 2)}


def frames_of(collection: congeal.Collection, masks: list[Mask]) -> list[str]:
    """The paths of the frames that have masks, in order."""
    frames: list[str] = collection.images.sort_values("frame")["uri"].tolist()
    return frames[: len(masks)]


def of_product(
    asked: argparse.Namespace, changes: list[str], place: Path, masks: list[Mask], kept: Kept, period: float
) -> dict[str, Any]:
    """J and steadiness of a run with some smoothing."""
    collection = made(asked.source, place / "out", [*changes, f"alignment.smoothing={period}"])
    frames = frames_of(collection, masks)
    scores = carried(collection, frames, masks, kept, f"smoothing {period:g}")
    steady = tracked(collection, frames, masks)
    return told(scores) | {"do_not_fit": misfits(collection, frames), **steady}


def of_neighbours(place: Path, masks: list[Mask]) -> dict[str, list[float]]:
    """J of each frame by the nearest neighbour and by five, on the features of the last run."""
    collection = congeal.open(str(place / "out"))
    found = nearest(collection, frames_of(collection, masks), masks, most=5)
    return {str(k): scores for k, scores in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("masks", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--weights")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder in which the runs are kept")
    parser.add_argument("--smoothing", nargs="*", type=float, default=[0.0, 8.0])
    asked = parser.parse_args()
    masks = [np.asarray(Image.open(path).convert("L")) for path in sorted(asked.masks.glob("*.png"))]
    changes = [*asked.changes, *([f"features.weights={asked.weights}"] if asked.weights else [])]
    with tempfile.TemporaryDirectory() as folder:
        place = asked.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        kept = Kept(place / "found.json")
        of = [asked.source, str(asked.masks), *changes]
        if kept.once("of", lambda: of) != of:
            parser.error(f"{place} is of another run: give another folder")
        found: dict[str, Any] = {}
        for period in asked.smoothing:
            title = f"smoothing {period:g}"
            found[title] = kept.once(
                title, lambda period=period: of_product(asked, changes, place, masks, kept, period)
            )
            print(json.dumps({title: found[title]}), flush=True)
        for k, scores in kept.once("nearest", lambda: of_neighbours(place, masks)).items():
            found[f"{k} nearest"] = told(scores)
            print(json.dumps({f"{k} nearest": told(scores)}), flush=True)
    if asked.record:
        asked.record.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
