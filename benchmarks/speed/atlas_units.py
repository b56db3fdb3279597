"""Seconds and memory of a unit of the atlases stage, a cluster of 40 images, of two builds in turns.

    python benchmarks/speed/atlas_units.py --before CHECKOUT [--sets cub/001 …] [--images 40] [--rounds 5]
                                     [--threads 1] [--embedded] [--keep FOLDER] [--record]

CHECKOUT: another build, with its own environment in `.venv`. Each build runs on the same photographs, one
cluster, up to its published version; what it gave the function that makes an atlas is kept. Then a process of
each, in which everything is imported, makes that unit anew for every round, from stored features to committed
maps, tables and pictures, one build after the other. Memory: what the first time takes at most on top of what
the process had before. Wall-clock and CPU seconds are medians over the rounds after it. A second look is part
of what this build does and the other one may not have known; it has a row without. --keep: the runs stay in
FOLDER, and are not made again the next time. With --record, results go to benchmarks/results/atlas_units.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, shared
from benchmarks.common.recording import tell
from benchmarks.common.set_features import place_of
from benchmarks.common.turns import Build, beside_first, take_turns
from benchmarks.speed.features_speed import processor
from congeal.evaluation.datasets import load

RESULTS = ROOT / "benchmarks" / "results" / "atlas_units.md"
SETS = ("cub/001", "cub/002")
ONE_PROCESS = ("engine.kind=loop", "engine.threads=1", "features.device=cpu", "clusters.method=single")
# Both run in either build: what is in its modules is found by where it lies.
RUN = """
import importlib, importlib.util, json, pickle, sys
asked = json.loads(sys.argv[1])
grouped = importlib.util.find_spec("congeal.alignment") is not None
stage = importlib.import_module("tasks.atlases.atlases_stage" if grouped else "tasks.atlases")
make = stage.make_atlas
def kept(unit, *others):
    with open(asked["unit"], "wb") as file:
        pickle.dump(unit, file)
    return make(unit, *others)
stage.make_atlas = kept
options = [part for setting in asked["settings"] for part in ("--set", setting)]
sys.argv = ["congeal", "run", asked["source"], asked["destination"], "--quiet", *options]
importlib.import_module("congeal_floors" if grouped else "flows.cli").main()
"""
UNIT = """
import importlib, importlib.util, json, pickle, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
asked = json.loads(sys.argv[1])
grouped = importlib.util.find_spec("congeal.alignment") is not None
if grouped:
    importlib.import_module("congeal_floors").own()
import torch
import congeal
stage = importlib.import_module("tasks.atlases.atlases_stage" if grouped else "tasks.atlases")
importlib.import_module("congeal.alignment.solver" if grouped else "congeal.solver")
importlib.import_module("congeal.imaging.visualization" if grouped else "congeal.rendering")
with open(asked["unit"], "rb") as file:
    unit = pickle.load(file)
def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
def made():
    with tempfile.TemporaryDirectory() as folder:
        place = type(unit.address.destination).parse(folder)
        own = replace(unit, address=replace(unit.address, destination=place), threads=asked["threads"])
        wall, cpu = time.perf_counter(), time.process_time()
        marker = stage.make_atlas(own)
        return [time.perf_counter() - wall, time.process_time() - cpu], marker
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
first, marker = made()
facts = {"before": before, "top": memory("VmHWM") - before, "timings": dict(marker.timings)}
print(json.dumps({"file": congeal.__file__, "first": first, **facts}), flush=True)
for line in sys.stdin:
    print(json.dumps(made()[0]), flush=True)
"""
NOT_OURS = ("CONGEAL_", "PREFECT_", "PYTHON")


@dataclass(frozen=True)
class Case:
    """A build, and with what settings it runs beside the usual ones."""

    title: str
    tree: Path
    settings: tuple[str, ...] = ()


def photographs(name: str, count: int, into: Path) -> None:
    """The first of a set, whole."""
    if into.exists():
        return
    into.mkdir(parents=True)
    files = sorted({image.path for image in load(place_of(name)).images})[:count]
    if len(files) < count:
        raise SystemExit(f"{name} has {len(files)} images, not {count}.")
    for file in files:
        shutil.copy2(file, into / file.name)


def prepared(case: Case, source: Path, folder: Path, backbone: str) -> Path:
    """Run a build on a folder of images, unless that is done; the file with the unit that made the atlas."""
    unit = folder / "unit.pickle"
    if unit.exists():
        return unit
    folder.mkdir(parents=True, exist_ok=True)
    asked = {
        "source": str(source),
        "destination": str(folder / "destination"),
        "settings": [*ONE_PROCESS, backbone, *case.settings],
        "unit": str(unit),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    environment |= {
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(case.tree),
        "PREFECT_HOME": str(folder / "prefect"),
    }
    environment |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "900"}
    command = [str(case.tree / ".venv/bin/python"), "-W", "ignore", "-c", RUN, json.dumps(asked)]
    done = subprocess.run(
        command, cwd=case.tree, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode or not unit.exists():
        raise SystemExit(f"{case.tree}:\n{done.stdout}{done.stderr}")
    return unit


def rows(name: str, cases: list[Case], units: list[Path], rounds: int, threads: int, count: int) -> list[str]:
    """The rows of a set with so many threads."""
    with ExitStack() as stack:
        builds = []
        for case, unit in zip(cases, units, strict=True):
            asked = json.dumps({"unit": str(unit), "threads": threads})
            builds.append(stack.enter_context(Build(case.tree, ["-W", "ignore", "-c", UNIT, asked], threads)))
        take_turns(builds, rounds)
    lines = []
    for case, build, found in zip(cases, builds, beside_first(builds), strict=True):
        told = build.ready
        solver = told["timings"].get("solver", 0.0)
        lines.append(
            f"| {name} | {count} | {threads} | {case.title} | {found.wall:.2f} | {found.faster:.2f} | "
            f"{found.cpu:.2f} | {found.cpu_faster:.2f} | {solver:.2f} | "
            f"{told['before']:,.0f} | {told['top']:,.0f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run both builds on every set, then make their units by turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1])
    parser.add_argument("--embedded", action="store_true", help="features of the package's own backbone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the runs stay for the next time")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    weights = f"features.weights={shared() / WEIGHTS}"
    backbone = "features.backbone=embedded" if asked.embedded else weights
    cases = [
        Case("before", asked.before.resolve()),
        Case("now", ROOT),
        Case("now, without a second look", ROOT, ("alignment.second_look=off",)),
    ]
    lines = [
        "| set | images | threads | build | s | × | CPU s | × | solver, first, s | idle, MiB | on top, MiB |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory(prefix="congeal-atlas-units-") as scratch:
        place = Path(scratch) if asked.keep is None else asked.keep.resolve()
        for name in asked.sets:
            kept = place / f"{name.replace('/', '-')}-{asked.images}{'-embedded' if asked.embedded else ''}"
            photographs(name, asked.images, kept / "photographs")
            units = [
                prepared(case, kept / "photographs", kept / f"{number}", backbone)
                for number, case in enumerate(cases)
            ]
            for threads in asked.threads:
                lines += rows(name, cases, units, asked.rounds, threads, asked.images)
    said = (
        "A cluster's unit, from stored features to committed maps, tables and pictures; the process has "
        "everything imported. Memory: of that process when idle, and what the first unit took at most on top "
        f"of it. Medians of {asked.rounds} rounds in turns; ×: beside the build before.\n\n"
        f"Processor: {processor()}."
    )
    tell("A unit of the atlases stage", "speed/atlas_units.py", said, lines, RESULTS, asked.record)


if __name__ == "__main__":
    main()
