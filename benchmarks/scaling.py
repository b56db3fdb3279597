"""Seconds and memory of `congeal.align` by the number of images, features given.

    python benchmarks/scaling.py [--sizes N …] [--threads N] [--before TREE] [--rounds N] [--cache FOLDER]
                                 [--record]

The images are all 178 photographs of three species of albatross, each by the square around its box, in a
fixed random order; beyond that, the first ones again by a random square of eight to ten tenths of the side
within it. Each size is measured in processes of their own, after the inputs have been read: three calls up to
50 images, one call beyond. The last row builds an atlas of 40 images and fits 160 to it, as a run does it
with a set that is larger than atlases.atlas_size. With --before, an older checkout with a .venv of its own
and this one take turns, and their poses are compared. Seconds are the median of all calls. With --record,
results go to benchmarks/results/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
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


def child(tree: Path, folder: Path, builders: int, fitted: int, threads: int) -> dict[str, Any]:
    """What a checkout takes, in a new process, and its answer."""
    python = tree / ".venv" / "bin" / "python"
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
    answer = folder / "answer.npz"
    calls = 1 if builders + fitted >= ONCE_FROM else REPEATS
    command = [str(python) if tree != ROOT else sys.executable, str(ROOT / "benchmarks" / "align_timing.py")]
    command += [str(folder), str(builders), str(fitted), "--calls", str(calls), "--threads", str(threads)]
    command += ["--answer", str(answer)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    with np.load(answer) as stored:
        return found | {"poses": dict(stored)}


def taken(trees: list[Path], rounds: int, *what: Any) -> list[dict[str, Any]]:
    """What each checkout takes; they take turns. Of figures but seconds the last."""
    found: list[dict[str, Any]] = [{} for _ in trees]
    for _ in range(rounds):
        for one, tree in zip(found, trees, strict=True):
            new = child(tree, *what)
            for name in ("seconds", "processor"):
                new[name] = one.get(name, []) + new[name]
            one.update(new)
    return found


def line(builders: int, fitted: int, found: dict[str, Any]) -> str:
    seconds = statistics.median(found["seconds"])
    return (
        f"| {titled(builders, fitted)} | {found['deformation']} | {len(found['seconds'])} | {seconds:.1f} | "
        f"{statistics.median(found['processor']):.1f} | {seconds / (builders + fitted):.2f} | "
        f"{found['inputs']:,.0f} | {found['peak'] - found['before']:,.0f} | {found['peak']:,.0f} |"
    )


def titled(builders: int, fitted: int) -> str:
    return f"{builders} + {fitted} fitted" if fitted else f"{builders}"


def compared(builders: int, fitted: int, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Both builds' seconds, and how far their poses are apart, once the atlases lie on each other."""
    ratios = [
        statistics.median(old[name]) / statistics.median(new[name]) for name in ("seconds", "processor")
    ]
    turn, size, shift, states, outliers = apart(old["poses"], new["poses"])
    return (
        f"| {titled(builders, fitted)} | {statistics.median(old['seconds']):.1f} | "
        f"{statistics.median(new['seconds']):.1f} | {ratios[0]:.1f} | {ratios[1]:.1f} | "
        f"{old['peak'] - old['before']:,.0f} | {new['peak'] - new['before']:,.0f} | "
        f"{turn:.1f} | {100 * size:.1f} | {100 * shift:.1f} | {states} | {outliers} |"
    )


def apart(old: dict[str, Any], new: dict[str, Any]) -> tuple[float, float, float, int, int]:
    """Median degrees, share of the size, share of the size; other mirror states, and other outliers."""
    complex_of = [
        (
            one["scale"] * np.exp(1j * one["rotation"]),
            # The translation is that of the image as it is, not of the mirrored one.
            np.where(one["mirrored"], -1, 1) * one["translation"][:, 0] + 1j * one["translation"][:, 1],
        )
        for one in (old, new)
    ]
    (a, b), (c, d) = complex_of
    other = old["mirrored"] != new["mirrored"]
    if 2 * other.sum() > len(other):  # the whole atlas lies the other way round
        other, c, d = ~other, c.conj(), -d.conj()
    fits = ~(old["outlier"] | new["outlier"] | other)
    ratio, step = (a / c)[fits], ((b - d) / c)[fits]
    s, t = (np.median(z.real) + 1j * np.median(z.imag) for z in (ratio, step))
    turned, moved = c * s / a, np.abs(c * t + d - b) / np.abs(a)
    return (
        float(np.median(np.abs(np.degrees(np.angle(turned[fits]))))),
        float(np.median(np.abs(np.log(np.abs(turned[fits]))))),
        float(np.median(moved[fits])),
        int(other.sum()),
        int((old["outlier"] != new["outlier"]).sum()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--before", type=Path, metavar="TREE", help="an older checkout beside this one")
    parser.add_argument("--rounds", type=int, default=1, help="how often each size is measured")
    asked = parser.parse_args()
    trees = [ROOT] if asked.before is None else [asked.before.resolve(), ROOT]
    extractor = Extractor(asked.cache)
    every = shown(max(*asked.sizes, BUILDERS + FITTED))
    squares = (extractor.read(path, crop) for path, crop in every)
    given = extractor.given("scaling", squares, [Frame(crop.side, crop.side) for _, crop in every])
    facts = about() | {"threads": asked.threads}
    lines = [
        *heading("Seconds and memory of `congeal.align`", "scaling.py", facts),
        "Albatrosses, 32 x 32 tokens, features given; 178 photographs, beyond that other crops of the same. "
        "Memory: of the inputs as they are given, of what came on top of everything there was before the "
        "call, and of the whole process, in MiB. Seconds, and those of all threads together: median of the "
        "calls.",
        "",
        "| images | deformation | calls | s | processor s | s an image | inputs | on top | whole |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    beside = [
        "",
        "Beside an older build, which took turns with this one: seconds, how many times quicker, and that by "
        "processor seconds; memory on top; how far the poses are apart, once the atlases lie on each other, "
        "at the median of the images in both: degrees, size and place in percent of the object's size; and "
        "how many images are in another mirror state, or outliers in one of the two.",
        "",
        "| images | s before | s | ratio | processor | on top before | on top | ° | size % | place % "
        "| mirrored | outliers |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        write(given, Path(scratch))
        del given
        for builders, fitted in [*((size, 0) for size in asked.sizes), (BUILDERS, FITTED)]:
            found = taken(trees, asked.rounds, Path(scratch), builders, fitted, asked.threads)
            lines.append(line(builders, fitted, found[-1]))
            print(lines[-1], flush=True)
            if len(found) > 1:
                beside.append(compared(builders, fitted, *found))
                print(beside[-1], flush=True)
    if len(trees) > 1:
        lines += beside
    if asked.record:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
