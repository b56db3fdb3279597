from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sample_runs import chosen, folder, photographs
from typer.testing import CliRunner, Result

from flows.cli import COMMANDS, app
from flows.commands import deployment

ROOT = Path(__file__).parents[2]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def sets(weights: Path, *more: str) -> list[str]:
    return [part for text in chosen(weights, *more) for part in ("--set", text)]


def answer(result: Result) -> Any:
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_help_starts_quickly_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; import flows.cli; "
        "print(sorted({'torch', 'prefect', 'pandas', 'zarr', 'distributed', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
    assert call("--help").exit_code == 0


@pytest.mark.parametrize("command", ["run", "status", "verify", "transfer", "sql", "evaluate"])
def test_every_command_has_help_and_json(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_a_run_with_nothing_to_do_says_so(finished: Path, weights: Path) -> None:
    result = call("run", finished / "source", finished / "destination", *sets(weights))
    assert result.exit_code == 0
    assert "Nothing to do" in result.stdout
    assert "is up to date" in result.stdout
    facts = answer(call("run", finished / "source", finished / "destination", *sets(weights), "--json"))
    assert facts["ok"]
    assert facts["up_to_date"]
    assert facts["images"] == {"ok": 10, "failed": 1, "duplicate": 1}


def test_a_run_with_nothing_to_do_starts_nothing(finished: Path, weights: Path) -> None:
    arguments = ["run", str(finished / "source"), str(finished / "destination"), *sets(weights), "--quiet"]
    code = (
        f"import sys; from flows.cli import app; app({arguments!r}, standalone_mode=False); "
        "heavy = {'torch', 'prefect', 'timm', 'distributed', 'duckdb', 'pandas', "
        "'pyarrow', 'numpy', 'tenacity', 'yaml'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "nowhere does not exist"),
        ("empty", "empty is empty"),
        ("notes", "holds no image"),
        ("out/inside", "contains"),
        (".", "lies inside"),
    ],
)
def test_a_source_that_cannot_be_used(tmp_path: Path, weights: Path, source: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "notes", {"a.txt": b"words"})
    result = call("run", tmp_path / source, tmp_path / "out", *sets(weights))
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "congeal.json").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("features.backbone=vit_smal_patch14_dinov2", "vit_small_patch14_dinov2"),
        ("features.backbone=vit_tiny_patch16_224", "do not fit"),
        ("features.weights=/nowhere.safetensors", "/nowhere.safetensors does not exist"),
        ("features.image_size=97", "use 96 or 112"),
        ("features.device=abacus", "abacus"),
        ("features.bakbone=x", "did you mean features.backbone?"),
        ("seed=high", "seed"),
        (
            "atlases.solver=magic",
            "'magic' is no preset of the solver: there are default, rigid, flow, guided",
        ),
        ("atlases.solver.flow.finest_cels=9", "did you mean atlases.solver.flow.finest_cells?"),
        ("atlases.solver.flow.finest_cells=0", "flow.finest_cells is a whole number, at least 1"),
    ],
)
def test_a_setting_that_cannot_be_used(tmp_path: Path, weights: Path, setting: str, words: str) -> None:
    source = folder(tmp_path / "source", photographs(1))
    result = call("run", source, tmp_path / "out", *sets(weights, setting), "--json")
    assert result.exit_code == 1
    assert words in answer(result)["error"]
    assert result.stderr.startswith("error: ")


def test_a_weights_file_that_is_none(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", photographs(1))
    result = call("run", source, tmp_path / "out", *sets(source / "a" / "0.png"))
    assert result.exit_code == 1
    assert "not a sound safetensors file" in result.stderr


def test_no_credentials(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    more = sets(weights, "storage.endpoint_url=http://127.0.0.1:1")
    result = call("run", "s3://some-bucket/photographs", tmp_path / "out", *more)
    assert result.exit_code == 1
    assert "AWS_ACCESS_KEY_ID" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path, weights: Path) -> None:
    source = folder(tmp_path / "source", photographs(1))
    (tmp_path / "locked").mkdir(mode=0o500)
    result = call("run", source, tmp_path / "locked" / "out", *sets(weights))
    assert result.exit_code == 1
    assert "permission" in result.stderr.lower()


@pytest.mark.parametrize(
    ("written", "usage", "missing"),
    [
        (
            ["run", "photographs"],
            "congeal run [OPTIONS] SOURCE... DEST",
            "DEST is missing. Where the results",
        ),
        (["run"], "congeal run [OPTIONS] SOURCE... DEST", "SOURCE... and DEST are missing. SOURCE...: The"),
        (["run", "--set", "seed=3", "photographs"], "congeal run", "DEST is missing"),
        (["fit", "atlases"], "congeal fit [OPTIONS] DEST IMAGE...", "IMAGE... is missing."),
        (["sql", "atlases"], "congeal sql [OPTIONS] DEST QUERY", "QUERY is missing. DuckDB SQL"),
        (["figure", "a"], "congeal figure [OPTIONS] DEST CLUSTER FILE", "CLUSTER and FILE are missing."),
        (["distill", "photographs"], "congeal distill [OPTIONS] SOURCE OUT", "OUT is missing."),
        (["plan"], "congeal plan [OPTIONS] SOURCE... [DEST]", "SOURCE... is missing."),
        (["forget"], "congeal forget [OPTIONS] DEST [IMAGE]...", "DEST is missing."),
        (["clusters"], "congeal clusters [OPTIONS] DEST [ACTION] [NAME]...", "DEST is missing."),
    ],
)
def test_what_is_left_out_is_named_with_how_the_command_is_called(
    written: list[str], usage: str, missing: str
) -> None:
    result = call(*written)
    assert result.exit_code == 2
    assert f"Usage: {usage}" in result.stderr.replace("root", "congeal")
    assert f"Error: {missing}" in result.stderr
    assert call(written[0], "--help").exit_code == 0


def test_an_action_that_lacks_a_name_says_how_it_is_written(finished: Path) -> None:
    result = call("clusters", finished / "destination", "merge", "A")
    assert result.stderr == (
        "error: merge takes 2 or more names, and 1 is given: congeal clusters DEST merge A B.\n"
    )
    result = call("clusters", finished / "destination", "pin")
    assert "pin takes 1 name, and 0 are given: congeal clusters DEST pin A --reference" in result.stderr


def test_wrong_usage_is_2() -> None:
    assert call("run", "only-one").exit_code == 2
    assert call("run", "a", "b", "--nonsense").exit_code == 2


def test_interrupted_says_that_nothing_is_lost(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.runs.prepare.prepare", stop)
    result = call("run", tmp_path, tmp_path / "out", *sets(weights))
    assert result.exit_code == 130
    assert "takes up from there" in result.stderr


def test_status_and_verify(finished: Path) -> None:
    result = call("status", finished / "destination")
    assert result.exit_code == 0
    assert "10 ok, 1 failed, 1 duplicate" in result.stdout
    assert "broken.jpg: not an image" in result.stdout
    assert answer(call("status", finished / "destination", "--json"))["clusters"] == 1
    assert "sound" in call("verify", finished / "destination").stdout
    assert answer(call("verify", finished / "destination", "--json"))["faults"] == []


def test_verify_exits_with_1_for_a_fault(finished: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished / "destination", tmp_path / "out")
    path = next((tmp_path / "out").glob("stages/index/*/*/*/alignments.parquet"))
    path.unlink()
    result = call("verify", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{path} is damaged, it is missing" in result.stdout
    facts = answer(call("verify", tmp_path / "out", "--json"))
    assert facts["ok"] is False
    assert len(facts["faults"]) == 1


def test_transfer_carries_other_columns_along(aligned: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("name, X ,y\nbeak,30,31\n007,40.5,35\n")
    images = ("--from", "a/0.png", "--to", "a/1.png")
    common = ("transfer", aligned / "destination", *images, "--points", tmp_path / "in.csv")
    result = call(*common)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "name,x,y,confidence,visible"
    assert lines[2].startswith("007,")
    assert call(*common, "--out", tmp_path / "out.csv").exit_code == 0
    assert (tmp_path / "out.csv").read_text() == result.stdout
    facts = answer(call(*common, "--json"))
    assert facts["points"] == 2
    assert facts["rows"][0]["name"] == "beak"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        ("", "no CSV with a header"),
        ("a,b\n1,2\n", "no column x"),
        ("x,y\n1,two\n", "y='two' in row 1"),
        ("x,y\n1,\n", "y='' in row 1"),
        ("x,y\n1,inf\n", "y='inf' in row 1"),
        ("x,y\n1,2\n-50,2\n", "lies outside"),
    ],
)
def test_points_that_cannot_be_used(aligned: Path, tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "in.csv").write_text(content)
    images = ("--from", "a/0.png", "--to", "a/1.png")
    result = call("transfer", aligned / "destination", *images, "--points", tmp_path / "in.csv")
    assert result.exit_code == 1
    assert words in result.stderr


def test_sql(finished: Path) -> None:
    query = "SELECT status, count(*) AS n FROM images GROUP BY status ORDER BY status"
    result = call("sql", finished / "destination", query)
    assert result.exit_code == 0
    assert "duplicate" in result.stdout
    assert "3 rows" in result.stdout
    facts = answer(call("sql", finished / "destination", query, "--json"))
    assert facts["columns"] == ["status", "n"]
    assert facts["rows"] == [["duplicate", 1], ["failed", 1], ["ok", 10]]
    wrong = call("sql", finished / "destination", "SELECT x FROM images")
    assert wrong.exit_code == 1
    assert 'Referenced column "x" not found' in wrong.stderr


def test_the_list_of_commands_says_what_the_commands_say() -> None:
    for name, (module, text) in COMMANDS.items():
        if name != "deployment":
            command = getattr(importlib.import_module(f"flows.commands.{module}"), name)
            assert text == inspect.cleandoc(command.__doc__).partition("\n\n")[0].replace("\n", " ")
    assert COMMANDS["deployment"][1] == deployment.app.info.help


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from flows.cli import app; app(['--help'], standalone_mode=False); "
        "print([name for name in sys.modules if name.startswith('flows.commands')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_mistyped_command_gets_the_nearest() -> None:
    result = call("statsu")
    assert result.exit_code == 2
    assert "status" in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_answer_that_does_not_fit_gets_a_sentence(finished: Path, more: list[str]) -> None:
    command = [sys.executable, "-m", "congeal", "status", str(finished / "destination"), *more]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The answer cannot be written to standard output: No space left")
    assert done.stderr.count("\n") == 1
