"""PCK of `congeal run` and `transfer` on annotated sets, beside matching each pair on its own.

    python benchmarks/accuracy.py [SET …] [--set section.key=value …]

Every set is one cluster (`clusters.method=single`); identity and nearest neighbour use the same images and
the same stored features. With --record, results go to benchmarks/results/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from annotated_sets import ROOT, SETS, WEIGHTS, AnnotatedSet, load, shared

import congeal
from congeal.evaluation import identity, nearest_neighbour, pck
from congeal.transfer import transfer
from infra.arrays import open_group
from infra.commits import find_marker, outputs_location

RESULTS = ROOT / "benchmarks" / "results" / "accuracy.md"


@dataclass(frozen=True)
class Row:
    name: str
    images: int
    alpha: float
    identity: float
    matched: float
    found: list[float]
    seconds: float


def run(source: Path, destination: Path, settings: list[str]) -> float:
    """`congeal run` in a process of its own; seconds of its atlases stage, all clusters."""
    options = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "flows.cli", "run", str(source), str(destination), "--json", *options]
    environment = os.environ | {"DO_NOT_TRACK": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    collection = congeal.open(str(destination))
    return float(collection.clusters["seconds"].sum())


def measure(name: str, settings: list[str], seeds: int) -> Row:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        annotated = load(name, work / "source")
        destination = work / "destination"
        found, seconds = [], 0.0
        for seed in range(seeds):
            weights = f"features.weights={shared() / WEIGHTS}"
            seconds = run(
                annotated.folder, destination, ["clusters.method=single", weights, f"seed={seed}", *settings]
            )
            found.append(_aligned(annotated, str(destination)))
        matched = nearest_neighbour(annotated.images, *_features(annotated, str(destination)))
        return Row(
            name,
            len(annotated.names),
            annotated.alpha,
            pck(annotated.images, identity(annotated.images), annotated.alpha),
            pck(annotated.images, matched, annotated.alpha),
            found,
            seconds,
        )


def _aligned(annotated: AnnotatedSet, destination: str) -> float:
    collection = congeal.open(destination)
    maps = [collection.maps(name) for name in annotated.names]

    def carried(source: int, target: int, points: np.ndarray) -> np.ndarray:
        # A few hand-set marks lie a hair beyond the picture; transfer refuses those, so they are drawn in.
        frame = annotated.images[source].frame
        inside = np.clip(points, -0.5, [frame.width - 0.5, frame.height - 0.5])
        return transfer(inside, maps[source], maps[target]).xy

    return pck(annotated.images, carried, annotated.alpha)


def _features(annotated: AnnotatedSet, destination: str) -> tuple[np.ndarray, float]:
    """The stored features of the set in its order, and their extent."""
    collection = congeal.open(destination)
    table = collection.images.set_index("uri").loc[annotated.names]
    parts, extent = [], 1.0
    for unit, row in zip(table["features_unit"], table["features_row"], strict=True):
        marker = find_marker(collection.place, "features", unit)
        assert marker is not None
        group = open_group(outputs_location(collection.place, marker) / "features.zarr")
        extent = float(group.attrs["extent"])
        parts.append(np.asarray(group["features"][int(row)], np.float32))
    return np.stack(parts), extent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="section.key=value")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    head = "| set | images | α | identity | nearest neighbour | congeal (median) | seeds | atlas s |"
    lines = [head, "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |"]
    print("\n".join(lines), flush=True)
    rows = []
    for name in asked.sets:
        row = measure(name, asked.settings, asked.seeds)
        rows.append(row)
        spread = " ".join(f"{value:.1f}" for value in row.found)
        lines.append(
            f"| {row.name} | {row.images} | {row.alpha:g} | {row.identity:.1f} | {row.matched:.1f} | "
            f"**{statistics.median(row.found):.1f}** | {spread} | {row.seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    if asked.record:
        import torch

        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "backbone": Path(WEIGHTS).stem,
            "settings": asked.settings,
        }
        RESULTS.write_text(
            "# PCK through `congeal transfer`, every set\n\n"
            f"`python benchmarks/accuracy.py --record`, {json.dumps(about)}\n\n" + "\n".join(lines) + "\n"
        )


if __name__ == "__main__":
    main()
