"""Many sets, one by one with `congeal.align` and in one call of `congeal.align_many`, features given.

    python benchmarks/speed/batched.py [SET …] [--sets K …] [--threads N] [--devices cpu cuda]
                                       [--cache FOLDER] [--record]

Of every set that is named, photographed and rendered, 6 to 20 images by a fixed draw, or all if it has
fewer; where more sets are asked for than are named, others are drawn from them. Each row is measured in a
process of its own, after the inputs have been read; the two ways take turns in one more, so that what the
machine does besides weighs on both alike, and their results are compared. On the CPU, and on a GPU where
there is one. With --record, results go to benchmarks/results/batched.md.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import about, heading
from benchmarks.common.set_features import ARRAYS, EVERY, Extractor, Given
from benchmarks.speed.align_timing import memory
from benchmarks.speed.scaling import write

RESULTS = ROOT / "benchmarks" / "results" / "batched.md"
SETS = (1, 4, 12)
SMALLEST, LARGEST = 6, 20
REPEATS, ONCE_FROM = 3, 24
SEPARATE, TOGETHER = "one by one", "in one call"


def drawn(available: list[Given], count: int) -> list[Given]:
    """Sets of unequal size; the first ``count`` of a fixed sequence."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        one = available[number % len(available)]
        size = min(int(random.integers(SMALLEST, LARGEST + 1)), len(one))
        found.append(one[np.sort(random.permutation(len(one))[:size])])
    return found


def read(folder: Path) -> list[Given]:
    """The sets that were written, in order."""
    found = []
    for place in sorted(folder.iterdir()):
        arrays = {name: np.load(place / f"{name}.npy") for name in ARRAYS}
        extent = float(json.loads((place / "extent.json").read_text()))
        found.append(Given(**arrays, extent=extent, position=np.load(place / "position.npy")))
    return found


def solve(sets: list[Given], way: str, device: str) -> list[Any]:
    from congeal.alignment.solver import SetArrays, align, align_many

    if way == SEPARATE:
        return [align(**one.for_align, device=device) for one in sets]
    return align_many([SetArrays(**one.for_fit) for one in sets], position=sets[0].position, device=device)


def prepare(threads: int, device: str) -> None:
    """What the first call of a process would pay for."""
    torch.set_num_threads(threads)
    torch.linalg.eigh(torch.eye(4, device=device))


def timed(sets: list[Given], way: str, device: str) -> tuple[float, list[Any]]:
    begin = time.perf_counter()
    found = solve(sets, way, device)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - begin, found


def measure_seconds(folder: Path, threads: int, device: str) -> dict[str, Any]:
    """Seconds of both ways, in turns, and by how much their forward maps differ at most, in frame units."""
    sets = read(folder)
    prepare(threads, device)
    seconds: dict[str, list[float]] = {SEPARATE: [], TOGETHER: []}
    difference = 0.0
    for _ in range(1 if len(sets) >= ONCE_FROM else REPEATS):
        answers = []
        for way, spent in seconds.items():
            took, found = timed(sets, way, device)
            spent.append(took)
            answers.append(found)
        for one, other in zip(*answers, strict=True):
            difference = max(difference, float(np.abs(one.forward - other.forward).max()))
    medians = {way: statistics.median(spent) for way, spent in seconds.items()}
    return {"seconds": medians, "images": sum(map(len, sets)), "difference": difference}


def measure_memory(folder: Path, threads: int, device: str, way: str) -> dict[str, Any]:
    """MiB on top of what there was before the call, in this process, or on the GPU."""
    sets = read(folder)
    prepare(threads, device)
    before = memory("VmRSS")
    solve(sets, way, device)
    if device.startswith("cuda"):
        return {"memory": torch.cuda.max_memory_allocated() / 2**20}
    return {"memory": memory("VmHWM") - before}


def child(folder: Path, device: str, threads: int, what: str) -> dict[str, Any]:
    """A measurement in a new process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--threads", str(threads), "--devices", device]
    command += ["--measure", str(folder), what]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def line(count: int, folder: Path, device: str, threads: int) -> str:
    found = child(folder, device, threads, "seconds")
    seconds = found["seconds"]
    memory = [child(folder, device, threads, way)["memory"] for way in (SEPARATE, TOGETHER)]
    rates = " | ".join(f"{seconds[way]:.1f} | {count / seconds[way]:.2f}" for way in (SEPARATE, TOGETHER))
    return (
        f"| {device} | {count} | {found['images']} | {rates} | "
        f"{seconds[SEPARATE] / seconds[TOGETHER]:.2f} | {memory[0]:,.0f} | {memory[1]:,.0f} | "
        f"{found['difference']:.0e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("named", nargs="*", default=list(EVERY))
    parser.add_argument("--sets", type=int, nargs="+", default=list(SETS))
    parser.add_argument("--threads", type=int, default=1, help="a unit of a run has one")
    parser.add_argument("--devices", nargs="+", help="absent: cpu, and cuda if there is one")
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        folder, what = Path(asked.measure[0]), asked.measure[1]
        if what == "seconds":
            print(json.dumps(measure_seconds(folder, asked.threads, asked.devices[0])))
        else:
            print(json.dumps(measure_memory(folder, asked.threads, asked.devices[0], what)))
        return
    extractor = Extractor(asked.cache)
    available = [extractor.named(name).given for name in asked.named]
    facts = about() | {"threads": asked.threads}
    devices = asked.devices or (["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
    if "cuda" in devices:
        facts["gpu"] = torch.cuda.get_device_name()
    lines = [
        *heading("Many sets in one call", "speed/batched.py", facts),
        f"Sets of {SMALLEST} to {LARGEST} images, 32 x 32 tokens, features given: one by one with "
        "`congeal.align`, and in one call of `congeal.align_many`. Ratio: how many times quicker the one "
        "call is. Memory: what came on top of everything there was before, in MiB, one by one and in one "
        "call. Difference: between the forward maps of both ways at most, in frame units.",
        "",
        "| device | sets | images | s | sets/s | s in one call | sets/s | ratio | memory | in one call "
        "| difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    for count in asked.sets:
        with tempfile.TemporaryDirectory() as scratch:
            for number, one in enumerate(drawn(available, count)):
                place = Path(scratch) / f"{number:04}"
                place.mkdir()
                write(one, place)
            for device in devices:
                lines.append(line(count, Path(scratch), device, asked.threads))
                print(lines[-1], flush=True)
    if asked.record:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
