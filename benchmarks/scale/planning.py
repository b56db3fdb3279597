"""What planning a long list takes: `congeal plan LIST`, in a process of its own.

    python benchmarks/scale/planning.py [--rows 1000000] [--record]

The list is an inventory: path, bytes, tag, and three columns of its owner's. Of its images only those exist
that a plan looks at, links to the project's own samples: nothing else of the source is asked for. The first
row of the table is the reading of the list alone, the second the whole plan, with the embedded backbone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.common.annotated_sets import ROOT
from benchmarks.common.recording import tell

RESULTS = Path(__file__).parents[1] / "results" / "planning.md"
SAMPLES = ROOT / "samples"
READ = """
import sys
from congeal.settings import load_settings
from flows.planning.sample_choice import WIDER, chosen
from infra.storage.image_source import image_source
from tasks.catalog.source_listing import Survey
settings = load_settings(None, [])
with Survey(image_source(sys.argv[1], (), (), None), settings.catalog, settings.source) as survey:
    assert survey.images == int(sys.argv[2])
    print(*(entry.path for entry in chosen(survey, WIDER * settings.plan.sample)), sep="\\n")
"""


def write(place: Path, rows: int) -> None:
    """A CSV of so many rows."""
    with place.open("w") as file:
        file.write("uri,bytes,etag,species,taken,camera\n")
        for row in range(rows):
            taken = f"20{10 + row % 15}-{1 + row % 12:02d}-{1 + row % 28:02d}"
            file.write(
                f"photos/{row % 1000:03d}/{row:07d}.jpg,{100_000 + row % 5_000},{row:032x},"
                f"species {row % 300},{taken},{row % 40}\n"
            )


def watched(process: subprocess.Popen[str]) -> int:
    """Bytes that a process and those below it have had at most, looked at ten times a second."""
    me, most = psutil.Process(process.pid), 0
    while process.poll() is None:
        total = 0
        with contextlib.suppress(psutil.Error):
            for one in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += one.memory_info().rss
        most = max(most, total)
        time.sleep(0.1)
    return most


def timed(*command: str) -> tuple[str, str]:
    """What a command prints, and a line of its wall seconds, processor seconds and most memory.

    Memory is what the process and all that it starts have resident, added up.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        most = watched(process)
        status = process.wait()
        wall = time.perf_counter() - begin
        if status:
            raise SystemExit(f"{command} ended with {status}")
        out.seek(0)
        text = out.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return text, f"{wall:.1f} | {cpu:.1f} | {most / 2**20:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    pictures = sorted(path for path in SAMPLES.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    with tempfile.TemporaryDirectory(prefix="planning-") as folder:
        place = Path(folder) / "list.csv"
        write(place, asked.rows)
        sampled, listing = timed(sys.executable, "-c", READ, str(place), str(asked.rows))
        for number, path in enumerate(sampled.splitlines()):
            link = Path(folder) / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(pictures[number % len(pictures)])
        command = [sys.executable, "-m", "congeal", "plan", str(place), "--set", "features.backbone=embedded"]
        said, whole = timed(*command)
    print(said)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    lines = [
        f"| {asked.rows:,} rows | seconds | processor seconds | most memory, MiB |",
        "| --- | ---: | ---: | ---: |",
        f"| the list is read | {listing} |",
        f"| the whole plan | {whole} |",
    ]
    tell(
        "Planning a long list",
        "scale/planning.py",
        f"A CSV. Load of the machine over 1, 5 and 15 minutes: {load}.",
        lines,
        RESULTS,
        asked.record,
        "embedded",
    )


if __name__ == "__main__":
    main()
