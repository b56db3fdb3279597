"""`congeal clusters`: what it takes, what it answers, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from known_collection import BIRDS, BOATS, known_collection
from sample_runs import LITTLE_IN_COMMON, folder, photographs, run, tiny, weights
from typer.testing import CliRunner

import congeal
from flows.cli import app

__all__ = ["weights"]


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_correction_is_recorded_listed_and_undone(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    text = "[red]herring gull[/red]"
    said = call("clusters", destination, "name", BIRDS, text, "--why", "it is one", "--by", "ann")
    assert said.exit_code == 0, said.stderr
    assert f"correction 1: name {BIRDS} {text!r}" in said.stdout
    assert "congeal run" in said.stdout
    moved = json.loads(call("clusters", destination, "move", "b/0.png", "--to", text, "--json").stdout)
    assert (moved["number"], moved["clusters"], moved["images"]) == (2, [BIRDS], 1)
    assert call("clusters", destination, "undo", 2).exit_code == 0
    rows = json.loads(call("clusters", destination, "list", "--json").stdout)["corrections"]
    assert [row["state"] for row in rows] == [
        "waits for the next run",
        "undone by 3",
        "waits for the next run",
    ]
    shown = call("clusters", destination).stdout
    assert f"name {BIRDS} {text!r}; waits for the next run; ann, " in shown
    assert "(it is one)" in shown


@pytest.mark.slow
def test_a_correction_is_applied_at_once(tmp_path: Path, weights: Path) -> None:
    """`--run` runs as the version was made: no setting has to be given again."""
    source, out = folder(tmp_path / "source", photographs(4)), tmp_path / "out"
    asked = ("clusters.method=folder", "report.enabled=false", LITTLE_IN_COMMON)
    run(source, out, tiny(weights, *asked))
    before = congeal.open(out).images.set_index("uri")["cluster_id"]
    engine = ["--set=engine.kind=loop", "--set=engine.threads=1", "--set=report.enabled=false"]
    move = ["move", "a/3.png", "--to", before["b/0.png"], "--run"]
    refused = call("clusters", out, *move, *engine, "--set=features.weights=/nowhere.safetensors")
    assert refused.exit_code == 1
    assert "nowhere" in refused.stderr
    assert not (out / "corrections").exists()
    facts = json.loads(call("clusters", out, *move, *engine, "--json").stdout.splitlines()[-1])
    assert facts["run"]["version"] == 2
    made = {row["stage"]: row["units_made"] for row in facts["run"]["stages"]}
    assert (made["catalog"], made["features"], made["atlases"]) == (0, 0, 2)
    after = congeal.open(out).images.set_index("uri")["cluster_id"]
    assert after["a/3.png"] == before["b/0.png"]
    assert after.drop("a/3.png").to_dict() == before.drop("a/3.png").to_dict()
    rows = json.loads(call("clusters", out, "list", "--json").stdout)["corrections"]
    assert [row["state"] for row in rows] == ["in force"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "--run"], "--run goes with a correction"),
        (["join", "a"], "There is no action 'join': give one of list, merge"),
        (["merge", BIRDS], "merge takes 2 or more names, and 1 is given"),
        (["name", BIRDS], "name takes 2 names, and 1 is given"),
        (["move", "a/0.png"], "--to A goes with move"),
        (["exclude", "a/0.png", "--to", BOATS], "--to A goes with move"),
        (["pin", BIRDS], "--reference IMAGE goes with pin"),
        (["undo", "one"], "'one' is no number of a correction"),
        (["undo", "1"], "There is no correction 1"),
        (["exclude", "broken.jpg"], "could not be used"),
        (["pin", BIRDS, "--reference", "a/misfit.png"], "does not fit the atlas"),
        (["name", BIRDS, "a\x1b[2J"], "one line of plain text"),
    ],
)
def test_what_is_refused_says_why_and_records_nothing(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    destination = known_collection(tmp_path)
    answer = call("clusters", destination, *arguments)
    assert answer.exit_code == 1
    assert sentence in answer.stderr
    assert not (destination / "corrections").exists()
