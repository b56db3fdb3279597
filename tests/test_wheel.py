"""The wheel, not only the checkout: built, installed on its own, imported and called from elsewhere."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from installed import call, installed, wheel

__all__ = ["installed", "wheel"]

PACKAGES = {"congeal", "congeal_floors"}
FLOORS = {"flows", "infra", "tasks"}


def test_the_wheel_holds_two_packages_and_the_floors_inside_one(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {f"congeal_floors/{floor}/__init__.py" for floor in FLOORS} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"congeal/backbones/embedded/student.safetensors", "congeal/backbones/embedded/card.json"} <= names
    assert {"congeal_floors/prefect.yaml", "congeal_floors/settings.md"} <= names
    assert {f"congeal/report/assets/{name}" for name in ("report.js", "report.css", "LICENSES.txt")} <= names
    assert not any(name.startswith("congeal/report/page/") for name in names)


def test_everything_is_imported_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    script = (
        "import congeal_floors; congeal_floors.own(); import congeal, flows, infra, tasks; "
        "print(*(m.__file__ for m in (congeal, flows, infra, tasks)))"
    )
    result = call(installed, "-W", "error", "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert all(str(installed.parent.parent) in path for path in result.stdout.split())


def test_generic_names_are_not_taken(installed: Path, tmp_path: Path) -> None:
    """Any package of its name in site-packages would hide a folder of one's own without __init__.py."""
    for name in FLOORS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text("WHOSE = 'mine'\n")
    script = (
        "import congeal; import flows.mine, infra.mine, tasks.mine; "
        "print(flows.mine.WHOSE, infra.mine.WHOSE, tasks.mine.WHOSE)"
    )
    result = call(installed, "-W", "error", "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["mine"] * 3


def test_the_science_needs_no_storage_and_no_orchestration(installed: Path, tmp_path: Path) -> None:
    script = (
        "import sys, congeal, congeal.alignment.solver, congeal.transfer.points; "
        "import congeal.backbones.extractor; "
        "names = ('prefect', 'dask', 'distributed', 'zarr', 'fsspec', 's3fs', 'duckdb', 'infra'); "
        "print([name for name in names if name in sys.modules])"
    )
    result = call(installed, "-W", "error", "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_embedded_backbone_comes_along(installed: Path, tmp_path: Path) -> None:
    script = (
        "from congeal.backbones.extractor import BackboneSpec, load_backbone; "
        "print(load_backbone(BackboneSpec('embedded'), None, 'cpu').grid)"
    )
    result = call(installed, "-W", "error", "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "32"


def test_the_command_of_the_wheel_answers(installed: Path, tmp_path: Path) -> None:
    for command in (["congeal"], ["-W", "error", "-m", "congeal"]):
        result = call(installed, *command, "--help", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "transfer" in result.stdout


def test_the_wheel_writes_its_own_deployment(installed: Path, tmp_path: Path) -> None:
    result = call(installed, "congeal", "deployment", "init", "here", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"ok": True, "written": str(tmp_path / "here" / "prefect.yaml")}
    assert "CONGEAL_HOME" not in (tmp_path / "here" / "prefect.yaml").read_text()
