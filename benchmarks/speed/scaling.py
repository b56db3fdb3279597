"""Seconds and memory of `congeal.align` by the number of images, features given.

    python benchmarks/speed/scaling.py [--sizes N …] [--fitted N] [--threads N …] [--before TREE] [--rounds N]
                                 [--cache FOLDER] [--embedded] [--record]

The images are all 178 photographs of three species of albatross, each by the square around its box, in a
fixed random order; beyond that, the first ones again by a random square of eight to ten tenths of the side
within it. Each size is measured in a process of its own, after the inputs have been read and the set has been
aligned once: three calls up to 50 images, one call beyond, or --rounds. The last row builds an atlas of 40
images and fits 160 to it, as a run does it with a set that is larger than atlases.atlas_size; --fitted 0
leaves it out. With --before, an older checkout with a .venv of its own and this one take turns, call by call,
and their poses are compared. Seconds are medians. With --record, results go to benchmarks/results/scaling.md,
or, with --embedded, to scaling_embedded.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.destinations import about, heading
from benchmarks.common.set_features import ARRAYS, Extractor, Given, place_of
from benchmarks.common.turns import Build, take_turns
from congeal.evaluation.datasets import load
from congeal.evaluation.protocols import Crop, named, views
from congeal.geometry.frames import Frame

RESULTS = ROOT / "benchmarks" / "results" / "scaling.md"
EMBEDDED = RESULTS.with_name("scaling_embedded.md")
SETS = ("cub/001", "cub/002", "cub/003")
SIZES = (5, 10, 20, 50, 100, 200)
BUILDERS, FITTED = 40, 160
ROUNDS, ONCE_FROM = 3, 100


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


def measured(
    trees: list[Path], folder: Path, builders: int, fitted: int, threads: int, rounds: int | None
) -> tuple[list[Build], list[dict[str, Any]]]:
    """What each checkout takes, by turns, and the poses that it finds."""
    script = str(ROOT / "benchmarks" / "speed" / "align_timing.py")
    size = [str(folder), str(builders), str(fitted), "--threads", str(threads)]
    builds, poses = [], []
    with ExitStack() as stack:
        for number, tree in enumerate(trees):
            answer = folder / f"answer-{number}.npz"
            arguments = [script, *size, "--answer", str(answer)]
            builds.append(stack.enter_context(Build(tree, arguments, threads)))
            with np.load(answer) as stored:
                poses.append(dict(stored))
        usual = 1 if builders + fitted >= ONCE_FROM else ROUNDS
        take_turns(builds, usual if rounds is None else rounds)
    return builds, poses


def line(builders: int, fitted: int, threads: int, build: Build) -> str:
    wall, cpu = build.medians
    told = build.ready
    return (
        f"| {titled(builders, fitted)} | {threads} | {told['deformation']} | {len(build.wall) or 1} | "
        f"{wall:.2f} | {cpu:.2f} | {wall / (builders + fitted):.2f} | "
        f"{told['inputs']:,.0f} | {told['peak'] - told['before']:,.0f} | {told['peak']:,.0f} |"
    )


def titled(builders: int, fitted: int) -> str:
    return f"{builders} + {fitted} fitted" if fitted else f"{builders}"


def compared(
    builders: int, fitted: int, threads: int, builds: list[Build], poses: list[dict[str, Any]]
) -> str:
    """Both builds' seconds, and how far their poses are apart, once the atlases lie on each other."""
    old, new = builds
    cells = [titled(builders, fitted), f"{threads}"]
    for before, now in zip(old.medians, new.medians, strict=True):
        cells += [f"{before:.2f}", f"{now:.2f}", f"{before / now:.2f}"]
    cells += [f"{build.ready['peak'] - build.ready['before']:,.0f}" for build in builds]
    turn, size, shift, states, outliers = apart(*poses)
    cells += [f"{turn:.1f}", f"{100 * size:.1f}", f"{100 * shift:.1f}", f"{states}", f"{outliers}"]
    return f"| {' | '.join(cells)} |"


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--fitted", type=int, default=FITTED, help=f"beyond an atlas of {BUILDERS}")
    parser.add_argument("--threads", type=int, nargs="*", default=[2])
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--embedded", action="store_true", help="features of the package's own backbone")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--before", type=Path, metavar="TREE", help="an older checkout beside this one")
    parser.add_argument("--rounds", type=int, help="timed calls of each build and size; 0: the first")
    asked = parser.parse_args()
    trees = [ROOT] if asked.before is None else [asked.before, ROOT]
    wanted = [(size, 0) for size in asked.sizes]
    if asked.fitted:
        wanted.append((BUILDERS, asked.fitted))
    extractor = Extractor(asked.cache, embedded=asked.embedded)
    every = shown(max(sum(size) for size in wanted))
    squares = (extractor.read(path, crop) for path, crop in every)
    given = extractor.given("scaling", squares, [Frame(crop.side, crop.side) for _, crop in every])
    script = f"scaling.py{' --embedded' if asked.embedded else ''}{' --before TREE' if asked.before else ''}"
    ours = {"backbone": "embedded"} if asked.embedded else {}
    lines = [
        *heading("Seconds and memory of `congeal.align`", script, about() | ours),
        f"Albatrosses, 32 x 32 tokens, features{' of the embedded backbone' if asked.embedded else ''} "
        "given; 178 photographs, beyond that other crops of the same. "
        "Memory: of the inputs as they are given, of what the first call took on top of everything there was "
        "before it, and of the whole process, in MiB. Wall-clock seconds, and CPU seconds of all threads: "
        "medians of the calls after it, or, with --rounds 0, of that call itself.",
        "",
        "| images | threads | deformation | calls | s | CPU s | s an image | inputs | on top | whole |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    beside = [
        "",
        "Beside an older build, which took turns with this one: wall-clock and CPU seconds, and how many "
        "times quicker; memory on top; how far the poses are apart, once the atlases lie on each other, "
        "at the median of the images in both: degrees, size and place in percent of the object's size; and "
        "how many images are in another mirror state, or outliers in one of the two.",
        "",
        "| images | threads | s before | s | ratio | CPU s before | CPU s | ratio | on top before | on top "
        "| ° | size % | place % | mirrored | outliers |",
        f"| --- {'| ---: ' * 14}|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        write(given, Path(scratch))
        del given
        for threads in asked.threads:
            for builders, fitted in wanted:
                builds, poses = measured(trees, Path(scratch), builders, fitted, threads, asked.rounds)
                lines.append(line(builders, fitted, threads, builds[-1]))
                print(lines[-1], flush=True)
                if len(builds) > 1:
                    beside.append(compared(builders, fitted, threads, builds, poses))
                    print(beside[-1], flush=True)
    if len(trees) > 1:
        lines += beside
    if asked.record:
        (EMBEDDED if asked.embedded else RESULTS).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
