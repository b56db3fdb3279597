"""A whole collection, from command to prompt, of two builds one after the other.

    python benchmarks/speed/collection_timing.py --before TREE_OR_REF [--after TREE_OR_REF] [--images FOLDER]
                                                 [--rounds N] [--record]

A build is a checkout with its own .venv, or a git ref, as in `command_to_answer.py`. Both run the folder,
which is that of `caltech_mix` if none is named (960 photographs of 28 kinds), with DINOv2-S, into a fresh
destination; in every second round the builds go in the other order. Every build has a home of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, shared
from benchmarks.common.destinations import heading
from benchmarks.common.watched_command import Watched
from benchmarks.speed.command_to_answer import Build, built

RESULTS = ROOT / "benchmarks" / "results" / "collection_timing.md"


def run_once(build: Build, images: Path, destination: Path) -> Watched:
    """The whole of it, into a fresh destination."""
    weights = f"features.weights={shared() / WEIGHTS}"
    return build.timed("run", str(images), str(destination), "--quiet", "--set", weights)


def row(build: Build, runs: list[Watched]) -> str:
    """Medians of a build's runs."""

    def middle(name: str) -> float:
        return statistics.median(float(getattr(run, name) or 0) for run in runs)

    return (
        f"| {build.name} ({build.what}) | {len(runs)} | {middle('seconds'):.0f} | {middle('processor'):.0f} "
        f"| {middle('rss') / 1e6:,.0f} | {middle('pss') / 1e6:,.0f} |"
    )


def main() -> None:
    """Set both builds up, run them by turns, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, metavar="TREE_OR_REF")
    parser.add_argument("--after", default=str(ROOT), metavar="TREE_OR_REF", help="absent: this checkout")
    parser.add_argument("--images", type=Path, help="absent: caltech_mix of the shared data")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    images = asked.images or shared() / "data" / "caltech_mix" / "images"
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="congeal-collection-") as folder, ExitStack() as stack:
        given = {"before": asked.before, "after": asked.after}
        builds = [stack.enter_context(built(name, where, Path(folder))) for name, where in given.items()]
        found: dict[str, list[Watched]] = {build.name: [] for build in builds}
        for number in range(asked.rounds):
            for build in builds if number % 2 == 0 else builds[::-1]:
                took = run_once(build, images, Path(folder) / f"{build.name}-{number}")
                found[build.name].append(took)
                print(json.dumps({"build": build.name} | vars(took)), flush=True)
    before, after = (statistics.median(run.seconds for run in found[build.name]) for build in builds)
    lines = [
        *heading("A whole collection", "speed/collection_timing.py --before before-speed"),
        f"`{images.parent.name}/{images.name}`, DINOv2-S; medians. Processor: user and system seconds of all "
        "processes. Memory: peak of the sum over all processes, resident and proportional (PSS). "
        f"Load average {load:.1f} at the start.",
        "",
        "| build | runs | to prompt, s | processor, s | RSS, MB | PSS, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(row(build, found[build.name]) for build in builds),
        "",
        f"Before: {before / after:.2f} times as long.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if asked.record:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
