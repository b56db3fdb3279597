"""Lists of images as a source: what they name, what is wrong with them, what else they say."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from congeal.settings import CatalogSettings, SourceSettings
from infra.errors import UserError
from infra.storage.image_source import image_source
from infra.storage.location import Location
from tasks.catalog.listed_groups import group_sizes, grouped_by_id, groups, groups_digest, require_groups
from tasks.catalog.listed_rows import listed_rows
from tasks.catalog.source_listing import Survey
from tasks.execution.duckdb_workspace import rows


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@contextmanager
def surveyed(first: object, *, columns: Path | None = None, **asked: Any) -> Iterator[Survey]:
    source = image_source(str(first), asked.get("also", ()), asked.get("roots", ()))
    more = None if columns is None else Location.parse(columns)
    with Survey(source, CatalogSettings(), SourceSettings(**asked), more) as found:
        yield found


def paths(survey: Survey) -> list[str]:
    return [entry.path for part in survey.slices(1000) for entry in part]


def told(survey: Survey) -> dict[str, tuple[int, list[str]]]:
    return {one["reason"]: (one["count"], one["first"]) for one in survey.counted.facts()["reasons"]}


def own_of(survey: Survey, number: int = 0) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    """Names, types and rows of the owner's columns, by key."""
    own = survey.own[number]
    names = ", ".join(["key", *(column.physical for column in own.columns)])
    with survey.planning(keep=()) as connection:
        found = list(rows(connection, f"SELECT {names} FROM {own.table} ORDER BY key"))
    return [one.name for one in own.columns], [str(one.kind) for one in own.columns], found


def test_a_list_names_the_images(tmp_path: Path) -> None:
    images(tmp_path, "p/a.jpg", "p/b", "p/never.jpg")
    (tmp_path / "list.csv").write_text("uri,kind\np/a.jpg,x\np/b,y\n")
    with surveyed(tmp_path / "list.csv") as survey:
        assert paths(survey) == ["p/a.jpg", "p/b"]  # whatever its ending
        assert (survey.images, told(survey)) == (2, {})
        before = survey.digest
    with surveyed(tmp_path / "list.csv") as survey:
        assert survey.digest == before
    (tmp_path / "list.csv").write_text("uri,kind\np/a.jpg,x\np/b,z\n")
    with surveyed(tmp_path / "list.csv") as survey:
        assert survey.digest != before
        assert next(entry.token for part in survey.slices(9) for entry in part).endswith("-7")


def test_what_is_wrong_with_rows_is_counted_and_named(tmp_path: Path) -> None:
    images(tmp_path / "in", "a.jpg", "b.jpg")
    images(tmp_path / "out", "c.jpg")
    lines = [
        "a.jpg",
        "./a.jpg",
        "gone.jpg",
        "../out/c.jpg",
        f"{tmp_path}/in/b.jpg",
        "",
        r"x\y.jpg",
        "in/../../q",
    ]
    lines += [f"file://{tmp_path}/out/c.jpg", "s3://bucket/d.jpg", "a.jpg/x", "../in", "%2e%2e/out/c.jpg"]
    text = "uri,n\n" + "".join(f"{line},1\n" for line in lines)
    (tmp_path / "in/list.csv").write_text(text)
    with surveyed(tmp_path / "in/list.csv") as survey:
        assert paths(survey) == ["a.jpg", "b.jpg"]
        found = told(survey)
    assert found["named more than once in the list: the first row counts"] == (1, ["./a.jpg"])
    assert found["there is no such file"][0] == 2
    outside = found["it lies outside the list's folder: name its place in source.roots"]
    assert outside == (5, [*sorted(["../out/c.jpg", "in/../../q", f"file://{tmp_path}/out/c.jpg"])])
    assert found["the row has no uri"] == (1, ["row 6"])
    assert found["its name holds a backslash or a null: write paths with /"] == (1, [r"x\y.jpg"])
    with surveyed(tmp_path / "in/list.csv", roots=[str(tmp_path / "out")]) as survey:
        assert paths(survey) == ["a.jpg", "b.jpg", f"file://{tmp_path}/out/c.jpg"]


def test_nothing_of_a_list_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("uri\nx.jpg\ny.jpg\n")
    with (
        surveyed(tmp_path / "list.csv") as survey,
        pytest.raises(UserError, match=r"first x\.jpg \(there is no"),
    ):
        survey.require_images(CatalogSettings())


def test_links_are_followed_or_not(tmp_path: Path) -> None:
    images(tmp_path / "in", "a.jpg")
    images(tmp_path / "out", "c.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "out")
    (tmp_path / "in/list.csv").write_text("uri\na.jpg\nlink/c.jpg\n")
    with surveyed(tmp_path / "in/list.csv") as survey:
        assert paths(survey) == ["a.jpg", "link/c.jpg"]
    source = image_source(str(tmp_path / "in/list.csv"))
    with Survey(source, CatalogSettings(follow_links=False)) as survey:
        assert paths(survey) == ["a.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_csv_of_many_kinds(tmp_path: Path, encoding: str, mark: str) -> None:
    images(tmp_path, "hérón, 1;2.jpg", "b.jpg")
    cells = [["uri", "what is it"], ['"hérón, 1;2.jpg"', '"a ""grey""\nbird"'], ["b.jpg", ""]]
    text = "\r\n".join(mark.join(row) for row in cells) + "\r\n"
    (tmp_path / "l.csv").write_bytes(text.encode(encoding))
    with surveyed(tmp_path / "l.csv") as survey:
        assert paths(survey) == ["b.jpg", "hérón, 1;2.jpg"]
        names, kinds, found = own_of(survey)
    assert (names, kinds) == (["what is it"], ["string"])
    assert found == [("b.jpg", None), ("hérón, 1;2.jpg", 'a "grey"\nbird')]


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-20", ""], "int64", [1, -20, None]),
        (["1", "2.5", "1e3"], "double", [1.0, 2.5, 1000.0]),
        (["007", "8", "9"], "string", ["007", "8", "9"]),
        (["12345678901234567890", "1", "2"], "string", ["12345678901234567890", "1", "2"]),
        (["1,5", "2", "3"], "string", ["1,5", "2", "3"]),
        (["1e999", "2", "3"], "string", ["1e999", "2", "3"]),
        (["nan", "2", "3"], "string", ["nan", "2", "3"]),
        (["true", "FALSE", ""], "bool", [True, False, None]),
        (["2024-02-29", " ", "2024-01-01"], "date32[day]",
         [datetime.date(2024, 2, 29), None, datetime.date(2024, 1, 1)]),
        (["2023-02-29", "x", ""], "string", ["2023-02-29", "x", None]),
        (["2024-01-01 10:20", "2024-01-01T10:20:30.5", ""], "timestamp[us]",
         [datetime.datetime(2024, 1, 1, 10, 20), datetime.datetime(2024, 1, 1, 10, 20, 30, 500000), None]),
        (["0000-01-01", "2024-02-29", ""], "string", ["0000-01-01", "2024-02-29", None]),
        (["0000-01-01 10:20", "x", ""], "string", ["0000-01-01 10:20", "x", None]),
        (["0000-01-01 10:20", "", ""], "string", ["0000-01-01 10:20", None, None]),
        (["", "", ""], "string", [None, None, None]),
        (["'); DROP TABLE listed; --", "x", "y"], "string", ["'); DROP TABLE listed; --", "x", "y"]),
    ],
)  # fmt: skip
def test_cells_say_what_type_a_column_is(
    tmp_path: Path, cells: list[str], kind: str, values: list[Any]
) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    images(tmp_path, *names)
    text = "".join(f'"{name}","{cell}"\n' for name, cell in zip(names, cells, strict=True))
    (tmp_path / "l.csv").write_text('uri,"x"" FROM listed; --"\n' + text)
    with surveyed(tmp_path / "l.csv") as survey:
        columns, kinds, found = own_of(survey)
    assert columns == ['x" FROM listed; --']
    assert kinds == [kind]
    assert [value for _, value in found] == values


def test_columns_of_parquet_keep_their_types(tmp_path: Path) -> None:
    images(tmp_path, "a.jpg", "b.jpg")
    utc = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    table = pa.table(
        {
            "uri": pa.array(["a.jpg", "b.jpg"]).dictionary_encode(),
            "i": pa.array([1, None], pa.int8()),
            "big": pa.array([2**63, 1], pa.uint64()),
            "f": pa.array([0.5, None], pa.float32()),
            "dec": pa.array([1, 2], pa.decimal128(9, 2)),
            "cat": pa.array(["x", "y"]).dictionary_encode(),
            "t": pa.array([utc, None], pa.timestamp("ns", "Europe/Berlin")),
            "list": pa.array([[1], [2]]),
            "raw": pa.array([b"\0", b"1"]),
            "a.b": pa.array([True, None]),
            "nothing": pa.nulls(2),
        }
    )
    pq.write_table(table, tmp_path / "l.parquet")
    with surveyed(tmp_path / "l.parquet") as survey:
        names, kinds, found = own_of(survey)
        notes = survey.notes
    assert dict(zip(names, kinds, strict=True)) == {
        "i": "int64", "big": "double", "f": "double", "dec": "double", "cat": "string", "t": "timestamp[us]",
        "a.b": "bool", "nothing": "string",
    }  # fmt: skip
    assert found[0] == ("a.jpg", 1, 2.0**63, 0.5, 1.0, "x", datetime.datetime(2024, 1, 1, 10), True, None)
    assert [note.split(" not taken: ")[1] for note in notes] == [
        "list: its type list<element: int64> is no plain value.",
        "raw: its type binary is no plain value.",
    ]


@pytest.mark.parametrize(
    ("days", "kind", "said"),
    [
        ([0, -719_162, 2_932_896], "date32[day]", None),  # the first day and the last that Python knows
        ([0, -719_163, None], "string", "0001-12-31 (BC)"),
        ([0, 2_932_897, None], "string", "10000-01-01"),
        ([0, 2**31 - 2, None], "string", "5881580-07-10"),
        ([0, 2**31 - 1, None], "string", "infinity"),
    ],
)
def test_dates_that_python_does_not_know_are_text(
    tmp_path: Path, days: list[int | None], kind: str, said: str | None
) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    images(tmp_path, *names)
    dates = pa.array(days, pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"uri": names, "day": dates}), tmp_path / "l.parquet")
    with surveyed(tmp_path / "l.parquet") as survey:
        _, kinds, found = own_of(survey)
    assert kinds == [kind]
    assert [value for _, value in found] == (
        dates.to_pylist() if said is None else ["1970-01-01", said, None]
    )


@pytest.mark.parametrize(("more", "kind"), [(0, "timestamp[us]"), (1, "string")])
def test_times_that_python_does_not_know_are_text(tmp_path: Path, more: int, kind: str) -> None:
    images(tmp_path, "a.jpg")
    last = 253_402_300_800_000_000 - 1 + more  # microseconds until the year 10000
    times = pa.array([last], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"uri": ["a.jpg"], "when": times}), tmp_path / "l.parquet")
    with surveyed(tmp_path / "l.parquet") as survey:
        assert own_of(survey)[1] == [kind]


def test_names_that_are_ours_get_a_prefix(tmp_path: Path) -> None:
    images(tmp_path, "a.jpg")
    (tmp_path / "l.csv").write_text(",uri,Status,bytes,x\n0,a.jpg,good,7,1\n")
    with surveyed(tmp_path / "l.csv") as survey:
        assert own_of(survey)[0] == ["own_Status", "own_bytes", "x"]
        assert (
            "The column Status is called own_Status in images: congeal has a column status of its own."
            in (survey.notes)
        )
        assert any("column 1: it has no name" in note for note in survey.notes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path of it,x\na.jpg,1\n", "has no column uri"),
        ("", "is empty: its first line must name the columns"),
        ("uri,Kind,kind\na.jpg,1,2\n", "Kind and kind, which are one to SQL"),
        ("uri,status,own_status\na.jpg,1,2\n", "cannot both be kept"),
        ("uri," + ",".join(f"c{n}" for n in range(300)) + "\n", "200 are the most"),
        ('uri,x\na.jpg,"' + "y" * 200_000 + "\n", "a quotation mark that is not closed"),
    ],
)
def test_a_list_that_is_none_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(UserError, match=sentence), surveyed(tmp_path / "l.csv"):
        pass
    (tmp_path / "l.parquet").write_text(text)
    with pytest.raises(UserError, match="is no Parquet file"), surveyed(tmp_path / "l.parquet"):
        pass


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    place = tmp_path_factory.getbasetemp() / "any.csv"
    for content in (data, b"uri,x\n" + data):
        place.write_bytes(content)
        try:
            table = listed_rows(Location.parse(place))
            for arrays in table.batches():
                assert len({len(one) for one in arrays}) <= 1
        except UserError as error:
            refused = str(error)
            assert "\n" not in refused


def test_several_sources_at_once(tmp_path: Path) -> None:
    images(tmp_path, "a/1.jpg", "a/x/2.jpg", "b/1.jpg", "c/3.jpg", "c/4.jpg")
    (tmp_path / "a/list.csv").write_text("uri,k\n1.jpg,u\nx/2.jpg,v\n")
    (tmp_path / "c/list.csv").write_text("uri,n\n3.jpg,1\n")
    b = f"file://{tmp_path}/b"
    with surveyed(tmp_path / "a", also=[b]) as survey:
        assert paths(survey) == ["1.jpg", f"{b}/1.jpg", "x/2.jpg"]
        assert (survey.source / f"{b}/1.jpg").read_bytes() == b"b/1.jpg"
        assert (survey.source / "1.jpg").read_bytes() == b"a/1.jpg"
        with pytest.raises(UserError, match="outside the source"):
            survey.source / f"file://{tmp_path}/c/3.jpg"
        with pytest.raises(UserError, match="cannot be used"):
            survey.source / f"{b}/../c/3.jpg"
    with surveyed(tmp_path / "a", also=[b], include=["1.jpg"], exclude=["/x"]) as survey:
        assert paths(survey) == ["1.jpg", f"{b}/1.jpg"]
        assert survey.left_out == 1
    lists = [str(tmp_path / "c/list.csv"), str(tmp_path / "a/list.csv")]
    with surveyed(tmp_path / "a", also=lists) as survey:
        assert sorted(paths(survey)) == ["1.jpg", f"file://{tmp_path}/c/3.jpg", "x/2.jpg"]
        assert survey.images == 3  # what the list names and the folder holds is one
        assert own_of(survey) == (
            ["n", "k"],
            ["int64", "string"],
            [("1.jpg", None, "u"), (f"file://{tmp_path}/c/3.jpg", 1, None), ("x/2.jpg", None, "v")],
        )
    with pytest.raises(UserError, match="overlap"):
        image_source(str(tmp_path / "a"), [str(tmp_path / "a/x")])


def test_patterns_that_leave_nothing_say_so(tmp_path: Path) -> None:
    images(tmp_path, "a.jpg", "b.jpg")
    with (
        surveyed(tmp_path, exclude=["*.jpg"]) as survey,
        pytest.raises(UserError, match="all 2 images are left out"),
    ):
        survey.require_images(CatalogSettings())


def test_a_table_by_path_or_id(tmp_path: Path) -> None:
    images(tmp_path / "p", "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text("path,kind\n./a.jpg,x\nb.jpg,y\nb.jpg,z\nnone.jpg,q\n")
    with surveyed(tmp_path / "p", columns=tmp_path / "t.csv") as survey:
        assert own_of(survey)[2] == [("a.jpg", "x"), ("b.jpg", "y"), ("none.jpg", "q")]
        assert any("an earlier row has named: 1;" in note for note in survey.notes)
        assert survey.images == 2
        require_groups(survey, "column:KIND")
        with pytest.raises(UserError, match="did you mean kind"):
            require_groups(survey, "column:kinds")
    (tmp_path / "t.csv").write_text("image_id,kind\nabc,x\n")
    with surveyed(tmp_path / "p", columns=tmp_path / "t.csv") as survey:
        assert (survey.own[0].key, own_of(survey)[2]) == ("image_id", [("abc", "x")])
        # By the ids of images, which paths say nothing of.
        assert grouped_by_id(survey, "column:kind")
        assert groups(survey, "column:kind", ["abc", "a.jpg"]) == {"abc": "x"}
        assert group_sizes(survey, "column:kind") == [1]
    (tmp_path / "t.csv").write_text("file,kind\nabc,x\n")
    with pytest.raises(UserError, match="neither a column uri nor image_id"):
        surveyed(tmp_path / "p", columns=tmp_path / "t.csv").__enter__()
    (tmp_path / "p/l.csv").write_text("uri,kind\na.jpg,x\n")
    (tmp_path / "t.csv").write_text("uri,Kind\na.jpg,x\n")
    with pytest.raises(UserError, match="both have a column kind"):
        surveyed(tmp_path / "p/l.csv", columns=tmp_path / "t.csv").__enter__()


def test_groups_depend_on_their_column_alone(tmp_path: Path) -> None:
    images(tmp_path, "a.jpg", "b.jpg")
    digests = []
    for text in ("a.jpg,x,1\nb.jpg,y,2\n", "b.jpg,y,3\na.jpg,x,4\n", "a.jpg,y,1\nb.jpg,x,2\n"):
        (tmp_path / "l.csv").write_text("uri,kind,n\n" + text)
        with surveyed(tmp_path / "l.csv") as survey:
            digests.append((groups_digest(survey, "column:kind"), survey.digest))
    assert digests[0][0] == digests[1][0] != digests[2][0]
    assert len({whole for _, whole in digests}) == 3


def test_a_list_that_says_all_of_its_objects_asks_the_store_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "l.csv").write_text('uri,bytes,etag,x\na.jpg,12,"""abc""",1\n')
    monkeypatch.setattr(Location, "info", lambda place: pytest.fail(f"{place} was looked at"))
    with surveyed(tmp_path / "l.csv") as survey:
        (entry,) = next(survey.slices(9))
        assert (entry.bytes, entry.token, entry.etag) == (12, "abc", "abc")
        assert own_of(survey)[0] == ["x"]
