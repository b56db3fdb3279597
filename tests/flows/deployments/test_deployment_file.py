from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.deployments.deployment_file import text, without_checkout, write
from infra.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def test_the_file_is_the_checkouts_without_the_checkout() -> None:
    made, shipped = yaml.safe_load(text()), yaml.safe_load((ROOT / "prefect.yaml").read_text())
    assert "CONGEAL_HOME" not in text()
    assert made["pull"]  # an empty one would be replaced by the folder of whoever deploys
    assert "&" not in text()
    assert len(made["deployments"]) == len(shipped["deployments"]) == 6
    for deployment, original in zip(made["deployments"], shipped["deployments"], strict=True):
        name = original.pop("entrypoint").partition(":")[2]
        entrypoint = deployment.pop("entrypoint")
        assert entrypoint == f"congeal_floors.deployment:{name}"
        module, _, attribute = entrypoint.partition(":")
        assert getattr(importlib.import_module(module), attribute).name
        assert deployment == original


def test_flow_and_deployment_names_do_not_meet() -> None:
    """`prefect deployment run FLOW/NAME` names one deployment."""
    file = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    names = [(one["entrypoint"].partition(":")[2], one["name"]) for one in file["deployments"]]
    assert len(set(names)) == len(names)


def test_steps_of_ours_are_found_in_the_installed_package() -> None:
    config = {
        "name": "congeal",
        "build": [{"flows.deployment.require_variables": {"names": ["CONGEAL_HOME"]}}],
        "pull": [
            {"flows.deployment.check_parameters": {}},
            {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $CONGEAL_HOME }}"}},
        ],
        "deployments": [{"name": "nightly", "entrypoint": "flows/collection.py:collection", "tags": ["a"]}],
    }
    assert without_checkout(config) == {
        "name": "congeal",
        "pull": [
            {"congeal_floors.deployment.check_parameters": {}},
            {"prefect.deployments.steps.set_working_directory": {"directory": "."}},
        ],
        "deployments": [
            {"name": "nightly", "entrypoint": "congeal_floors.deployment:collection", "tags": ["a"]}
        ],
    }


def test_variables_of_the_users_are_still_asked_for() -> None:
    step = {"congeal_floors.deployment.require_variables": {"names": ["CONGEAL_HOME", "CONGEAL_SOURCE"]}}
    made = without_checkout({"build": [step], "deployments": []})
    assert made == {"build": [{"congeal_floors.deployment.require_variables": {"names": ["CONGEAL_SOURCE"]}}]}


@pytest.mark.parametrize("path", [ROOT / "prefect.yaml", *ROOT.glob("examples/deployment/*.yaml")], ids=str)
def test_no_step_is_looked_for_under_a_generic_name(path: Path) -> None:
    """Prefect imports a step by its name, in whatever folder and with whatever path a worker has."""
    config = yaml.safe_load(path.read_text())
    steps = [name for key in ("build", "push", "pull") for step in config.get(key) or () for name in step]
    assert [name for name in steps if name.split(".")[0] in {"flows", "infra", "tasks"}] == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "prefect.yaml"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"prefect\.yaml exists and is not overwritten: name another folder"):
        write(path.parent)
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"prefect\.yaml cannot be written: Not a directory"):
        write(tmp_path / "file" / "folder")


def test_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["deployment", "init", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    assert str(tmp_path / "prefect.yaml") in result.stdout
    assert "prefect --no-prompt deploy --all" in result.stdout
    result = CliRunner().invoke(app, ["deployment", "init", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert result.stderr.count("\n") == 1
