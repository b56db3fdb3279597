"""`congeal run` on one machine: no server, no workers for a small job, and what happens if it dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect_server import Server
from sample_runs import chosen, folder, photographs, results

ROOT = Path(__file__).parents[3]
ASK = (
    "import json, sys, psutil; from flows.cli import app; "
    "app(sys.argv[1:], standalone_mode=False); "
    "heavy = {'prefect', 'distributed', 'timm', 'torch', 'sklearn'}; "
    "print(json.dumps({'modules': sorted(heavy & set(sys.modules)), "
    "'children': len(psutil.Process().children())}))"
)
DIES = """
import os, signal, sys
import tasks.features.feature_shards as shards
shards.make_shard.__globals__["_seen"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from flows.cli import app
app(sys.argv[1:])
"""


def command(source: Path, destination: Path, weights: Path, *more: str) -> list[str]:
    sets = [text for text in chosen(weights, *more) if text != "engine.kind=loop"]
    options = [part for text in sets for part in ("--set", text)]
    return ["run", str(source), str(destination), *options]


def python(code: str, arguments: list[str], ok: bool = True) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": paths}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not ok or done.returncode == 0, done.stderr
    return done


def last(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout.splitlines()[-1])


def test_a_small_run_starts_nothing_and_makes_what_a_plain_run_makes(
    finished: Path, tmp_path: Path, weights: Path
) -> None:
    done = python(ASK, [*command(finished / "source", tmp_path / "out", weights), "--quiet"])
    seen = last(done)
    assert {"prefect", "distributed", "sklearn"}.isdisjoint(seen["modules"])
    assert seen["children"] == 0
    assert not (tmp_path / "out" / "working" / "in-process.json").exists()
    assert results(tmp_path / "out") == results(finished / "destination")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_after_a_run_that_died_the_next_one_has_workers(tmp_path: Path, weights: Path) -> None:
    source, destination = folder(tmp_path / "source", photographs(2)), tmp_path / "out"
    arguments = command(source, destination, weights)
    died = python(DIES, arguments, ok=False)
    assert died.returncode == -signal.SIGKILL
    assert (destination / "working" / "in-process.json").exists()
    again = python(ASK, arguments)
    assert "ended without a word" in again.stderr
    assert "distributed" in last(again)["modules"]
    assert not (destination / "working" / "in-process.json").exists()


def test_a_run_is_planned_without_torch() -> None:
    asked = (
        "import sys, distributed, flows.runs.stages, tasks.report.report_stage; print('torch' in sys.modules)"
    )
    assert python(asked, []).stdout == "False\n"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_with_workers_makes_the_same_and_needs_no_torch_itself(
    finished: Path, tmp_path: Path, weights: Path
) -> None:
    arguments = command(
        finished / "source", tmp_path / "out", weights, "engine.workers=2", "engine.threads=1"
    )
    seen = last(python(ASK, [*arguments, "--quiet"]))
    assert seen["modules"] == ["distributed"]
    assert results(tmp_path / "out") == results(finished / "destination")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_weights_that_do_not_fit_are_told_in_a_sentence(tmp_path: Path) -> None:
    source, file = folder(tmp_path / "source", photographs(2)), tmp_path / "w.safetensors"
    file.write_bytes(b"no tensors")
    arguments = command(source, tmp_path / "out", file, "engine.workers=2")
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.prefect
@pytest.mark.timeout(900)
@pytest.mark.slow
def test_where_a_server_is_named_the_run_is_seen_there(
    tmp_path: Path, weights: Path, prefect_server: Server
) -> None:
    source = folder(tmp_path / "source", photographs(2))
    arguments = command(source, tmp_path / "out", weights, "engine.threads=1")
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments, "--json"],
        env=prefect_server.environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["published"]
    found = prefect_server.post("flow_runs/filter", {"flows": {"name": {"any_": ["collection"]}}}).json()
    places = [run["parameters"]["destination"] for run in found]
    assert places.count(f"file://{tmp_path}/out") == 1
