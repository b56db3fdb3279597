"""`congeal clusters`: what it takes, what it answers, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from known_collection import BIRDS, BOATS, known_collection
from typer.testing import CliRunner

from flows.cli import app


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["join", "a"], "There is no action 'join': give one of list, merge"),
        (["merge", BIRDS], "merge takes 2 or more names, and 1 are given"),
        (["name", BIRDS], "name takes 2 names, and 1 are given"),
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
