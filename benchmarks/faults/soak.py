"""Run after run in one process, as a worker does them by schedule, with images that come and go.

    python benchmarks/faults/soak.py [--runs 200] [--seconds 1500] [--record]

Before each run two images are taken away and two come, of twenty-four; every tenth run is followed by
`congeal prune`. Written down: resident memory, open files, threads, requests of a run, and what the
destination holds, files and bytes after a pruning. Each is to be flat: what the last third has is set beside
the middle third (the first has all that is imported once). Files of the report are counted apart: those that
no page names any more go when they are a day old, since whoever has a page open still reads them, and these
runs take less than an hour; of them the ones that the last report names are to be flat.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))

import psutil  # noqa: E402
import sample_runs  # noqa: E402

from benchmarks.faults import chaos  # noqa: E402
from infra.storage.location import Location  # noqa: E402
from infra.storage.usage import meter  # noqa: E402
from tasks.maintenance.prune import prune  # noqa: E402
from tasks.maintenance.verify import verify  # noqa: E402
from tasks.report.report_key import manifest_of  # noqa: E402
from tasks.report.tidy import tidy  # noqa: E402

RESULTS = HERE / "results" / "soak.md"
THERE, CHANGED, PRUNED = 12, 1, 10
ROWS = (
    ("seconds", "s a run"),
    ("memory", "resident memory, MiB"),
    ("handles", "open files"),
    ("threads", "threads"),
    ("requests", "requests to the store a run"),
    ("files", "files in the destination but for its report, after a pruning"),
    ("bytes", "KiB in the destination but for its report, after a pruning"),
    ("named", "files of the report that its newest pages name"),
    ("kept", "files of the report that are kept for a day"),
)
# What grows for a day, and then no more.
FOR_A_DAY = {"kept"}


def main() -> int:
    """The runs, the table; 1 if something has grown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, help="no further run after so long")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="congeal-soak-") as folder:
        seen, faults = soak(Path(folder), asked.runs, asked.seconds)
    runs = len(seen["memory"])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"python benchmarks/faults/soak.py --runs {asked.runs}"
    command += f" --seconds {asked.seconds:g}" if asked.seconds else ""
    load = f"load average {os.getloadavg()[2]:.1f} over a quarter of an hour"
    end = "not sound" if faults else "sound"
    about = f"`{command} --record`, {date.today()}, {machine}, {load}. **{runs} runs** were made; "
    about += f"at the end the destination was {end}."
    said = (__doc__ or "").split("\n\n")[2].strip()
    lines = ["| | middle third | last third |", "| --- | ---: | ---: |"]
    grown = bool(faults)
    for name, title in ROWS:
        middle, last = (median(part) for part in thirds(seen[name]))
        lines.append(f"| {title} | {middle:,.1f} | {last:,.1f} |")
        grown = grown or (name not in FOR_A_DAY | {"seconds"} and last > 1.1 * middle + 2)
    text = "\n".join(["# Runs by schedule", "", said, "", about, "", *lines]) + "\n"
    print(text)
    if asked.record:
        RESULTS.write_text(text)
    return int(grown)


def soak(home: Path, runs: int, seconds: float | None) -> tuple[dict[str, list[float]], list[str]]:
    """What was seen after each run, and what is wrong with the destination at the end."""
    weights = chaos._weights(home)
    settings = sample_runs.tiny(weights)
    source, place = home / "source", Location.parse(home / "out")
    chance, process = random.Random(0), psutil.Process()
    seen: dict[str, list[float]] = {name: [] for name, _ in ROWS}
    number = 0
    for kind in range(2):
        for number in range(THERE):
            put(source, kind, number)
    begun = time.monotonic()
    for run in range(runs):
        if seconds is not None and time.monotonic() - begun > seconds:
            break
        for kind in range(2):
            for path in chance.sample(sorted((source / str(kind)).iterdir()), CHANGED):
                path.unlink()
                number += 1
                put(source, kind, number)
        before, since = sum(sum(kinds.values()) for kinds in meter.total.requests.values()), time.monotonic()
        sample_runs.run(source, home / "out", settings)
        after = sum(sum(kinds.values()) for kinds in meter.total.requests.values())
        seen["seconds"].append(time.monotonic() - since)
        seen["requests"].append(after - before)
        if run % PRUNED == PRUNED - 1:
            prune(place, keep=2, older_than=0)
            count(home / "out", seen)
        gc.collect()
        seen["memory"].append(process.memory_info().rss / 2**20)
        seen["handles"].append(process.num_fds())
        seen["threads"].append(process.num_threads())
        print(f"run {run + 1}: {seen['memory'][-1]:.0f} MiB", file=sys.stderr, flush=True)
    return seen, list(verify(place)["faults"])


def count(out: Path, seen: dict[str, list[float]]) -> None:
    """What the destination holds; its report apart: what is left of a copy once it is tidied as if a day were
    over, and the rest of it.
    """
    files = files_in(out)
    report = files_in(out / "report")
    seen["files"].append(len(files) - len(report))
    seen["bytes"].append(sum(path.stat().st_size for path in set(files) - set(report)) / 1024)
    with tempfile.TemporaryDirectory(prefix="congeal-soak-report-") as folder:
        copy = Path(folder) / "report"
        shutil.copytree(out / "report", copy)
        place = Location.parse(copy)
        tidy(place, manifest_of(place).get("named", ()), timedelta(0))
        left = len(files_in(copy))
    seen["named"].append(left)
    seen["kept"].append(len(report) - left)


def files_in(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def put(source: Path, kind: int, number: int) -> None:
    """A picture that was not there before."""
    path = source / str(kind) / f"{number:05}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sample_runs.picture(kind, number))


def thirds(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The middle and the last."""
    third = max(1, len(values) // 3)
    return values[-2 * third : -third] or values, values[-third:]


def median(values: Sequence[float]) -> float:
    """Of what there is; 0 of nothing."""
    return statistics.median(values) if values else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
