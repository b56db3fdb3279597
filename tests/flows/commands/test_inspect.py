"""Answers of `congeal sql`, the pictures, the version, completion: at a terminal, in a pipe, in a file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from known_collection import BOATS, known
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

import congeal
from flows.cli import app
from flows.console import answers
from infra.settings import StorageSettings
from infra.storage.location import Location

__all__ = ["known"]

IDS = "SELECT image_id, uri FROM images ORDER BY uri"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"congeal {congeal.__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "--install-completion" in call("--help").stdout
    result = call("--show-completion", shell)
    assert result.exit_code == 0
    assert "_CONGEAL_COMPLETE" in result.stdout.upper()


def test_values_are_whole_where_no_terminal_shows_them(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ids = congeal.open(known).images["image_id"]
    result = call("sql", known, "FROM images ORDER BY uri")
    assert all(name in result.stdout for name in ids)
    assert "…" not in result.stdout
    assert result.stdout.endswith("10 rows\n")


def test_numbers_of_32_bits_have_no_digits_that_they_do_not_know(known: Path) -> None:
    result = call("sql", known, "SELECT 0.1::FLOAT AS a, 0.1::DOUBLE AS b, NULL::FLOAT AS c")
    assert result.stdout.count(" 0.1 ") == 2
    assert json.loads(call("sql", known, "SELECT 0.1::FLOAT AS a", "--json").stdout)["rows"] == [[0.1]]


@pytest.mark.parametrize("width", [20, 60, 100])
@pytest.mark.parametrize("query", ["SELECT image_id FROM images", "FROM images ORDER BY uri"])
def test_a_narrow_terminal_cuts_nothing(known: Path, query: str, width: int) -> None:
    table = congeal.open(known).query(query)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    answers.show(table.column_names, answers.rows_of(table), console)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in screen.getvalue()
    # Every letter of every id is there, in order, whatever lines it goes over.
    letters = "".join(line.strip("│┃ ") for line in lines)
    assert all(name in letters for name in table["image_id"].to_pylist())


def test_a_few_columns_stay_side_by_side(known: Path) -> None:
    table = congeal.open(known).query(IDS)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=30, color_system=None)
    answers.show(table.column_names, answers.rows_of(table), console)
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in screen.getvalue().splitlines()]
    ids = "".join(cell[0] for cell in cells if len(cell) == 2)
    assert all(name in ids for name in table["image_id"].to_pylist())


def test_an_answer_as_a_file(known: Path, tmp_path: Path) -> None:
    query = "SELECT uri, status, outlier, width / 3 AS third FROM images ORDER BY uri"
    for ending in ("csv", "parquet", "json"):
        result = call("sql", known, query, "--out", tmp_path / "made" / f"answer.{ending}")
        assert result.exit_code == 0, result.stderr
        assert f"10 rows written to {tmp_path}/made/answer.{ending}" in result.stdout
    rows = json.loads((tmp_path / "made/answer.json").read_text())
    assert rows == pq.read_table(tmp_path / "made/answer.parquet").to_pylist()
    with (tmp_path / "made/answer.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row["uri"] for row in found] == [row["uri"] for row in rows]
    assert {row["status"] for row in found} == {"ok", "failed", "duplicate"}
    assert [row["outlier"] for row in found if row["uri"] == "broken.jpg"] == [""]
    assert [float(row["third"]) for row in found if row["third"]] == [
        row["third"] for row in rows if row["third"] is not None
    ]


def test_names_with_commas_and_quotes_come_back(known: Path, tmp_path: Path) -> None:
    query = """SELECT 'a,"b"' || chr(10) || 'ü' AS name, 1 AS one"""
    call("sql", known, query, "--out", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["name", "one"], ['a,"b"\nü', "1"]]


def test_nothing_is_overwritten_unless_asked(known: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("mine")
    result = call("sql", known, IDS, "--out", file)
    assert result.exit_code == 1
    assert f"{file} exists: name another file, or say --overwrite" in result.stderr
    assert file.read_text() == "mine"
    for option in ("--overwrite", "--force"):  # the second is its former name
        assert call("sql", known, IDS, "--out", file, option).exit_code == 0
    assert file.read_text().startswith('"image_id","uri"\n')


@pytest.mark.parametrize(
    ("name", "query", "words"),
    [
        ("a.txt", IDS, "says no format: let its name end in .csv, .parquet, .json"),
        ("a", IDS, "says no format"),
        ("a.parquet", "SELECT 1 AS a, 2 AS A, 3 AS a", "Two columns are called"),
        ("a.csv", "SELECT [1, 2] AS list", "CSV cannot hold this answer"),
        ("a.csv", "SELECT nothing FROM images", "Referenced column"),
    ],
)
def test_what_cannot_be_written(known: Path, tmp_path: Path, name: str, query: str, words: str) -> None:
    result = call("sql", known, query, "--out", tmp_path / name, "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 1
    if "Two columns" in words:
        assert facts["ok"] is False
    else:
        assert words in facts["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.s3
def test_an_answer_goes_to_a_bucket(
    known: Path,
    s3_location: Location,
    s3_settings: StorageSettings,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    result = call("sql", known, IDS, "--out", f"{s3_location.url}/a.csv")
    assert result.exit_code == 0, result.stderr
    assert (s3_location / "a.csv").read_bytes().startswith(b'"image_id","uri"\n')
    assert call("sql", known, IDS, "--out", f"{s3_location.url}/a.csv").exit_code == 1


def test_json_knows_no_nan_and_every_column_counts(known: Path) -> None:
    result = call(
        "sql", known, "SELECT 'nan'::FLOAT AS a, 'inf'::DOUBLE AS b, [1.5, 'nan'::DOUBLE] AS c", "--json"
    )

    def refuse(name: str) -> Any:
        raise AssertionError(name)

    facts = json.loads(result.stdout, parse_constant=refuse)
    assert facts["rows"] == [[None, None, [1.5, None]]]
    twice = json.loads(call("sql", known, "SELECT 1 AS a, 2 AS a", "--json").stdout)
    assert twice["rows"] == [[1, 2]]
    assert len(twice["columns"]) == 2


def test_where_the_pictures_are(finished: Path) -> None:
    destination = finished / "destination"
    cluster = congeal.open(destination).clusters["cluster_id"].iloc[0]
    lines = call("pictures", destination).stdout.splitlines()
    assert {Path(line).name for line in lines} == {
        "aligned.png", "atlas_features.png", "average_after.png", "average_before.png", "members.png",
    }  # fmt: skip
    for line in lines:
        with Image.open(line) as picture:
            assert picture.format == "PNG"
    assert call("pictures", destination, cluster).stdout.splitlines() == lines
    facts = json.loads(call("pictures", destination, cluster, "--json").stdout)
    assert facts["clusters"][0]["pictures"] == congeal.open(destination).pictures(cluster)
    assert sorted(facts["clusters"][0]["pictures"].values()) == sorted(lines)
    unknown = call("pictures", destination, "c0")
    assert unknown.exit_code == 1
    assert "There is no cluster 'c0'" in unknown.stderr


def test_a_terminal_shows_whose_pictures_they_are(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    cluster = congeal.open(finished / "destination").clusters["cluster_id"].iloc[0]
    assert f"{cluster}:\n" in call("pictures", finished / "destination").stdout


def test_a_cluster_without_pictures(known: Path) -> None:
    assert congeal.open(known).pictures(BOATS) == {}
    assert call("pictures", known, BOATS).stdout == ""
