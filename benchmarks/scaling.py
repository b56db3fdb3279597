"""Seconds and memory of `congeal.align` by the number of images, features given.

    python benchmarks/scaling.py [--sizes N …] [--threads N] [--cache FOLDER] [--record]

The images are all 178 photographs of three species of albatross, each by the square around its box, in a
fixed random order; beyond that, the first ones again by a random square of eight to ten tenths of the side
within it. Each size is measured in a process of its own, after the inputs have been read: the median of three
calls up to 50 images, one call beyond. The last row builds an atlas of 40 images and fits 160 to it, as a run
does it with a set that is larger than atlases.atlas_size. With --record, results go to
benchmarks/results/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from annotated_sets import ROOT
from destinations import about, heading
from set_features import ARRAYS, Extractor, Given, place_of

from congeal.evaluation.datasets import load
from congeal.evaluation.protocols import Crop, named, views
from congeal.geometry.frames import Frame

RESULTS = ROOT / "benchmarks" / "results" / "scaling.md"
SETS = ("cub/001", "cub/002", "cub/003")
SIZES = (5, 10, 20, 50, 100, 200)
BUILDERS, FITTED = 40, 160
REPEATS, ONCE_FROM = 3, 100
SLAB = 64  # images that are fitted together, as in a run


def shown(count: int) -> list[tuple[Path, Crop]]:
    """Files and the squares of them that are shown."""
    protocol = replace(named("cub"), draw=None)
    known = [view for name in SETS for view in views(load(place_of(name)), protocol)]
    random = np.random.default_rng(0)
    order = random.permutation(len(known))
    found = []
    for number in range(count):
        view = known[order[number % len(known)]]
        crop = view.crop
        assert crop is not None
        if number >= len(known):
            side = round(crop.side * random.uniform(0.8, 1.0))
            left, top = random.integers(0, crop.side - side + 1, 2)
            crop = Crop(crop.left + int(left), crop.top + int(top), side)
        found.append((view.image.path, crop))
    return found


def write(given: Given, folder: Path) -> None:
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(given, name))
    np.save(folder / "position.npy", given.position)
    (folder / "extent.json").write_text(json.dumps(given.extent))


def read(folder: Path, count: int) -> Given:
    """The first images, and nothing of the others, in memory."""
    arrays = {name: np.array(np.load(folder / f"{name}.npy", mmap_mode="r")[:count]) for name in ARRAYS}
    extent = float(json.loads((folder / "extent.json").read_text()))
    return Given(**arrays, extent=extent, position=np.load(folder / "position.npy"))


def measure(folder: Path, builders: int, fitted: int, threads: int) -> dict[str, Any]:
    """Seconds of every call and MiB, in this process."""
    import torch

    from congeal.alignment.solver import align, fit

    torch.set_num_threads(threads)
    given = read(folder, builders + fitted)
    torch.linalg.eigh(torch.eye(4))  # the first call of a process loads the library
    before, seconds, deformation = _memory("VmRSS"), [], ""
    for _ in range(1 if builders + fitted >= ONCE_FROM else REPEATS):
        begin = time.perf_counter()
        atlas = align(**given[:builders].for_align).atlas
        for start in range(builders, builders + fitted, SLAB):
            fit(atlas, **given[start : start + SLAB].for_fit)
        seconds.append(time.perf_counter() - begin)
        deformation = atlas.deformation
    inputs = sum(getattr(given, name).nbytes for name in ARRAYS) / 2**20
    peak = _memory("VmHWM")
    return {"seconds": seconds, "inputs": inputs, "before": before, "peak": peak, "deformation": deformation}


def _memory(field: str) -> float:
    """MiB of this process; VmHWM is the most there has been since its program began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) / 1024


def child(folder: Path, builders: int, fitted: int, threads: int) -> dict[str, Any]:
    """`measure` in a new process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--measure", str(folder), str(builders), str(fitted)]
    command += ["--threads", str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def line(builders: int, fitted: int, found: dict[str, Any]) -> str:
    seconds = statistics.median(found["seconds"])
    pairs = builders * (builders - 1) // 2
    title = f"{builders} + {fitted} fitted" if fitted else f"{builders}"
    a_pair = "" if fitted else f"{1000 * seconds / pairs:.1f}"
    return (
        f"| {title} | {pairs:,} | {found['deformation']} | {len(found['seconds'])} | {seconds:.1f} | "
        f"{seconds / (builders + fitted):.2f} | {a_pair} | {found['inputs']:,.0f} | "
        f"{found['peak'] - found['before']:,.0f} | {found['peak']:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        folder, builders, fitted = asked.measure
        print(json.dumps(measure(Path(folder), int(builders), int(fitted), asked.threads)))
        return
    extractor = Extractor(asked.cache)
    every = shown(max(*asked.sizes, BUILDERS + FITTED))
    squares = (extractor.read(path, crop) for path, crop in every)
    given = extractor.given("scaling", squares, [Frame(crop.side, crop.side) for _, crop in every])
    facts = about() | {"threads": asked.threads}
    lines = [
        *heading("Seconds and memory of `congeal.align`", "scaling.py", facts),
        "Albatrosses, 32 x 32 tokens, features given; 178 photographs, beyond that other crops of the same. "
        "Memory: of the inputs as they are given, of what came on top of everything there was before the "
        "call, and of the whole process, in MiB. Seconds: median of the calls.",
        "",
        "| images | pairs | freedom | calls | s | s an image | ms a pair | inputs | on top | whole |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        write(given, Path(scratch))
        del given
        for builders, fitted in [*((size, 0) for size in asked.sizes), (BUILDERS, FITTED)]:
            lines.append(line(builders, fitted, child(Path(scratch), builders, fitted, asked.threads)))
            print(lines[-1], flush=True)
    if asked.record:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
