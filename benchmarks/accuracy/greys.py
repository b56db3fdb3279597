"""The same scenes stored in other numbers: PCK of sets as 8-bit grey, 16-bit counts, kelvin, reflectance.

    python benchmarks/accuracy/greys.py [SET …] [--only ENCODING …] [--embedded] [--before CHECKOUT]
                                        [--record]

Every set in Congeal's own form is written anew in every encoding, from one 8-bit grey version of its images,
and measured as `congeal evaluate` does. Nothing but the numbers in the files differs, so neither should the
PCK. --before: an older checkout, to which the same files are given. With --record, results go to
benchmarks/results/greys.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, folder_of, shared
from benchmarks.common.destinations import about, heading
from congeal.imaging.decoding import decode
from congeal.settings import load_settings
from flows.console.quiet_libraries import quiet_libraries
from flows.evaluation.annotated_run import evaluate

RESULTS = ROOT / "benchmarks" / "results" / "greys.md"
SETS = ("samples/fish", "samples/mug", "pf_willow/duck_S")
REFERENCE = "8-bit"
Values = npt.NDArray[Any]


ENCODINGS: dict[str, tuple[str, Callable[[Values], Values]]] = {
    REFERENCE: (".png", lambda grey: np.rint(grey * 255).astype(np.uint8)),
    "10 bits of 16": (".png", lambda grey: np.rint(grey * 1023).astype(np.uint16)),
    "12 bits of 16, from 300": (".tif", lambda grey: np.rint(300 + grey * 3795).astype(np.uint16)),
    "16 bits": (".png", lambda grey: np.rint(grey * 65535).astype(np.uint16)),
    "kelvin, float": (".tif", lambda grey: (270 + grey * 40).astype(np.float32)),
    "reflectance, float": (".tif", lambda grey: (grey * 0.05).astype(np.float32)),
    "metres, 32-bit integers": (".tif", lambda grey: np.rint(400 + grey * 500).astype(np.int32)),
}


def place_of(name: str) -> Path:
    """The folder of a set: of samples/, or of the shared data."""
    return ROOT / name if name.startswith("samples/") else folder_of(name)


def write(name: str, encoding: str, folder: Path) -> None:
    """The set in one encoding: its annotations, its images under the same stems."""
    ending, encode = ENCODINGS[encoding]
    document = json.loads((place_of(name) / "keypoints.json").read_text())

    def renamed(file: str) -> str:
        return Path(file).with_suffix(ending).as_posix()

    for file in document["images"]:
        pixels = decode((place_of(name) / "images" / file).read_bytes())
        grey = np.asarray(Image.fromarray(pixels).convert("L")) / 255
        target = folder / "images" / renamed(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(encode(grey)).save(target)
    document["images"] = {renamed(file): entry for file, entry in document["images"].items()}
    if document.get("pairs"):
        document["pairs"] = [[renamed(file) for file in pair] for pair in document["pairs"]]
    document.setdefault("protocol", "cub" if name.startswith("samples/") else "pf-willow")
    (folder / "keypoints.json").write_text(json.dumps(document))


def measured(folder: Path, settings: list[str]) -> dict[str, Any]:
    """The facts of a set, by this checkout."""
    return evaluate(folder, load_settings(None, ["engine.kind=loop", *settings]), quiet=True)


def measured_by(checkout: Path, folder: Path, settings: list[str]) -> dict[str, Any]:
    """The facts of a set, by another checkout."""
    options = [part for setting in ("engine.kind=loop", *settings) for part in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "evaluate", str(folder), "--json", "--quiet", *options],
        env=os.environ | {"PYTHONPATH": str(checkout), "DO_NOT_TRACK": "1"},
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def pck(facts: dict[str, Any], way: str) -> float:
    """In percent, of the product ("congeal") or a baseline, at the protocol's threshold."""
    return float(facts["methods"][way]["pck"][f"{facts['alphas'][0]:g}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--only", nargs="*", default=list(ENCODINGS), choices=ENCODINGS, metavar="ENCODING")
    parser.add_argument("--embedded", action="store_true", help="the embedded backbone instead of DINOv2's")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="an older checkout beside this one")
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    backbone = "features.backbone=embedded" if asked.embedded else f"features.weights={shared() / WEIGHTS}"
    lines = [
        "| set | stored as | identity | before | now | now, against 8-bit |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    quiet_libraries()
    for name in asked.sets:
        reference = None
        for encoding in asked.only:
            with tempfile.TemporaryDirectory(prefix="congeal-greys-") as work:
                folder = Path(work)
                write(name, encoding, folder)
                facts = measured(folder, [backbone])
                old = measured_by(asked.before, folder, [backbone]) if asked.before else None
            now, before = pck(facts, "congeal"), f"{pck(old, 'congeal'):.1f}" if old else ""
            reference = now if reference is None else reference
            told = [name, encoding, f"{pck(facts, 'identity'):.1f}", before]
            lines.append(f"| {' | '.join(told)} | **{now:.1f}** | {now - reference:+.1f} |")
            print(lines[-1], flush=True)
    if asked.record:
        facts = about() | ({"backbone": "embedded"} if asked.embedded else {})
        said = (
            "PCK in percent by each set's usual protocol (α = 0.1) of the same grey pictures, stored in "
            "other numbers. Before: without a look at what the numbers of a file mean."
        )
        only = [] if asked.only == list(ENCODINGS) else ["--only", *asked.only]
        before = ["--before", "CHECKOUT"] if asked.before else []
        embedded = ["--embedded"] if asked.embedded else []
        command = shlex.join(["accuracy/greys.py", *asked.sets, *only, *embedded, *before])
        text = "\n".join([*heading("Greys", command, facts), said, "", *lines]) + "\n"
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
