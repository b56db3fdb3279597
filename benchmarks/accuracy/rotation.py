"""PCK on things that lie at any angle: the samples, each image turned about its middle by a random angle.

    python benchmarks/accuracy/rotation.py [KIND …] [--set NAME=VALUE …] [--record]

The main job with `alignment.rotation` upright and any, with the embedded backbone, measured as `congeal
evaluate` does. The threshold is a tenth of the thing's box before it was turned. With --record, results go to
benchmarks/results/rotation.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common.annotated_sets import ROOT
from congeal.settings import load_settings
from flows.console.quiet_libraries import quiet_libraries
from flows.evaluation.annotated_run import evaluate

RESULTS = ROOT / "benchmarks" / "results" / "rotation.md"
SAMPLES = ROOT / "samples"


def turned(image: Image.Image, degrees: float) -> Image.Image:
    """An image turned against the clock, made larger so that nothing is lost, filled up like its edge."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    usual = tuple(int(value) for value in np.median(edge, 0))
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=usual)


def turned_set(folder: Path, target: Path, seed: int) -> None:
    """A copy of a set with every image turned by an angle of its own."""
    random = np.random.default_rng(seed)
    document: dict[str, Any] = json.loads((folder / "keypoints.json").read_text())
    (target / "images").mkdir(parents=True)
    images = {}
    for name, entry in sorted(document["images"].items()):
        degrees = float(random.uniform(0, 360))
        with Image.open(folder / "images" / name) as opened:
            before = opened.convert("RGB")
        after = turned(before, degrees)
        after.save(target / "images" / f"{Path(name).stem}.png")
        old, new = (complex(*size) / 2 - complex(0.5, 0.5) for size in (before.size, after.size))
        turn = complex(math.cos(math.radians(degrees)), -math.sin(math.radians(degrees)))

        def moved(
            point: list[float], old: complex = old, new: complex = new, turn: complex = turn
        ) -> complex:
            return (complex(*point) - old) * turn + new

        left, top, right, bottom = entry["bbox"]
        middle, half = moved([(left + right) / 2, (top + bottom) / 2]), max(right - left, bottom - top) / 2
        places = [None if point is None else moved(point) for point in entry["points"]]
        images[f"{Path(name).stem}.png"] = {
            "size": list(after.size),
            "bbox": [middle.real - half, middle.imag - half, middle.real + half, middle.imag + half],
            "points": [None if place is None else [place.real, place.imag] for place in places],
        }
    document["pairs"] = [[f"{Path(name).stem}.png" for name in pair] for pair in document.get("pairs", [])]
    (target / "keypoints.json").write_text(json.dumps({**document, "images": images}))


def measure(kind: str, rotation: str, seed: int, changes: list[str]) -> dict[str, Any]:
    """The facts of one kind of the samples, turned, and aligned with one setting."""
    chosen = ["features.backbone=embedded", f"alignment.rotation={rotation}", *changes]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / kind
        turned_set(SAMPLES / kind, folder, seed)
        return evaluate(folder, load_settings(None, chosen), protocol="spair", quiet=True)


def main() -> None:
    kinds = sorted(path.parent.name for path in SAMPLES.glob("*/keypoints.json"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=kinds)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="changes", help="a setting, NAME=VALUE")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    lines = [
        "| kind, turned | nearest neighbour | upright | any | atlas s, any |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    quiet_libraries()
    for kind in asked.kinds:
        upright, free = (
            measure(kind, rotation, asked.seed, asked.changes) for rotation in ("upright", "any")
        )
        near = upright["methods"]["nearest_neighbour"]["pck"]["0.1"]
        values = (facts["methods"]["congeal"]["pck"]["0.1"] for facts in (upright, free))
        row = " | ".join(f"{value:.1f}" for value in (near, *values, free["atlas_seconds"][-1]))
        lines.append(f"| {kind} | {row} |")
        print(lines[-1], flush=True)
    if asked.record:
        machine = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "seed": asked.seed,
        }
        head = "# PCK on things that lie at any angle\n\n`python benchmarks/accuracy/rotation.py --record`, "
        RESULTS.write_text(f"{head}{json.dumps(machine)}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
