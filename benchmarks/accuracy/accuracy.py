"""PCK of the published maps on annotated sets, beside matching each pair on its own.

    python benchmarks/accuracy/accuracy.py [SET …] [--set section.key=value …]

The same as `congeal evaluate` on every set, each by its usual protocol. With --record, results go to
benchmarks/results/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from benchmarks.common.annotated_sets import ROOT, SETS, WEIGHTS, folder_of, shared
from congeal.settings import load_settings
from flows.console.quiet_libraries import quiet_libraries
from flows.evaluation.annotated_run import evaluate

RESULTS = ROOT / "benchmarks" / "results" / "accuracy.md"


def measure(name: str, settings: list[str], seeds: int) -> dict[str, Any]:
    """The facts of one of SETS."""
    chosen = [f"features.weights={shared() / WEIGHTS}", *settings]
    return evaluate(folder_of(name), load_settings(None, chosen), seeds=seeds, quiet=True)


def line(name: str, facts: dict[str, Any]) -> str:
    """The row of a set."""
    methods, alpha = facts["methods"], f"{facts['alphas'][0]:g}"
    spread = " ".join(f"{value:.1f}" for value in methods["congeal"]["pck_by_seed"][alpha])
    return (
        f"| {name} | {facts['images']} | {alpha} | {methods['identity']['pck'][alpha]:.1f} | "
        f"{methods['nearest_neighbour']['pck'][alpha]:.1f} | **{methods['congeal']['pck'][alpha]:.1f}** | "
        f"{spread} | {facts['atlas_seconds'][-1]:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="section.key=value")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    asked = parser.parse_args()
    head = "| set | images | α | identity | nearest neighbour | congeal (median) | seeds | atlas s |"
    lines = [head, "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |"]
    print("\n".join(lines), flush=True)
    quiet_libraries()
    for name in asked.sets:
        lines.append(line(name, measure(name, asked.settings, asked.seeds)))
        print(lines[-1], flush=True)
    if asked.record:
        import torch

        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "backbone": Path(WEIGHTS).stem,
            "settings": asked.settings,
        }
        RESULTS.write_text(
            "# PCK through `congeal transfer`, every set\n\n"
            f"`python benchmarks/accuracy/accuracy.py --record`, {json.dumps(about)}\n\n"
            + "\n".join(lines)
            + "\n"
        )


if __name__ == "__main__":
    main()
