"""benchmarks/: every script can be loaded, says how it is called, and is named in the list of all of them."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "benchmarks").glob("*/*.py"))


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts that use what tests use put that folder first; it is there already."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: f"{script.parent.name}-{script.stem}")
def test_what_a_script_takes_from_elsewhere_is_there(script: Path) -> None:
    module = importlib.import_module(".".join(script.relative_to(ROOT).with_suffix("").parts))
    asked = re.findall(r"^ *(?:.*`)?python (benchmarks/\S+\.py)", module.__doc__ or "", re.MULTILINE)
    assert set(asked) <= {script.relative_to(ROOT).as_posix()}
    if script.parent.name != "common" and "__main__" in script.read_text():
        assert asked, "its first text does not say how it is called"


def test_the_list_of_scripts_is_whole() -> None:
    told = (ROOT / "benchmarks" / "README.md").read_text()
    named = set(re.findall(r"`(\w+/\w+\.py)`", told))
    there = {script.relative_to(ROOT / "benchmarks").as_posix() for script in SCRIPTS}
    assert named == there


def test_recorded_results_name_scripts_that_there_are() -> None:
    for result in (ROOT / "benchmarks" / "results").glob("*.md"):
        for script in re.findall(r"benchmarks/[\w/]+\.py", result.read_text()):
            assert (ROOT / script).is_file(), f"{result.name}: {script}"
