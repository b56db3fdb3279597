"""benchmarks/accuracy/same_bytes.py: two destinations are the same, or it says what differs first."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from sample_runs import finished, run, tiny, units, weights

Command = Callable[[Sequence[str | Path]], int]

__all__ = ["finished", "weights"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """The script's main, given its arguments."""
    main = importlib.import_module("benchmarks.accuracy.same_bytes").main
    return lambda arguments: main([str(argument) for argument in arguments])


@pytest.fixture
def pair(finished: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A destination, and a copy of it to be changed."""
    shutil.copytree(finished / "destination", tmp_path / "after")
    return finished / "destination", tmp_path / "after"


def output(destination: Path, stage: str, name: str) -> Path:
    """The one file, or folder, of this name that a stage has written."""
    (found,) = destination.glob(f"stages/{stage}/*/*/*/{name}")
    return found


def differing(said: str) -> list[str]:
    return [line.split()[0] for line in said.splitlines() if " DIFFERS " in line]


def test_two_runs_on_the_same_images_are_the_same(
    finished: Path, weights: Path, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    run(finished / "source", tmp_path / "again", tiny(weights))
    assert command(["compare", finished / "destination", tmp_path / "again"]) == 0
    said = capsys.readouterr().out
    assert differing(said) == []
    groups = {line.split()[0] for line in said.splitlines()}
    tables = {"images", "clusters", "alignments", "correspondences"}
    assert groups >= {f"index/{name}.parquet" for name in tables}
    assert groups >= {"atlases/atlas.zarr/maps/forward", "atlases/previews/members.png", "published/version"}


def test_a_record_stands_for_its_destination(
    pair: tuple[Path, Path], tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    kept = tmp_path / "before.json"
    assert command(["record", before, kept]) == 0
    assert command(["compare", kept, after]) == 0
    picture = output(after, "atlases", "previews/members.png")
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert command(["compare", kept, after]) == 1
    assert differing(capsys.readouterr().out) == ["atlases/previews/members.png"]


def test_one_value_of_a_table(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    path = output(after, "index", "alignments.parquet")
    table = pq.read_table(path)
    scale = table.column("scale").to_pylist()
    scale[3] = float(np.nextafter(np.float32(scale[3]), np.float32(9)))
    index = table.column_names.index("scale")
    pq.write_table(table.set_column(index, table.schema.field(index), pa.array(scale, pa.float32())), path)
    assert command(["compare", before, after]) == 1
    said = capsys.readouterr().out
    assert differing(said) == ["index/alignments.parquet"]
    assert "column scale, stored bytes: row 3: " in said
    assert "1 of 10 differ" in said


def test_text_in_a_tables_schema(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    path = output(after, "index", "clusters.parquet")
    table = pq.read_table(path)
    facts = table.schema.metadata | {b"congeal.description": b"Sets."}
    pq.write_table(table.replace_schema_metadata(facts), path)
    assert command(["compare", before, after]) == 1
    said = capsys.readouterr().out
    assert differing(said) == ["index/clusters.parquet"]
    assert "DIFFERS  schema, stored bytes: " in said
    assert "b'Sets.'" in said


def test_the_same_values_stored_otherwise(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    path = output(after, "index", "alignments.parquet")
    pq.write_table(pq.read_table(path), path, compression="none")
    assert command(["compare", before, after]) == 1
    assert "the values are the same, but stored in other bytes" in capsys.readouterr().out


def test_one_value_of_an_array(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    array = zarr.open_array(output(after, "atlases", "atlas.zarr/maps/forward"), mode="r+")
    array[1, 2, 3, 0] = np.nextafter(np.float32(array[1, 2, 3, 0]), np.float32(9))
    assert command(["compare", before, after]) == 1
    said = capsys.readouterr().out
    assert differing(said) == ["atlases/atlas.zarr/maps/forward"]
    assert "values, stored bytes: [1, 2, 3, 0]: " in said
    assert f"1 of {array.size} differ" in said


def test_an_attribute_of_an_array(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    path = output(after, "atlases", "atlas.zarr/maps/forward") / "zarr.json"
    node = json.loads(path.read_text())
    node["attributes"]["units"] = "inches"
    path.write_text(json.dumps(node))
    assert command(["compare", before, after]) == 1
    said = capsys.readouterr().out
    assert differing(said) == ["atlases/atlas.zarr/maps/forward"]
    assert "'inches'" in said


def test_when_and_where_do_not_count_but_what_a_marker_records_does(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    path = units(after, ["atlases"])[0] / "_commit.json"
    marker = json.loads(path.read_text())
    marker |= {"host": "elsewhere", "seconds": 1e6, "started": "1970-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(marker))
    assert command(["compare", before, after]) == 0
    marker["record"]["n_members"] += 1
    path.write_text(json.dumps(marker))
    assert command(["compare", before, after]) == 1
    assert "record.n_members" in capsys.readouterr().out


def test_a_unit_of_another_name_and_one_that_is_not_there(
    pair: tuple[Path, Path], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = pair
    unit = units(after, ["clusters"])[0]
    unit.rename(unit.with_name("0" * 32))
    assert command(["compare", before, after]) == 1
    said = capsys.readouterr().out
    assert differing(said) == ["names"]
    assert "clusters: 1 names of the first are not in the second, 1 the other way round" in said
    shutil.rmtree(unit.with_name("0" * 32))
    assert command(["compare", before, after]) == 1
    assert "only in the first" in capsys.readouterr().out


def test_a_later_build_must_find_every_unit_made(
    finished: Path, weights: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = importlib.import_module("benchmarks.accuracy.same_bytes")
    before = finished / "destination"
    job = script.kept_job(before)
    assert job.images == str(finished / "source")
    assert f"features.weights={weights}" in job.settings

    def anew(copy: str, *settings: str) -> str:
        def build(_: Path, job: Any, destination: Path) -> dict[str, Any]:
            return run(Path(job.images), destination, tiny(weights, *settings)) | {"wall": 0.0}

        monkeypatch.setattr(script, "run", build)
        found: str = script.made_anew(tmp_path, job, before, tmp_path / copy)
        return found

    assert anew("same") == ""
    assert "'atlases': 1, 'index': 2" in anew("other", "seed=1")


def test_a_checkout_without_its_environment(
    finished: Path, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"has no \.venv: run `make setup` there"):
        command([tmp_path, tmp_path, "--images", finished / "source"])
    with pytest.raises(SystemExit, match="2"):
        command([tmp_path, "--images", finished / "source"])
    assert "or AFTER and --before-destination" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="has no published version"):
        command(["compare", tmp_path, tmp_path])
