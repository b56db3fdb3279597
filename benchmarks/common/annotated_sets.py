"""The annotated sets of the benchmarks, and where they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from congeal.evaluation.pck import Annotated
from congeal.evaluation.protocols import cut, named, views
from congeal.imaging.decoding import decode
from tasks.atlases.previews import png

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "weights/vit_small_patch14_dinov2.dav2.fp16.safetensors"
SETS = (
    "dogs/all_dogs",
    "behaviour/openfield_mouse",
    "pf_willow/winebottle_wC",
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
class Shown:
    """The images of a set as its usual protocol shows them: files in a folder, keypoints, the threshold."""

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


def folder_of(name: str) -> Path:
    """The folder of one of SETS."""
    data = shared() / "data"
    family, _, number = name.partition("/")
    if family == "flywings":
        return data / family / "drosophilid_wing"
    return next((data / family).glob(f"{number}.*")) if family == "cub" else data / name


def load(name: str, work: Path) -> Shown:
    """One of SETS; images that its protocol crops are written to ``work`` as lossless PNG."""
    from congeal.evaluation.datasets import load as read

    annotated = read(folder_of(name))
    protocol = named(annotated.protocol)
    shown = views(annotated, protocol)
    folder = annotated.folder
    if any(view.crop for view in shown):
        folder = work / "images"
        folder.mkdir(parents=True, exist_ok=True)
        for view in shown:
            assert view.crop is not None
            (folder / view.name).write_bytes(png(cut(decode(view.image.path.read_bytes()), view.crop)))
    return Shown(folder, [view.name for view in shown], [view.measured for view in shown], protocol.alpha)
