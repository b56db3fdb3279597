from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_collection import BIRDS, known
from sample_runs import encoded
from typer.testing import CliRunner, Result

from flows.cli import app

__all__ = ["known"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def edit(tmp_path: Path) -> Path:
    pixels = np.zeros((60, 80, 4), np.uint8)
    pixels[20:40, 25:50] = (200, 30, 30, 255)
    path = tmp_path / "edit.png"
    path.write_bytes(encoded(pixels))
    return path


def test_help() -> None:
    result = call("propagate", "--help")
    assert result.exit_code == 0
    assert all(option in result.stdout for option in ("--layer", "--mask", "--atlas", "--coco", "--json"))


def test_an_edit_on_all_others(known: Path, edit: Path, tmp_path: Path) -> None:
    common = ("propagate", known, "--from", "a/0.png", "--layer", edit, "--out", tmp_path / "out")
    result = call(*common)
    assert result.exit_code == 0, result.stderr
    assert "4 images, median confidence 0.8" in result.stdout
    assert "1 that do not fit their atlas were left out" in result.stdout
    assert (tmp_path / "out" / "a" / "3.png").exists()
    result = call(*common, "--to", "a/2.png", "--to", "a/3.png", "--fade", "--json")
    facts: dict[str, Any] = json.loads(result.stdout)
    assert (facts["ok"], facts["images"], facts["cluster"]) == (True, 2, BIRDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing was given"),
        (("--layer", "{edit}", "--mask", "{edit}"), "(--layer and --mask was given)"),
        (("--layer", "{edit}"), "1 files of --layer and 0 of --from"),
        (
            ("--layer", "{edit}", "--from", "a/0.png", "--from", "a/1.png"),
            "1 files of --layer and 2 of --from",
        ),
        (("--layer", "{edit}", "--from", "a/0.png", "--atlas", BIRDS), "no --from"),
        (("--layer", "{edit}", "--from", "a/9.png"), "There is no image 'a/9.png'"),
        (("--layer", "{edit}", "--from", "a/1.png"), "80 x 60 pixels, the image 160 x 120"),
        (("--layer", "nowhere.png", "--from", "a/0.png"), "nowhere.png does not exist"),
        (("--mask", "{edit}", "--from", "a/0.png", "--composite"), "--composite goes with --layer"),
        (("--layer", "{edit}", "--from", "a/0.png", "--with-images"), "--with-images goes with --coco"),
        (("--coco", "{edit}", "--from", "a/0.png"), "names its images itself"),
        (("--coco", "{edit}"), "is no JSON"),
        (("--tps", "{edit}"), "cannot be used"),
    ],
)
def test_requests_that_make_no_sense(
    known: Path, edit: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    given = [argument.replace("{edit}", str(edit)) for argument in arguments]
    result = call("propagate", known, "--out", tmp_path / "out", *given)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_points_on_several_images_and_on_all(known: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("name,x,y\nbeak,30,31\n007,40.5,35\n")
    common = ("transfer", known, "--from", "a/0.png", "--points", tmp_path / "in.csv")
    result = call(*common, "--to", "a/1.png", "--to", "a/3.png")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "target,name,x,y,confidence,visible"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["a/1.png", "beak"],
        ["a/1.png", "007"],
        ["a/3.png", "beak"],
        ["a/3.png", "007"],
    ]
    one = call(*common, "--to", "a/3.png").stdout.splitlines()
    assert one[0] == "name,x,y,confidence,visible"
    assert [line.removeprefix("a/3.png,") for line in lines[3:]] == one[1:]
    everything = call(*common, "--to", "all", "--json")
    assert json.loads(everything.stdout)["points"] == 6
    assert call(*common, "--to", "all", "--to", "a/1.png").exit_code == 1
