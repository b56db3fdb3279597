"""A second run with nothing new: `congeal run` over a destination that has it all, in a process of its own.

    python benchmarks/scale/second_run.py [--sizes 10000 100000] [--record]

The source is a folder of so many small files, 1,000 in each of its folders; the destination has as many units
as such a collection has (slices of 512, shards of 46, clusters of 25, markers of the usual size), published
tables of it, Iceberg tables and a report. Nothing of that was computed: keys, markers and tables are made up,
and the command finds that they are what it would make.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.recording import tell
from benchmarks.scale import million, report_driver
from congeal.settings import load_settings
from flows.runs.prepare import prepare
from infra.ledger.commits import digest
from infra.ledger.publications import publish, published
from infra.storage.location import Location
from infra.threads import run_in_threads
from tasks.publication.manifest import describe

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results" / "second_run.md"
CHOSEN = ("features.backbone=embedded", "features.engine=torch")


def source_of(folder: Path, count: int) -> Path:
    """So many small files."""
    for start in range(0, count, 1_000):
        place = folder / f"{start // 1_000:04}"
        place.mkdir(parents=True)
        for number in range(start, min(start + 1_000, count)):
            (place / f"{number:08}.jpg").write_bytes(b"\xff\xd8\xff" + number.to_bytes(8))
    return folder


def done(source: Path, out: Path, count: int) -> None:
    """A destination that says it has all of that source."""
    place = Location.parse(out)
    settings = load_settings(None, CHOSEN)
    job = prepare(str(source), str(out), settings, writing=False, comparing=False)
    job.survey.close()
    report_driver.made_up(place, count)
    first = published(place)
    assert first is not None
    counts = {"catalog": count // million.SLICE + 1, "features": count // million.SHARD + 1, "clusters": 1,
              "atlases": count // million.CLUSTER}  # fmt: skip
    units: dict[str, Any] = dict(first.units)
    for stage, number in counts.items():
        names = [digest(stage, one) for one in range(number)]
        each = million.SHARD if stage == "features" else 0
        record = {"image_ids": [million.image(one) for one in range(each)], "failed": {}, "unread": []}
        record |= {"status": "ok", "name": None, "n_outliers": 1, "n_images": 25}
        run_in_threads(
            lambda unit, stage=stage, record=record: million.write_marker(place, stage, "s", unit, record),
            names,
        )
        units[stage] = [f"s/{name}" for name in names]
    wanted = {"run_key": job.key, "units": units, "source": job.source.url}
    publication = first.model_copy(update=wanted)
    describe(place, publication)
    publish(place, publication)


def command(source: Path, out: Path) -> dict[str, float]:
    """The command; seconds on the clock, of a processor, and its peak of memory in MiB."""
    arguments = [sys.executable, "-m", "flows.cli", "run", str(source), str(out)]
    arguments += [part for one in CHOSEN for part in ("--set", one)]
    code = (
        "import os, resource, subprocess, sys; status = subprocess.run(sys.argv[1:]).returncode; "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, status)"
    )
    begin = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    *said, last = told.stdout.splitlines()
    processor, peak, status = map(float, last.split())
    if status:
        raise SystemExit(told.stderr)
    return {"seconds": seconds, "processor": processor, "peak": peak, "idle": "othing to do" in "".join(said)}


def main() -> None:
    """Each size; the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=(10_000, 100_000))
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.name}")
    asked = parser.parse_args()
    lines = ["| images | s | processor's s | peak memory, MiB |", "| ---: | ---: | ---: | ---: |"]
    for count in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="congeal-second-run-") as home:
            source, out = source_of(Path(home) / "source", count), Path(home) / "out"
            million.apart(partial(done, source, out, count))
            million.apart(partial(report_driver.reported, Location.parse(out), count))
            command(source, out)  # brings the Iceberg tables up to date
            found = command(source, out)
        row = f"{found['seconds']:.1f} | {found['processor']:.1f} | {found['peak']:,.0f}"
        lines.append(f"| {count:,} | {row} |")
        print(lines[-1], found["idle"], flush=True)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    said = f"Load of the machine over 1, 5 and 15 minutes: {load}."
    tell("A second run with nothing new", "scale/second_run.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
