"""Finished runs for benchmarks to look at, and what is said about the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.annotated_sets import ROOT, WEIGHTS, shared


def run(source: Path | str, destination: Path | str, settings: list[str]) -> None:
    """`congeal run` in a process of its own."""
    chosen = [f"features.weights={shared() / WEIGHTS}", *settings]
    options = [part for setting in chosen for part in ("--set", setting)]
    command = [sys.executable, "-m", "flows.cli", "run", str(source), str(destination), "--quiet", *options]
    environment = os.environ | {"DO_NOT_TRACK": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def heading(title: str, script: str, facts: Mapping[str, Any] | None = None) -> list[str]:
    """The first lines of a recorded result; script: its path in benchmarks, with what it is called with;
    facts: absent, `about`."""
    path, *_ = script.split()
    if not (ROOT / "benchmarks" / path).is_file():
        raise ValueError(f"benchmarks has no script {path!r}.")
    told = json.dumps(dict(facts or about()))
    return [f"# {title}", "", f"`python benchmarks/{script} --record`, {told}", ""]


def about() -> dict[str, str]:
    """Date, machine and versions, for the head of a recorded result."""
    import torch
    import zarr

    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "zarr": zarr.__version__,
        "backbone": Path(WEIGHTS).stem,
    }
