"""Whether two builds of congeal give the same results, byte for byte.

    python benchmarks/accuracy/same_bytes.py BEFORE AFTER [--images FOLDER … [--weights FILE]] [--into FOLDER]
    python benchmarks/accuracy/same_bytes.py AFTER --before-destination DEST …
    python benchmarks/accuracy/same_bytes.py compare DEST DEST
    python benchmarks/accuracy/same_bytes.py record DEST FILE.json

BEFORE and AFTER are checkouts, each with its own .venv. Without --images: the samples with the embedded
backbone and, where the shared data are, PF-WILLOW with DINOv2. A line a table, array, kind of picture or
record says "same" or what differs first. Then AFTER runs on a copy of what BEFORE left: it must find every
unit made. --before-destination compares with destinations that were kept, such as --into leaves in
FOLDER/before; images and backbone are those of their runs. The images must lie untouched between: the times
of the files enter the names of units, so a copy of a folder is another source. compare takes files of record,
too. Exits 1 on any difference. What says when, where and with what something was made is not compared:
NOT_COMPARED in result_digests.py lists it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.result_digests import Line, compare, inspect, load, save

ROOT = Path(__file__).resolve().parents[2]
# One process and one thread, so that the machine's cores do not matter.
ENGINE = ("engine.kind=loop", "engine.threads=1", "features.device=cpu")


@dataclass(frozen=True)
class Job:
    """Images, and the settings to run on them with. kept: where an earlier build has left its results."""

    name: str
    images: str
    settings: tuple[str, ...]
    kept: Path | None = None


def jobs(images: Sequence[Path], weights: Path | None) -> list[Job]:
    """The folders, or without any the samples and PF-WILLOW."""
    backbone = f"features.weights={weights.resolve()}" if weights else "features.backbone=embedded"
    if images:
        return [Job(folder.name, str(folder.resolve()), (backbone,)) for folder in images]
    from benchmarks.common.annotated_sets import WEIGHTS

    shared = Path(os.environ.get("CONGEAL_SHARED") or ROOT.parent / "shared")
    found = [Job("samples", str(ROOT / "samples"), ("features.backbone=embedded",))]
    willow, file = shared / "data/pf_willow", shared / WEIGHTS
    if willow.is_dir() and file.is_file():
        found.append(Job("pf_willow", str(willow), (f"features.weights={file}",)))
    else:
        print(f"PF-WILLOW is left out: {shared} has not both the images and {WEIGHTS}.")
    return found


def kept_job(destination: Path) -> Job:
    """The run that left a destination, as its published version records it."""
    published = destination / "published"
    if not (published / "current.json").is_file():
        raise SystemExit(f"{destination} has no published version: give the destination of a finished run.")
    name = json.loads((published / "current.json").read_text())["version"]
    version = json.loads((published / "versions" / name).read_text())
    features = version["settings"]["features"]
    settings = [f"features.{key}={features[key]}" for key in ("backbone", "weights") if features[key]]
    return Job(destination.name, version["source"].removeprefix("file://"), tuple(settings), destination)


def run(checkout: Path, job: Job, destination: Path) -> dict[str, Any]:
    """`congeal run` of a checkout in a process of its own; the facts that it prints, and its wall seconds.

    Raises SystemExit if the checkout has no .venv, if its code is not what would run, or if the run fails.
    """
    python = checkout.resolve() / ".venv/bin/python"
    if not python.exists():
        raise SystemExit(f"{checkout} has no .venv: run `make setup` there.")
    ours = ("CONGEAL_", "PREFECT_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with tempfile.TemporaryDirectory(prefix="congeal-same-bytes-") as work:
        environment |= {"DO_NOT_TRACK": "1", "PYTHONPATH": str(checkout.resolve()), "PREFECT_HOME": work}

        def python_says(*arguments: str) -> str:
            command = [str(python), *arguments]
            done = subprocess.run(
                command, cwd=work, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
            return done.stdout

        code = python_says("-c", "import congeal; print(congeal.__file__)").strip()
        if not Path(code).is_relative_to(checkout.resolve()):
            raise SystemExit(f"{checkout} would run the code of {code}: make its .venv anew.")
        options = [part for setting in (*ENGINE, *job.settings) for part in ("--set", setting)]
        begin = time.perf_counter()
        said = python_says(
            "-m", "congeal", "run", job.images, str(destination), "--json", "--quiet", *options
        )
        facts: dict[str, Any] = json.loads(said.splitlines()[-1])
        return facts | {"wall": time.perf_counter() - begin}


def made_anew(checkout: Path, job: Job, before: Path, copy: Path) -> str:
    """What a checkout makes anew where ``before`` has been made; empty: nothing.

    First with the version published, which must be up to date; then without it, so that every stage plans its
    units and looks for each of them.
    """
    shutil.copytree(before, copy)
    faults = []
    for state in ("as it is", "without its published version"):
        if state != "as it is":
            shutil.rmtree(copy / "published")
        facts = run(checkout, job, copy)
        made = {stage["stage"]: stage["units_made"] for stage in facts["stages"] if stage["units_made"]}
        there = sum(stage["units_skipped"] for stage in facts["stages"])
        found = (
            "up to date" if facts["up_to_date"] else f"{sum(made.values())} units made, {there} there already"
        )
        print(f"after, on a copy of before, {state}: {found}, {facts['wall']:.0f} s", flush=True)
        if made:
            faults.append(f"{state}: made anew: {made}")
        elif state == "as it is" and facts["published"]:
            faults.append(f"{state}: nothing is made anew, but another version is published")
    return "; ".join(faults)


def show(lines: Sequence[Line]) -> int:
    """Print the comparison; how many groups differ."""
    width = max(len(line.group) for line in lines)
    for line in lines:
        verdict = f"DIFFERS  {line.difference}" if line.difference else "same"
        print(f"  {line.group:{width}}  {line.count:4}  {line.digest}  {verdict}")
    differing = sum(bool(line.difference) for line in lines)
    print(f"  {len(lines) - differing} of {len(lines)} the same", flush=True)
    return differing


def compared(job: Job, before: Path | None, after: Path, into: Path) -> int:
    """Run one job with both builds, or with the later one, and compare; the number of differences."""
    print(f"{job.name}: {job.images}, {', '.join(job.settings)}", flush=True)
    places = {"before": job.kept or into / "before" / job.name, "after": into / "after" / job.name}
    for name, checkout in (("before", before), ("after", after)):
        if checkout is not None:
            facts = run(checkout, job, places[name])
            if facts["up_to_date"] or any(stage["units_skipped"] for stage in facts["stages"]):
                raise SystemExit(f"{places[name]} is not empty: give another folder with --into.")
            print(f"{name}: {checkout}, {facts['wall']:.0f} s", flush=True)
    differing = show(compare(inspect(places["before"]), inspect(places["after"])))
    fault = made_anew(after, job, places["before"], into / "copy" / job.name)
    if fault:
        print(f"  DIFFERS  {fault}")
    shutil.rmtree(into / "copy" / job.name)
    return differing + bool(fault)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0: all the same."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if given[:1] in (["compare"], ["record"]):
        parser.add_argument("command")
        parser.add_argument("first", type=Path, help="a destination, or for compare a file of record")
        parser.add_argument("second", type=Path, help="likewise; for record the file to write")
        asked = parser.parse_args(given)
        if asked.command == "record":
            save(inspect(asked.first), asked.second)
            return 0
        return int(show(compare(load(asked.first), load(asked.second))) > 0)
    parser.add_argument(
        "checkouts", nargs="+", type=Path, metavar="CHECKOUT", help="BEFORE and AFTER, or AFTER"
    )
    parser.add_argument(
        "--images", nargs="+", type=Path, default=[], help="folders, instead of the usual ones"
    )
    parser.add_argument("--weights", type=Path, help="of DINOv2 ViT-S/14, for --images; else embedded")
    parser.add_argument("--before-destination", nargs="+", type=Path, default=[], metavar="DEST")
    parser.add_argument("--into", type=Path, help="where the destinations are left; else nowhere")
    asked = parser.parse_args(given)
    *before, after = asked.checkouts
    if len(before) != (not asked.before_destination):
        parser.error("give the checkouts BEFORE and AFTER, or AFTER and --before-destination")
    kept = [kept_job(destination) for destination in asked.before_destination]
    wanted = kept or jobs(asked.images, asked.weights)
    with tempfile.TemporaryDirectory(prefix="congeal-same-bytes-") as temporary:
        into = (asked.into or Path(temporary)).resolve()
        differences = [compared(job, before[0] if before else None, after, into) for job in wanted]
    for job, found in zip(wanted, differences, strict=True):
        print(f"{job.name}: {f'{found} differences' if found else 'the same, byte for byte'}")
    return int(any(differences))


if __name__ == "__main__":
    sys.exit(main())
