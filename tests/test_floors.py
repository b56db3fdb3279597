"""Modules of the user's own that are called like Congeal's: on the path, in the folder, imported already."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from installed import call, installed, python, wheel
from sample_runs import chosen, finished, folder, photographs, weights

from congeal.results.schema.dictionary import dictionary
from infra.compute import dask_clients
from infra.errors import UserError

__all__ = ["finished", "installed", "python", "weights", "wheel"]

FORMS = [
    "packages",
    pytest.param("modules", marks=pytest.mark.slow),
    pytest.param("folders", marks=pytest.mark.slow),
]
FLOORS = ("flows", "infra", "tasks")
STOP = "raise RuntimeError(f'{__name__} of somebody else: {__file__}')\n"


def decoys(place: Path, form: str, names: Sequence[str] = (*FLOORS, "congeal")) -> Path:
    """A folder with modules of these names; whoever imports one comes to its end."""
    for name in names:
        if form == "modules":
            files = [f"{name}.py"]
        elif form == "packages":
            files = [f"{name}/__init__.py"]
        else:
            # Without __init__.py; what is in them is called like something of ours.
            files = [f"{name}/{part}.py" for part in ("cli", "prepare", "errors", "engine", "features")]
        for file in files:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(STOP)
    return place


def script(place: Path, *lines: str) -> Path:
    place.mkdir(exist_ok=True)
    path = place / "script.py"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("form", "engine"), [("packages", "dask"), ("folders", "loop")])
def test_a_run_and_its_workers_use_congeals_own(
    python: Path, form: str, engine: str, tmp_path: Path, weights: Path
) -> None:
    place = decoys(tmp_path / "place", form)
    source = folder(tmp_path / "source", photographs(2))
    sets = [part for text in chosen(weights, f"engine.kind={engine}") for part in ("--set", text)]
    done = call(python, "congeal", "run", source, tmp_path / "out", *sets, "--json", cwd=place, path=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"]["ok"] == 4


@pytest.mark.parametrize("form", FORMS)
def test_commands_that_read_use_congeals_own(python: Path, form: str, tmp_path: Path, finished: Path) -> None:
    place = decoys(tmp_path / "place", form)
    done = call(python, "congeal", "status", finished / "destination", "--json", cwd=place, path=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"]


def test_the_command_by_its_module_inside_a_project(python: Path, tmp_path: Path, finished: Path) -> None:
    place = decoys(tmp_path / "place", "packages", FLOORS)
    done = call(python, "-m", "congeal", "status", finished / "destination", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    done = call(python, "congeal", "status", finished / "destination", "--json", cwd=place / "flows")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_a_destination_is_opened_beside_such_modules(
    python: Path, form: str, tmp_path: Path, finished: Path
) -> None:
    place = decoys(tmp_path / "place", form, FLOORS)
    path = script(
        place,
        "import congeal",
        f"c = congeal.open({str(finished / 'destination')!r})",
        "print(len(c.images))",
    )
    done = call(python, path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["12"]


def test_a_projects_own_flows_and_tasks_are_left_alone(
    installed: Path, tmp_path: Path, finished: Path
) -> None:
    for name in ("flows", "tasks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "mine.py").write_text("WHOSE = 'mine'\n")
    path = script(
        tmp_path,
        "import congeal, flows.mine",
        f"c = congeal.open({str(finished / 'destination')!r})",
        "import tasks.mine",
        "print(len(c.images), len(c.correspondences()) > 0, flows.mine.WHOSE, tasks.mine.WHOSE)",
    )
    done = call(installed, path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["12", "True", "mine", "mine"]


@pytest.mark.parametrize("form", ["infra.py", pytest.param("infra/__init__.py", marks=pytest.mark.slow)])
def test_a_module_that_is_imported_already_is_named(
    python: Path, form: str, tmp_path: Path, finished: Path
) -> None:
    (tmp_path / form).parent.mkdir(exist_ok=True)
    (tmp_path / form).touch()
    _refused(python, tmp_path, "infra", finished)


def test_a_folder_that_is_imported_already_is_named(installed: Path, tmp_path: Path, finished: Path) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "network.py").touch()
    _refused(installed, tmp_path, "infra.network", finished)


def _refused(python: Path, place: Path, module: str, finished: Path) -> None:
    path = script(
        place,
        f"import {module}",
        "import congeal",
        "print(congeal.align.__module__)",  # the science is not concerned
        "try:",
        f"    congeal.open({str(finished / 'destination')!r})",
        "except ImportError as error:",
        "    print(error)",
    )
    done = call(python, path, cwd=place)
    assert done.returncode == 0, done.stderr
    first, sentence = done.stdout.splitlines()
    assert first == "congeal.alignment.solver"
    assert sentence.startswith("Congeal needs its own package 'infra'")
    assert str(place / "infra") in sentence


def test_a_flow_in_a_process_of_somebody_elses_is_refused(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    path = script(
        tmp_path,
        "import flows",
        "try:",
        "    from congeal_floors.deployment import collection",
        "except ImportError as error:",
        "    print(error)",
    )
    done = call(installed, path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'flows'} is imported under that name: rename it" in done.stdout


def test_a_task_is_unpickled_in_a_process_that_is_congeals(python: Path, tmp_path: Path) -> None:
    """As a Dask worker does that others have started, in a folder of theirs."""
    place = decoys(tmp_path / "place", "packages")
    path = script(
        tmp_path / "scripts",
        "import congeal_floors",
        f"print(congeal_floors.call({pickle.dumps((dictionary,))!r})['schema_version'])",
    )
    done = call(python, path, cwd=place, path=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(dictionary()["schema_version"])


class _Cluster:
    """Stands for the client of a Dask cluster on which nothing of Congeal's can be called."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def run_on_scheduler(self, function: Any) -> None:
        pass

    def run(self, function: Any) -> None:
        raise self.fault


def test_a_dask_cluster_without_congeal_is_named() -> None:
    missing = ModuleNotFoundError("No module named 'congeal_floors'")
    other = Exception("AttributeError(\"module 'congeal_floors' has no attribute 'own'\")")
    for fault in (missing, other):
        with pytest.raises(UserError, match=r"at tcp://there:1 .* cannot import Congeal .*: install there"):
            dask_clients.require_congeal(_Cluster(fault), "tcp://there:1")
    foreign = ImportError("Congeal needs its own package 'tasks', and …")
    with pytest.raises(UserError, match="at tcp://there:1 cannot be used: Congeal needs its own package"):
        dask_clients.require_congeal(_Cluster(foreign), "tcp://there:1")
