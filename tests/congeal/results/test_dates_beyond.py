"""What was published with dates that Python does not know is read all the same."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_collection import known_collection, labelled, republished
from typer.testing import CliRunner

import congeal
from congeal.results.schema.date_limits import columns_beyond, read_within, sql_within, within
from congeal.results.schema.own_fields import own_field, with_own
from congeal.results.schema.tables import IMAGES
from flows.cli import app
from infra.errors import UserError

DAYS = [0, -719_163, 2_932_897, 2**31 - 1, -719_162, 2_932_896]
TIMES = [0, -62_135_596_800_000_001, 253_402_300_800_000_000, 2**63 - 1, -62_135_596_800_000_000]
TOLD = r'The columns taken, at "it" hold dates before year 1 or after year 9999, which count as missing: '


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A destination as earlier versions published it; the first row of each column is sound."""
    destination = known_collection(tmp_path_factory.mktemp("dated"))

    def images(found: pa.Table) -> tuple[pa.Table, pa.Schema]:
        days, times = (part + [0] * (found.num_rows - len(part)) for part in (DAYS, TIMES))
        schema = with_own(IMAGES, [own_field("taken", pa.date32()), own_field('at "it"', pa.timestamp("us"))])
        columns = [
            pa.array(days, pa.int32()).cast(pa.date32()),
            pa.array(times, pa.int64()).cast(pa.timestamp("us")),
        ]
        return pa.Table.from_arrays([*found.select(IMAGES.names).columns, *columns], schema=schema), schema

    republished(destination, "dated", images)
    return destination


def command(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("form", ["pandas", "arrow"])
def test_they_are_missing_in_tables_and_a_warning_says_so(dated: Path, form: Any) -> None:
    opened = congeal.open(dated)
    with pytest.warns(UserWarning, match=f"^{TOLD}mend the list or table that they come from, and run again"):
        found = opened.table("images", ["taken", 'at "it"'], as_=form)
    rows = found if form == "arrow" else pa.Table.from_pandas(found)
    assert [one is None for one in rows["taken"].to_pylist()] == [False, True, True, True] + [False] * 6
    assert [one is None for one in rows['at "it"'].to_pylist()] == [False, True, True, True] + [False] * 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.table("images", ["uri"])  # of what is not asked for nothing is said


def test_they_are_null_in_queries(dated: Path) -> None:
    with pytest.warns(UserWarning, match=TOLD):
        found = congeal.open(dated).query(
            'SELECT count(*), count(taken), count("at ""it"""), max(taken)::VARCHAR FROM images'
        )
    assert [column[0].as_py() for column in found.columns] == [10, 7, 7, "9999-12-31"]


def test_commands_tell_of_them_and_go_on(dated: Path, tmp_path: Path) -> None:
    answer = command("sql", dated, "SELECT list(taken) AS taken FROM images", "--json")
    assert answer.stderr.count("which count as missing") == 1
    assert json.loads(answer.stdout)["rows"][0][0][:2] == ["1970-01-01", None]
    assert command("sql", dated, "FROM images", "--out", tmp_path / "a.json").exit_code == 0
    answer = command("sql", dated, "SELECT DATE '20000-01-01' AS far")
    assert answer.exit_code == 1
    assert (
        "error: The column far of the answer holds a date before year 1 or after year 9999: ask"
        in answer.stderr
    )
    assert command("report", dated, "--out", tmp_path / "site").exit_code == 0
    index = next((tmp_path / "site").glob("data/*/index.js")).read_text("utf-8")
    assert "which count as missing" in index


def test_one_image_is_found(dated: Path) -> None:
    assert congeal.open(dated).find("a/1.png")["uri"] == "a/1.png"
    with pytest.raises(UserError, match="There is no image"):
        congeal.open(dated).find("nowhere.png")


@settings(max_examples=40)
@given(
    st.lists(st.none() | st.integers(-(2**31), 2**31 - 1) | st.sampled_from(DAYS), max_size=8),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from(TIMES), max_size=8),
)
def test_all_ways_of_reading_agree(days: list[int | None], times: list[int | None]) -> None:
    size = max(len(days), len(times))
    columns = [
        pa.array(days + [None] * (size - len(days)), pa.int32()).cast(pa.date32()),
        pa.array(times + [None] * (size - len(times)), pa.int64()).cast(pa.timestamp("us")),
    ]
    table = pa.table(columns, names=['d"', "t"])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    form = pads.ParquetFileFormat()
    dataset = pads.FileSystemDataset([form.make_fragment(pa.py_buffer(sink.getvalue()))], table.schema, form)
    known = within(table)
    for column in known.columns:
        assert len(column.to_pylist()) == size  # none of them is an error
    assert dataset.to_table(columns={f.name: read_within(f) for f in table.schema}).equals(known)
    beyond = columns_beyond(dataset)
    assert {*beyond} == {
        name for name in table.column_names if known[name].null_count != table[name].null_count
    }
    connection = duckdb.connect()
    connection.register("rows", table)
    asked = sql_within(table.schema.field(name) for name in beyond)
    assert connection.sql(f"SELECT * {asked} FROM rows").to_arrow_table().cast(table.schema).equals(known)
    connection.close()


def test_of_what_is_sound_nothing_is_said(tmp_path: Path) -> None:
    destination = known_collection(tmp_path)
    labelled(destination)
    opened = congeal.open(destination)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = opened.images
    assert [str(one) for one in found["taken"]][:2] == ["2024-05-01", "2024-05-02"]
    answer = command("sql", destination, "SELECT taken FROM images")
    assert (answer.exit_code, answer.stderr) == (0, "")
