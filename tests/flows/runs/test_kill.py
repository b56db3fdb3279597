"""A run that is killed without warning, and the run after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sample_runs import chosen, results, run, tiny, units

ROOT = Path(__file__).parents[3]
STAGES = ["catalog", "features", "clusters", "atlases", "index"]

KILLED_AT_A_COMMIT = """
import os, signal, sys
from pathlib import Path
from sample_runs import run, tiny
import tasks.execution.stage_runner

source, destination, weights, stage = sys.argv[1:]
commit, seen = tasks.execution.stage_runner.commit_unit, []

def killed(address, outputs, record, provenance):
    seen.append(address.stage)
    if seen.count(stage) == 2 or stage in ("clusters", "atlases") and stage in seen:
        name, data = sorted(outputs.items())[-1]
        (address.folder / "0123456789abcdef" / name).write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return commit(address, outputs, record, provenance)

tasks.execution.stage_runner.commit_unit = killed
run(Path(source), Path(destination), tiny(Path(weights)))
"""


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "tests" / "helpers"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def tables_and_arrays(place: Path) -> dict[str, str]:
    # What a killed run left in a folder that no marker names is nobody's.
    return {path: digest for path, digest in results(place).items() if "0123456789abcdef" not in path}


@pytest.mark.parametrize(
    "stage",
    ["features", *(pytest.param(name, marks=pytest.mark.slow) for name in STAGES if name != "features")],
)
def test_killed_between_two_commits(finished: Path, tmp_path: Path, weights: Path, stage: str) -> None:
    source, destination = finished / "source", tmp_path / "out"
    command = [sys.executable, "-c", KILLED_AT_A_COMMIT, source, destination, weights, stage]
    done = subprocess.run(
        [str(part) for part in command], env=environment(), check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (destination / "published").exists()
    made = len(units(destination))
    facts = run(source, destination, tiny(weights))
    assert facts["published"]
    assert sum(row["units_skipped"] for row in facts["stages"]) == made
    assert tables_and_arrays(destination) == results(finished / "destination")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", STAGES)
def test_the_command_killed_with_all_its_workers(
    finished: Path, tmp_path: Path, weights: Path, stage: str
) -> None:
    source, destination = finished / "source", tmp_path / "out"
    sets = [part for text in chosen(weights, "engine.kind=dask") for part in ("--set", text)]
    command = [sys.executable, "-m", "flows.cli", "run", str(source), str(destination), *sets, "--json"]
    process = subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"{stage}: started"):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    again = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    expected = results(finished / "destination")
    found = results(destination)
    assert {path: found[path] for path in found if path in expected} == expected
