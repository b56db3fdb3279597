"""The wheel, not only the checkout: built, installed on its own, imported and called from elsewhere."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"congeal", "infra", "tasks", "flows"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel; the dependencies are those of the tests."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    packages = next(home.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # Appended by path: the checkout's own editable install is not looked at from there.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return home / "bin" / "python"


def call(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python), "-W", "error", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_four_floors_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == FLOORS
    assert {f"{floor}/py.typed" for floor in FLOORS} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"congeal/embedded/student.safetensors", "congeal/embedded/card.json"} <= set(names)


def test_the_floors_are_imported_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    script = (
        "import congeal, flows, infra, tasks; print(*(m.__file__ for m in (congeal, flows, infra, tasks)))"
    )
    result = call(installed, "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert all(str(installed.parent.parent) in path for path in result.stdout.split())


def test_the_science_needs_no_storage_and_no_orchestration(installed: Path, tmp_path: Path) -> None:
    script = (
        "import sys, congeal, congeal.solver, congeal.transfer, congeal.backbones; "
        "names = ('prefect', 'dask', 'distributed', 'zarr', 'fsspec', 's3fs', 'duckdb', 'infra'); "
        "print([name for name in names if name in sys.modules])"
    )
    result = call(installed, "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_the_embedded_backbone_comes_along(installed: Path, tmp_path: Path) -> None:
    script = (
        "from congeal.backbones import BackboneSpec, load_backbone; "
        "print(load_backbone(BackboneSpec('embedded'), None, 'cpu').grid)"
    )
    result = call(installed, "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "32"


def test_the_command_of_the_wheel_answers(installed: Path, tmp_path: Path) -> None:
    result = call(installed, "-m", "flows.cli", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "transfer" in result.stdout
