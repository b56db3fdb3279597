"""What a release has to keep together."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

import congeal

ROOT = Path(__file__).resolve().parent.parent


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == congeal.__version__ == str(citation["version"])
    assert citation["license"] == project["license"]


def test_nobody_is_told_to_install_a_name_that_is_not_published() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    # Said only where it is said why not.
    allowed = {"installation.md", "release.md"}
    told = [path.name for path in documents if "pip install congeal\n" in path.read_text()]
    assert [name for name in told if name not in allowed] == []
