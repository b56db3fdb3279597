"""Seconds of `congeal.align` in this checkout and in another one, one call after the other.

    python benchmarks/align_speed.py --before TREE [--sizes N …] [--threads N …] [--repeats N]
                                     [--cache FOLDER] [--inputs FOLDER] [--record]

The images are those of scaling.py, features given. Each build answers from a process of its own, by the
Python of its `.venv` if it has one, which has aligned the set once before it is measured; the two take turns,
so that what else the machine does slows both. Wall clock and processor seconds of a call: medians. With
--record, results go to benchmarks/results/align_speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from annotated_sets import ROOT
from destinations import about, heading
from scaling import shown, write
from set_features import Extractor

from congeal.geometry.frames import Frame

RESULTS = ROOT / "benchmarks" / "results" / "align_speed.md"
SIZES = (5, 10, 20, 50)
THREADS = (1, 2)
REPEATS = 5


class Build:
    """A checkout, and a process of it that aligns a set on demand."""

    def __init__(self, tree: Path, folder: Path, count: int, threads: int) -> None:
        python = tree / ".venv" / "bin" / "python"
        script = Path(__file__).with_name("align_calls.py")
        command = [str(python if python.exists() else sys.executable), str(script), str(folder)]
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [*command, str(count), str(threads)],
            cwd=tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun = self._told()
        if not Path(begun["file"]).is_relative_to(tree.resolve()):
            raise SystemExit(f"{tree} was asked for, and {begun['file']} answers")
        self.answers: list[dict[str, Any]] = []

    def measure(self) -> None:
        """One call more."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.answers.append(self._told())

    def median(self, field: str) -> float:
        """Of all calls; field: "wall" or "processor"."""
        return statistics.median(one[field] for one in self.answers)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a build ended before it answered: see above")
        found: dict[str, Any] = json.loads(line)
        return found


def row(count: int, threads: int, builds: list[Build]) -> str:
    """The line of a size; builds: the other, then this one."""
    before, after = builds
    cells = [f"{count}", f"{threads}"]
    for field in ("wall", "processor"):
        old, new = before.median(field), after.median(field)
        cells += [f"{old:.2f}", f"{new:.2f}", f"{old / new:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the build to compare with")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--threads", type=int, nargs="*", default=list(THREADS))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--cache", type=Path, help="where features are kept for the next time")
    parser.add_argument("--inputs", type=Path, help="a folder with these inputs, made if it is not there")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    lines = [
        *heading("Seconds of `congeal.align`, before and after", "align_speed.py", about()),
        "Albatrosses, 32 x 32 tokens, features given; medians of "
        f"{asked.repeats} calls each, the two builds in turn. s: wall clock; CPU s: of all threads.",
        "",
        "| images | threads | s before | s after | ratio | CPU s before | CPU s after | ratio |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.inputs or Path(scratch)
        if not (folder / "extent.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            every = shown(max(asked.sizes))
            extractor = Extractor(asked.cache)
            squares = (extractor.read(path, crop) for path, crop in every)
            frames = [Frame(crop.side, crop.side) for _, crop in every]
            write(extractor.given("scaling", squares, frames), folder)
        for threads in asked.threads:
            for count in asked.sizes:
                builds = [Build(tree, folder, count, threads) for tree in (asked.before, ROOT)]
                for _ in range(asked.repeats):
                    for build in builds:
                        build.measure()
                lines.append(row(count, threads, builds))
                print(lines[-1], flush=True)
                for build in builds:
                    build.close()
    if asked.record:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
