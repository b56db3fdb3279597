"""Annotated sets as folders of images and keypoints, by the protocols of the shared data."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from congeal.coordinates import Frame
from congeal.evaluation import Annotated, bounding_unit

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = "weights/vit_small_patch14_dinov2.dav2.fp16.safetensors"
SETS = (
    "pf_willow/duck_S",
    "pf_willow/car_S",
    "pf_willow/motorbike_S",
    "pf_willow/winebottle_woC",
    "cub/001",
    "cub/002",
    "cub/003",
    "flywings",
)


@dataclass(frozen=True)
class AnnotatedSet:
    """A folder of images, their names in order, their keypoints, and the threshold of the protocol."""

    folder: Path
    names: list[str]
    images: list[Annotated]
    alpha: float


def shared() -> Path:
    """The folder with weights and photographs: CONGEAL_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("CONGEAL_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        raise SystemExit("These benchmarks need the shared data: set CONGEAL_SHARED to its folder.")
    return folder


def load(name: str, work: Path) -> AnnotatedSet:
    """One of SETS; those whose protocol crops are written to ``work`` as lossless PNG."""
    family = name.partition("/")[0]
    folder = shared() / "data" / ("flywings/drosophilid_wing" if family == "flywings" else name)
    if family == "cub":
        folder = next((shared() / "data" / "cub").glob(f"{name.partition('/')[2]}.*"))
    entries = json.loads((folder / "keypoints.json").read_text())["images"]
    if family == "cub":
        return _cropped(folder, entries, work / "images")
    names = sorted(entries)
    shift = 1 if family == "pf_willow" else 0  # MATLAB counts from one
    images = []
    for file in names:
        points = _points(entries[file]) - shift
        frame = Frame(*entries[file]["size"])
        unit = bounding_unit(points) if family == "pf_willow" else float(frame.side)
        images.append(Annotated(frame, points, unit))
    return AnnotatedSet(folder / "images", names, images, 0.1 if family == "pf_willow" else 0.02)


def _points(entry: dict[str, Any]) -> np.ndarray:
    return np.array([[np.nan, np.nan] if point is None else point for point in entry["points"]], np.float64)


def _cropped(folder: Path, entries: dict[str, Any], work: Path) -> AnnotatedSet:
    """CUB: 20 files with four visible parts or more, cut to the box and 5 % a side, edge-padded square."""
    usable = sorted(
        name for name in entries if sum(point is not None for point in entries[name]["points"]) >= 4
    )
    chosen = sorted(str(name) for name in np.random.default_rng(0).choice(usable, 20, replace=False))
    work.mkdir(parents=True, exist_ok=True)
    names, images = [], []
    for file in chosen:
        pixels = np.array(Image.open(folder / "images" / file).convert("RGB"))
        x0, y0, x1, y1 = entries[file]["bbox"]
        side = round(max(x1 - x0, y1 - y0) * 1.1)
        left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
        pad = max(0, -left, -top, left + side - pixels.shape[1], top + side - pixels.shape[0])
        padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        crop = padded[top + pad : top + pad + side, left + pad : left + pad + side]
        name = Path(file).with_suffix(".png").name
        Image.fromarray(crop).save(work / name)
        names.append(name)
        images.append(Annotated(Frame(side, side), _points(entries[file]) - [left, top], float(side)))
    return AnnotatedSet(work, names, images, 0.1)
