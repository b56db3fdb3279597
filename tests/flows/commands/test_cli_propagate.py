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
    assert "1 image left out, as not fitting the atlas" in result.stdout
    assert (tmp_path / "out" / "a" / "3.png").exists()
    assert "a/misfit.png: few matches" in result.stdout
    assert "a/copy.png: the same as a/0.png" in result.stdout
    assert "say --overwrite" in call(*common).stderr
    result = call(*common, "--to", "a/2.png", "--to", "a/3.png", "--fade", "--json", "--overwrite")
    facts: dict[str, Any] = json.loads(result.stdout)
    assert (facts["ok"], facts["images"], facts["cluster"]) == (True, 2, BIRDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing was given"),
        (("--layer", "{edit}", "--mask", "{edit}"), "(--layer and --mask was given)"),
        (("--layer", "{edit}"), "1 file of --layer and 0 of --from"),
        (
            ("--layer", "{edit}", "--from", "a/0.png", "--from", "a/1.png"),
            "1 file of --layer and 2 of --from",
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
        (("--deeplabcut", "{edit}"), "is no DeepLabCut file"),
        (("--sleap", "{edit}"), "is no SLEAP file"),
        (("--via", "{edit}"), "is no JSON"),
        (("--sleap", "{edit}", "--deeplabcut", "{edit}"), "(--deeplabcut and --sleap was given)"),
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


def test_labels_of_deeplabcut(known: Path, tmp_path: Path) -> None:
    given = tmp_path / "CollectedData_me.csv"
    given.write_text("scorer,me,me\nbodyparts,eye,eye\ncoords,x,y\nlabeled-data/a/0.png,30,25\n")
    common = ("propagate", known, "--deeplabcut", given, "--out")
    result = call(*common, tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "4 images, median confidence 0.8" in result.stdout
    assert (tmp_path / "out" / "CollectedData_me.csv").read_text().startswith(given.read_text())
    assert (tmp_path / "out" / "likelihood_CollectedData_me.csv").exists()
    # Into its own folder it would be replaced.
    assert "is an input" in call(*common, tmp_path, "--overwrite").stderr


def test_poses_of_yolo(known: Path, tmp_path: Path) -> None:
    config = tmp_path / "set" / "data.yaml"
    label = tmp_path / "set" / "labels" / "a" / "0.txt"
    label.parent.mkdir(parents=True)
    config.write_text("names: [bird]\nkpt_shape: [2, 3]\n")
    # The centre of the pixel (30, 25) of 80 x 60.
    label.write_text("0 0.5 0.5 0.4 0.4 0.38125 0.425 2 0 0 0\n")
    (label.parent / "2.txt").touch()  # a person has looked: nothing is on it
    (label.parent / "9.txt").write_text("0 .5 .5 .1 .1 0 0 0 0 0 0\n")
    common = ("propagate", known, "--yolo", config, "--out")
    result = call(*common, tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "3 images, median confidence 0.8" in result.stdout
    assert "There is no image 'images/a/9'" in result.stdout
    out = tmp_path / "out" / "labels" / "a"
    assert sorted(path.name for path in out.iterdir()) == ["0.txt", "1.txt", "2.txt", "3.txt", "9.txt"]
    assert out.joinpath("0.txt").read_text() == label.read_text()
    assert out.joinpath("2.txt").read_bytes() == b""
    # In twice the size the point is 60.5, 50.5, whose share of the image is the same.
    numbers = [float(number) for number in out.joinpath("1.txt").read_text().split()]
    np.testing.assert_allclose(numbers[5:], [0.38125, 0.425, 2, 0, 0, 0], atol=1e-4)
    assert (tmp_path / "out" / "data.yaml").read_bytes() == config.read_bytes()
    assert (tmp_path / "out" / "carried.csv").read_text().count("\n") == 3
    assert "say --overwrite" in call(*common, tmp_path / "out").stderr
    for inside in (tmp_path / "set", tmp_path / "set" / "new", tmp_path):
        assert "holds the labels in" in call(*common, inside).stderr


def test_regions_of_via(known: Path, tmp_path: Path) -> None:
    given = tmp_path / "regions.json"
    point = {"shape_attributes": {"name": "point", "cx": 30, "cy": 25}, "region_attributes": {"part": "eye"}}
    entry = {"filename": "a/0.png", "size": 5, "regions": [point], "file_attributes": {}}
    given.write_text(json.dumps({"a/0.png5": entry}))
    result = call("propagate", known, "--via", given, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "4 images, median confidence 0.8" in result.stdout
    found = json.loads((tmp_path / "out" / "via.json").read_text())
    assert list(found) == ["a/0.png5", "a/1.png-1", "a/2.png-1", "a/3.png-1"]
    assert found["a/0.png5"] == entry
    (region,) = found["a/1.png-1"]["regions"]
    assert region["region_attributes"] == {"part": "eye", "score": "0.8000", "origin": "a/0.png"}
    assert region["shape_attributes"] == {"name": "point", "cx": 60.5, "cy": 50.5}


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


def moved(known: Path, tmp_path: Path, text: str, *more: object) -> Result:
    (tmp_path / "in.csv").write_text(text)
    images = ("--from", "a/0.png", "--to", "a/1.png", "--points", tmp_path / "in.csv")
    return call("transfer", known, *images, *more)


def test_points_are_never_written_over(known: Path, tmp_path: Path) -> None:
    given = "x,y\n30,31\n"
    for out in (tmp_path / "in.csv", tmp_path / "new" / ".." / "in.csv"):
        result = moved(known, tmp_path, given, "--out", out, "--overwrite")
        assert "write to another" in result.stderr
    (tmp_path / "link.csv").symlink_to(tmp_path / "in.csv")
    assert "write to another" in moved(known, tmp_path, given, "--out", tmp_path / "link.csv").stderr
    assert (tmp_path / "in.csv").read_text() == given
    assert "in the destination" in moved(known, tmp_path, given, "--out", known / "x.csv").stderr


def test_points_go_into_a_new_folder_and_replace_nothing_unasked(known: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "out.csv"
    assert moved(known, tmp_path, "x,y\n30,31\n", "--out", out).exit_code == 0
    out.write_text("mine")
    assert "is there already" in moved(known, tmp_path, "x,y\n30,31\n", "--out", out).stderr
    assert out.read_text() == "mine"
    assert moved(known, tmp_path, "x,y\n30,31\n", "--out", out, "--overwrite").exit_code == 0
    result = moved(known, tmp_path, "x,y\n30,31\n", "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_columns_of_ones_own_stay(known: Path, tmp_path: Path) -> None:
    text = (
        'confidence,visible,target, note ,x,n,n,y,\n0.10,yes,t1," a, b",30,1,007,31,\n1e3,no,, ,40,,2,35,z\n'
    )
    lines = moved(known, tmp_path, text).stdout.splitlines()
    assert lines[0] == "confidence,visible,target, note ,x,n,n,y,,carried_confidence,carried_visible"
    assert lines[1].startswith('0.10,yes,t1," a, b",')
    assert ",1,007," in lines[1]
    assert lines[2].startswith("1e3,no,, ,")
    several = moved(known, tmp_path, text, "--to", "a/3.png").stdout.splitlines()
    assert several[0].startswith("carried_target,confidence,visible,target, note ,x,")
    assert [line.split(",")[0] for line in several[1:]] == ["a/1.png"] * 2 + ["a/3.png"] * 2
    rows = json.loads(moved(known, tmp_path, text, "--json").stdout)["rows"]
    assert (rows[0]["n"], rows[0]["n_2"], rows[0]["confidence"]) == ("1", "007", "0.10")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2,3\n", "3 fields in row 1 and 2 in its header"),
        ("name,x,y\na,1,2\nb,1\n", "2 fields in row 2 and 3 in its header"),
        ("x,X,y\n1,2,3\n", "2 columns called x"),
        ('x,y\n1,"2\n', "no CSV with a header"),
    ],
)
def test_points_that_do_not_fit_their_header(known: Path, tmp_path: Path, text: str, words: str) -> None:
    result = moved(known, tmp_path, text)
    assert result.exit_code == 1
    assert words in result.stderr


def test_quotes_after_a_blank(known: Path, tmp_path: Path) -> None:
    result = moved(known, tmp_path, 'x, y, note\n30, 31, "a, b"\n')
    assert result.stdout.splitlines()[1].split(",", 2)[2].startswith('"a, b",')
