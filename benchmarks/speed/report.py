"""The report: how long it takes, how large it is, and whether its maps carry points to the same places.

    python benchmarks/speed/report.py DEST [--record]

DEST: what a run has published; the report is made in a temporary folder. Times are those of the command as a
user calls it, with the start of Python. Points: drawn at random on members that fit, carried to another of
their cluster by `Collection.transfer`, and by the quantised maps as a page unpacks them.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import congeal
from benchmarks.common.destinations import about, heading
from congeal.geometry.frames import Frame
from congeal.report.quantization import Packed, unpacked
from congeal.transfer.points import Maps, transfer

RESULT = Path(__file__).parents[1] / "results" / "report.md"
POINTS = 10_000
A_PAIR = 20  # points


def command(destination: str, out: Path) -> tuple[float, float]:
    """Seconds of `congeal report`: wall, and of all its processors together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "congeal", "report", destination, "--out", str(out), "--quiet"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def value(path: Path) -> Any:
    """What a data script sets."""
    text = path.read_text()
    return json.loads(text[text.index("] = ") + 4 : text.rindex(";")])


def index(folder: Path) -> Any:
    found = re.search(r'src="(data/[^"]*)"', (folder / "index.html").read_text())
    assert found is not None
    return value(folder / found[1])


def members(folder: Path, script: str) -> tuple[list[str], list[bool], list[Maps]]:
    """Names, whether they fit, and maps of the first page of a cluster."""
    home = (folder / script).parent
    page = value(folder / script)["pages"][0]
    rows = value(home / page["script"])["rows"]
    fields = {name: field(facts, "confidence" in name) for name, facts in value(home / page["maps"]).items()}
    maps = [
        Maps(Frame(width, height), *(fields[name][at] for name in Maps.__annotations__ if name != "frame"))
        for at, (width, height) in enumerate(zip(rows["width"], rows["height"], strict=True))
    ]
    return rows["uri"], [not one for one in rows["outlier"]], maps


def field(facts: Any, shares: bool) -> np.ndarray:
    n, h, w, c = facts["shape"]
    lo, step = (np.array(facts[name], float).reshape(n, c) for name in ("lo", "step"))
    found = unpacked(Packed((n, h, w, c), lo, step, base64.b64decode(facts["data"]), 8 if shares else 16))
    return found[..., 0] if shares else found


def agreement(destination: str, folder: Path) -> dict[str, Any]:
    """How far POINTS points are from where `transfer` puts them, in pixels of the original."""
    collection = congeal.open(destination)
    clusters = index(folder)["clusters"]
    pairs = zip(clusters["script"], clusters["status"], strict=True)
    scripts = [script for script, status in pairs if script and status == "ok"]
    random = np.random.default_rng(0)
    apart: list[np.ndarray] = []
    sure: list[np.ndarray] = []
    while sum(map(len, apart)) < POINTS:
        for script in scripts:
            names, fits, maps = members(folder, script)
            good = np.flatnonzero(fits)
            if len(good) < 2:
                continue
            first, second = random.choice(good, 2, replace=False)
            frame = maps[first].frame
            points = random.uniform(-0.5, 0.5, (A_PAIR, 2)) * [frame.width - 1, frame.height - 1]
            points += [(frame.width - 1) / 2, (frame.height - 1) / 2]
            there = collection.transfer(names[first], points, names[second])
            here = transfer(points, maps[first], maps[second])
            apart.append(np.hypot(*(here.xy - there[["x", "y"]].to_numpy()).T))
            sure.append(np.abs(here.confidence - there["confidence"].to_numpy()))
    distance, off = np.concatenate(apart)[:POINTS], np.concatenate(sure)[:POINTS]
    return {
        "points": len(distance),
        "within 0.5 px": f"{100 * (distance <= 0.5).mean():.2f} %",
        "median, 99.9 %, most (px)": ", ".join(f"{np.quantile(distance, q):.3f}" for q in (0.5, 0.999, 1.0)),
        "confidence apart, 99.9 %": f"{np.quantile(off, 0.999):.4f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("destination")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "report"
        wall, cpu = command(asked.destination, folder)
        again = np.array([command(asked.destination, folder) for _ in range(3)])
        still = np.median(again, axis=0)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        facts = index(folder)
        images = facts["counts"]["ok"]
        rows = {
            "images, clusters": f"{images:,}, {facts['counts']['clusters']:,}",
            "load of the machine before": f"{load:.1f}",
            "made from nothing: wall, processor (s)": f"{wall:.1f}, {cpu:.1f}",
            "nothing changed: wall, processor (s)": f"{still[0]:.2f}, {still[1]:.2f}",
            "files, kB an image": f"{len(sizes):,}, {sum(sizes) / 1_000 / images:.1f}",
            **agreement(asked.destination, folder),
        }
    table = ["| | |", "| --- | --- |", *(f"| {name} | {found} |" for name, found in rows.items())]
    about_it = about() | {"backbone": facts["backbone"], "source": facts["source"].rpartition("/")[2]}
    text = "\n".join([*heading("The report", "speed/report.py DEST", about_it), *table]) + "\n"
    print(text)
    if asked.record:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
