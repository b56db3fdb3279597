"""Interpreters that have Congeal: of an environment with the wheel, and of the checkout's own."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel; the dependencies are those of the tests."""
    home = tmp_path_factory.mktemp("installed")
    python = home / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None, "make setup installs uv"
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True)
    packages = next(home.glob("lib/python*/site-packages"))
    # Appended by path: the checkout's own editable install is not looked at from there.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return python


@pytest.fixture(params=["wheel", "checkout"])
def python(request: pytest.FixtureRequest) -> Path:
    """An interpreter that has Congeal, in each of the two ways."""
    if request.param == "checkout":
        return Path(sys.executable)
    found: Path = request.getfixturevalue("installed")
    return found


def call(
    python: Path, *arguments: str | Path, cwd: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `congeal` of the interpreter's environment, or the interpreter with these arguments.

    path: the PYTHONPATH; there is none otherwise.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [str(python), *map(str, arguments)]
    if arguments[0] == "congeal":
        command[:2] = [str(python.parent / "congeal")]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
