from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from known_index import known_index
from typer.testing import CliRunner, Result

from flows.cli import app
from infra.ledger.publications import publish, published
from infra.storage.location import Location
from tasks.publication.manifest import describe


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(result: Result) -> Any:
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """Two versions, of which the newer lacks a file of the older."""
    place = Location.parse(tmp_path / "out")
    publication = known_index(place)
    newer = publication.model_copy(update={"units": {"index": publication.units["index"][1:]}})
    describe(place, newer)
    publish(place, newer)
    return tmp_path / "out"


def test_an_older_version_is_asked_by_its_number(destination: Path) -> None:
    query = "SELECT count(DISTINCT cluster_id) AS n FROM correspondences"
    for options, clusters in (([], 1), (["--version", "1"], 2), (["--version", "2"], 1)):
        assert answer(call("sql", destination, query, *options, "--json"))["rows"] == [[clusters]]
        facts = answer(call("status", destination, *options, "--json"))
        assert facts["stages"][-1]["done"] == clusters + 1
        assert [name[:5] for name in facts["versions"]] == ["00001", "00002"]
        facts = answer(call("verify", destination, *options, "--json", "--shallow"))
        assert facts["units"] == clusters + 1
        assert not [fault for fault in facts["faults"] if "tables.json" in fault]
    result = call("sql", destination, query, "--version", "3")
    assert result.exit_code == 1
    assert "has no version 3: the newest are 00001-" in result.stderr


def test_prune_says_what_went_and_what_would(destination: Path) -> None:
    would = answer(call("prune", destination, "--older-than", "0", "--dry-run", "--json"))
    assert published(Location.parse(destination), "1") is not None
    done = answer(call("prune", destination, "--older-than", "0", "--json"))
    assert done["units"]["index"] == would["units"]["index"] == 1
    assert [name[:5] for name in done["removed_versions"]] == ["00001"]
    assert done["ok"]
    assert done["bytes"] == would["bytes"] > 0
    result = call("prune", destination, "--older-than", "0")
    assert result.exit_code == 0
    assert "0 versions and 0 units removed, 0.0 MiB; kept: 00002-" in result.stdout
    result = call("sql", destination, "SELECT 1", "--version", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Version 1 of" in result.stderr
    assert "was pruned: the newest are 00002-" in result.stderr


def test_prune_tells_of_what_is_too_young(destination: Path) -> None:
    """The versions say that they are old, the unit between them was committed just now."""
    result = call("prune", destination, "--dry-run")
    assert "1 version and 0 units would be removed" in result.stdout
    assert "1 unit that no version names is younger than 1 days" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"), [(["--keep", "0"], "keep at least 1"), (["--older-than", "-1"], "give 0 or more")]
)
def test_what_cannot_be_meant(destination: Path, options: list[str], words: str) -> None:
    result = call("prune", destination, *options)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_help() -> None:
    result = call("prune", "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert "--dry-run" in result.stdout
