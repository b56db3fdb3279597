"""A small made-up collection, a tiny backbone with random weights, and runs over them without Prefect."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from congeal.settings import Settings, load_settings
from flows.runs.prepare import prepare
from flows.runs.stages import everything
from infra.compute.progress import Progress
from infra.settings import StorageSettings
from infra.storage.location import Location

BACKBONE = "test_vit"
SIDE = 96


def picture(kind: int, seed: int, size: tuple[int, int] = (80, 60)) -> bytes:
    """A PNG of one of two kinds of thing, never twice the same."""
    random = np.random.default_rng([kind, seed])
    width, height = size
    y, x = np.mgrid[:height, :width] / max(size)
    centre = random.uniform(0.35, 0.45, 2)
    pixels = np.repeat(random.integers(90, 120, (height, width, 1)), 3, axis=2)
    if kind == 0:
        inside = np.hypot(x - centre[0], y - centre[1]) < 0.25
        pixels[inside] = (230, 60, 40)
        pixels[inside & (x > centre[0])] = (250, 200, 40)
    else:
        inside = (np.abs(x - centre[0]) < 0.3) & (np.abs(y - centre[1]) < 0.12)
        pixels[inside] = (30, 90, 220)
        pixels[inside & (x > centre[0] + 0.1)] = (20, 220, 90)
    return encoded(pixels.astype(np.uint8))


def encoded(pixels: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """An image file of the pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def photographs(each: int = 5) -> dict[str, bytes]:
    """Name and bytes of `each` pictures of both kinds, in folders, of two shapes."""
    files = {}
    for seed in range(each):
        files[f"a/{seed}.png"] = picture(0, seed)
        files[f"b/{seed}.png"] = picture(1, seed, (64, 84))
    return files


def put(place: Location, files: dict[str, bytes]) -> Location:
    """Write the files below a place, which comes back."""
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


def folder(path: Path, files: dict[str, bytes]) -> Path:
    """Write the files into a folder, which comes back."""
    put(Location.parse(path), files)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A safetensors file with random weights for BACKBONE."""
    import safetensors.torch
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
    path: Path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def chosen(weights: Path, *more: str) -> list[str]:
    """Settings under which a run takes a second, as --set takes them."""
    return [
        f"features.backbone={BACKBONE}",
        f"features.weights={weights}",
        f"features.image_size={SIDE}",
        "features.precision=float32",
        "features.device=cpu",
        "features.shard_bytes=20000",
        "catalog.slice_size=2",
        "clusters.method=single",
        "atlases.atlas_size=6",
        "atlases.resolution=16",
        "atlases.map_resolution=12",
        "previews.size=32",
        "previews.members=4",
        "index.lattice=6",
        "engine.kind=loop",
        "engine.threads=1",
        *more,
    ]


def tiny(weights: Path, *more: str, storage: StorageSettings | None = None) -> Settings:
    """The same as Settings."""
    settings = load_settings(None, chosen(weights, *more), environ={})
    return settings if storage is None else settings.model_copy(update={"storage": storage})


def run(source: Path | Location, destination: Path | Location, settings: Settings) -> dict[str, Any]:
    """A whole run without Prefect; its facts."""
    job = prepare(str(source), str(destination), settings)
    with job.survey:
        return everything(job, Progress(quiet=True))


# Random weights see little that small pictures share: a set may have as little in common as that.
LITTLE_IN_COMMON = "atlases.solver.outliers.least_shared_tokens=0"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A folder with source/ and destination/ of a finished run; to be read only."""
    home: Path = tmp_path_factory.mktemp("finished")
    files = photographs() | {"broken.jpg": b"no image", "a/copy of 0.png": picture(0, 0)}
    run(folder(home / "source", files), home / "destination", tiny(weights))
    return home


@pytest.fixture(scope="session")
def aligned(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """The same, in which points can be carried."""
    home: Path = tmp_path_factory.mktemp("aligned")
    files = photographs() | {"broken.jpg": b"no image", "a/copy of 0.png": picture(0, 0)}
    run(folder(home / "source", files), home / "destination", tiny(weights, LITTLE_IN_COMMON))
    return home


def results(place: Path | Location) -> dict[str, str]:
    """SHA-256 of every table, array and picture in a destination, by path; of markers what no time enters."""
    place = Location.parse(str(place)) if isinstance(place, Path) else place
    found = {}
    for item in place.objects():
        data = (place / item.path).read_bytes()
        if item.path.endswith("_commit.json"):
            marker = json.loads(data)
            data = json.dumps([marker[key] for key in ("scope", "unit", "content", "outputs")]).encode()
        elif item.path.startswith(("published/", "tables/", "working/")):
            continue
        elif item.path.startswith("report/") and not item.path.startswith("report/stages/"):
            continue  # the index says when it was made
        found[item.path] = hashlib.sha256(data).hexdigest()
    return found


def units(
    place: Path, stages: Sequence[str] = ("catalog", "features", "clusters", "atlases", "index")
) -> list[Path]:
    """The folder of every committed unit, stage by stage."""
    return [
        marker.parent for stage in stages for marker in sorted(place.glob(f"stages/{stage}/*/*/_commit.json"))
    ]
