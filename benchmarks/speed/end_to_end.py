"""A whole run from files to a published version, with a stand-in for the backbone: what an image takes.

    python benchmarks/speed/end_to_end.py --images 1000 10000 [--piece 540] [--home FOLDER] [--tree CHECKOUT]

Pictures and backbone are those of stand_in.py: 64 channels on 16 × 16 cells, 25 pictures a cluster. A run is
cut into pieces by limits.budget_seconds, and goes on where it was; seconds, also those of the processor, are
those of all pieces together, memory is the most that the process of the command held. Then the same once
more, with nothing new. --tree: another build, which knows no budget and runs in one piece, nor folders as
sets: there --method=auto for both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import psutil  # noqa: E402

from benchmarks.common import stand_in  # noqa: E402
from benchmarks.common.destinations import about  # noqa: E402

RESULTS = HERE / "results" / "end_to_end.md"
SPENT = 3  # exit status of a run whose budget is spent


def made(home: Path, count: int) -> Path:
    """A folder of so many pictures."""
    folder = home / "in"
    there = sum(1 for _ in folder.glob("*/*/*.jpg"))
    for name, data in stand_in.pictures(count - there, there):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def run(tree: Path, home: Path, piece: float | None, method: str) -> dict[str, Any]:
    """One command; its exit status, seconds, those of the processor, and the most memory of its process."""
    chosen = [one for one in stand_in.settings(stand_in.weights(home)) if "clusters.method" not in one]
    chosen.append(f"clusters.method={method}")
    if piece is not None:
        chosen.append(f"limits.budget_seconds={piece:g}")
    options = [part for one in chosen for part in ("--set", one)]
    python = tree / ".venv/bin/python"
    command = [str(python if python.exists() else sys.executable), "-m", "flows.cli", "run"]
    command += [str(home / "in"), str(home / "out"), *options, "--json"]
    begin, spent = time.perf_counter(), dict[int, float]()  # seconds of the processor, by process
    with (home / "said.json").open("wb") as said, (home / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(tree)}, cwd=tree, stdout=said, stderr=errors
        )
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            with suppress(psutil.Error):
                peak = max(peak, watched.memory_info().rss)
                for one in (watched, *watched.children(recursive=True)):
                    with suppress(psutil.Error):
                        spent[one.pid] = sum(one.cpu_times()[:2])
            time.sleep(0.2)
    if process.returncode not in (0, SPENT):
        raise SystemExit((home / "errors.txt").read_text())
    return {
        "spent": process.returncode == SPENT,
        "seconds": time.perf_counter() - begin,
        "processor": sum(spent.values()),
        "peak": peak / 2**20,
    }


def measure(tree: Path, home: Path, count: int, piece: float | None, method: str) -> list[str]:
    """The row of the table."""
    made(home, count)
    log = home / "pieces.json"  # a measurement, too, goes on where it was
    pieces: list[dict[str, Any]] = json.loads(log.read_text()) if log.exists() else []
    while not pieces or pieces[-1]["spent"]:
        pieces.append(run(tree, home, piece, method))
        log.write_text(json.dumps(pieces))
        print(f"{count} images: {pieces[-1]}", file=sys.stderr, flush=True)
    again = run(tree, home, None, method)
    seconds, processor = (sum(one[name] for one in pieces) for name in ("seconds", "processor"))
    peak = max(one["peak"] for one in pieces)
    return [
        f"{count:,}",
        str(len(pieces)),
        f"{seconds:,.0f}",
        f"{seconds / count:.3f}",
        f"{processor / count:.3f}",
        f"{peak:,.0f}",
        f"{again['seconds']:.1f}",
        f"{again['peak']:,.0f}",
        f"{os.getloadavg()[2]:.0f}",
    ]


def main() -> None:
    """Each size; the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--piece", type=float)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--tree", type=Path, default=HERE.parent)
    parser.add_argument("--method", default="folder", help="clusters.method")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    lines = [
        "| images | pieces | s | s an image | processor's | driver, MiB | once more, s | MiB | load |",
        f"|{' ---: |' * 9}",
    ]
    for count in asked.images:
        with tempfile.TemporaryDirectory(prefix="congeal-end-") as folder:
            home = Path(folder) if asked.home is None else asked.home / str(count)
            home.mkdir(parents=True, exist_ok=True)
            lines.append(
                f"| {' | '.join(measure(asked.tree.resolve(), home, count, asked.piece, asked.method))} |"
            )
            print(lines[-1], flush=True)
    said = (__doc__ or "").split("\n\n", 2)[2].strip()
    machine = {key: value for key, value in about().items() if key != "backbone"}
    sizes = " ".join(map(str, asked.images))
    piece = f" --piece {asked.piece:g}" if asked.piece else ""
    command = (
        f"`python benchmarks/speed/end_to_end.py --images {sizes}{piece} --record`, {json.dumps(machine)}"
    )
    if asked.record:
        RESULTS.write_text("\n".join(["# From files to a version", "", said, "", command, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
