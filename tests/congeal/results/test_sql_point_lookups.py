from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_index import CLUSTERS_THERE, SIZES, image_id, known_index, uri

import congeal
from congeal.results.queries import sql
from congeal.results.queries.point_lookups import named_images
from infra.errors import UserError
from infra.storage.location import Location
from infra.storage.read_only_files import PublishedFiles

HERE, THERE = CLUSTERS_THERE
A, B, ELSEWHERE = uri(HERE, 0), uri(HERE, 2), uri(THERE, 1)
COPY = f"z/copy of {B}"
# Reads a table beside the macro, so that nothing is narrowed.
WHOLE = " WHERE (SELECT count(*) FROM correspondences) > 0"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("lookups") / "destination"
    known_index(Location.parse(path))
    return congeal.open(path)


@pytest.fixture
def files_opened(opened: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What DuckDB opens from here on."""
    opened.sql("SELECT 1")
    seen: list[str] = []
    open_file = PublishedFiles.open

    def counted(self: PublishedFiles, path: str, mode: str = "rb", **options: Any) -> Any:
        seen.append(path)
        return open_file(self, path, mode, **options)

    monkeypatch.setattr(PublishedFiles, "open", counted)
    return seen


NAMES = st.tuples(st.integers(0, 3), st.sampled_from(("uri", "id", "copy")))


def named(number: int, how: str) -> str:
    return {
        "uri": uri(HERE, number),
        "id": image_id(HERE, number),
        "copy": f"z/copy of {uri(HERE, number)}",
    }[how]


@settings(max_examples=30)
@given(NAMES, NAMES, st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_the_answer_is_that_of_the_whole_tables(
    opened: Any, source: tuple[int, str], target: tuple[int, str], x: float, y: float
) -> None:
    width, height = SIZES[source[0]]
    call = f"FROM where_is('{named(*source)}', {x * width}, {y * height}, '{named(*target)}')"
    pd.testing.assert_frame_equal(opened.sql(call), opened.sql(call + WHOLE), rtol=1e-9)


def test_files_are_opened_only_to_find_an_id(opened: Any, files_opened: list[str]) -> None:
    found = opened.sql(f"FROM where_is('{A}', 200, 200, '{B}')")
    assert found["image_id"].tolist() == [image_id(HERE, 2)]
    assert not files_opened
    # A copy leads to the id of what it is a copy of.
    same = opened.sql(f"FROM where_is('{A}', 200, 200, '{COPY}')")
    assert same["image_id"].tolist() == [image_id(HERE, 2)]
    assert {name.split("/")[-2] for name in files_opened} == {"images"}
    opened.sql(f"FROM where_is('{A}', 200, 200, '{B}')" + WHOLE)
    assert any("correspondences" in name for name in files_opened)


def test_one_query_sees_the_rows_of_all_its_calls_and_the_next_sees_everything(opened: Any) -> None:
    calls = [
        f"SELECT * FROM where_is('{A}', 200, 200, '{B}')",
        f"SELECT * FROM where_is('{uri(THERE, 0)}', 200, 200, '{ELSEWHERE}')",
    ]
    both = opened.sql(" UNION ALL ".join(calls))
    pd.testing.assert_frame_equal(both, pd.concat([opened.sql(call) for call in calls], ignore_index=True))
    assert opened.sql("SELECT count(*) AS n FROM images")["n"].tolist() == [16]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (f"FROM where_is('{A}', 1, 1, 'nowhere.jpg')", "There is no image nowhere.jpg"),
        (f"FROM where_is('{'0' * 32}', 1, 1, '{B}')", f"There is no image {'0' * 32}"),
        (f"FROM where_is('{A}', 1, 1, '{ELSEWHERE}')", "are in different clusters"),
    ],
)
def test_errors_stay_what_they_are(opened: Any, call: str, sentence: str) -> None:
    for text in (call, call + WHOLE):
        with pytest.raises(UserError, match=sentence):
            opened.sql(text)


CALL = f"where_is('{A}', 200, 200, '{B}')"


@pytest.mark.parametrize(
    "text",
    [
        # Views that read the tables, under CTEs of their own names.
        "WITH members AS (SELECT * FROM members WHERE width > 0) "
        f"SELECT m.uri FROM {CALL} w JOIN members m ON w.x IS NOT NULL ORDER BY m.uri",
        f"WITH landmarks AS (FROM landmarks) SELECT count(*) AS n FROM {CALL}, landmarks",
        f'WITH Members AS (FROM "MEMBERS") SELECT count(*) AS n FROM {CALL}, mEmbers',
        f"WITH alignments AS (FROM members) SELECT count(*) AS n FROM {CALL}, alignments",
        f"WITH members AS (SELECT 1 AS x) SELECT count(*) AS n FROM {CALL}, members",
        # CTEs that are called like what the macro reads.
        f"WITH images AS (SELECT 1 AS x) FROM {CALL}",
        f"WITH images AS (FROM images WHERE uri <> '{B}') FROM {CALL}",
        f"WITH here AS (SELECT 1 AS x), correspondences AS (FROM here) FROM {CALL}",
        # The same name in and outside of a subquery.
        f"WITH p AS (SELECT 1 AS x) SELECT * FROM {CALL}, (WITH p AS (SELECT x + 1 AS x FROM p) FROM p) q, p",
        "SELECT (WITH members AS (SELECT 7 AS n) SELECT n FROM members) AS one, "
        f"(SELECT count(*) FROM members) AS n FROM {CALL}",
        "WITH p AS (WITH members AS (SELECT 1 AS uri) FROM members) "
        f"SELECT count(*) AS n FROM {CALL}, p, members",
        f"WITH RECURSIVE p AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM p WHERE x < 3) FROM {CALL}, p",
        # What DuckDB says of itself names whatever takes the tables' place.
        f"WITH duckdb_views AS (FROM duckdb_views) SELECT count(*) AS n FROM {CALL}, duckdb_views",
        "WITH RECURSIVE duckdb_views AS (SELECT view_name FROM duckdb_views UNION ALL SELECT view_name FROM "
        f"duckdb_views WHERE false) SELECT count(*) AS n FROM {CALL}, duckdb_views",
        "SELECT (WITH duckdb_views AS (SELECT 1) SELECT count(*) FROM duckdb_views) AS one, "
        f"(SELECT count(*) FROM duckdb_views) AS n FROM {CALL}",
    ],
)
def test_the_answer_is_that_of_the_whole_tables_whatever_a_query_calls_its_own(
    opened: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def answer() -> pd.DataFrame | str:
        try:
            found: pd.DataFrame = opened.sql(text)
        except UserError as error:
            return str(error)
        return found

    narrowed = answer()
    monkeypatch.setattr(sql, "named_images", lambda *_: [])
    whole = answer()
    if isinstance(whole, str):
        assert narrowed == whole
    else:
        assert isinstance(narrowed, pd.DataFrame)
        pd.testing.assert_frame_equal(narrowed, whole, rtol=1e-9)


def test_hundreds_of_chained_terms_are_answered(opened: Any) -> None:
    found = opened.sql(f"SELECT {' + '.join(['1'] * 900)} AS n, image_id FROM {CALL}")
    assert found.to_dict("list") == {"n": [900], "image_id": [image_id(HERE, 2)]}


@pytest.mark.parametrize(
    "text",
    [
        f"FROM where_is('{A}', 1, 2, '{B}')",
        f"select w.x from WHERE_IS('{A}', 1, 2, '{B}') AS w where w.visible",
        f"WITH p AS (SELECT 1 AS x) FROM p, where_is('{A}', 1, 2, '{B}')",
        "WITH p AS (SELECT 1 AS x), q AS (FROM P) "
        f"FROM q, (WITH p AS (FROM p) FROM p), where_is('{A}', 1, 2, '{B}')",
        "WITH RECURSIVE p AS (SELECT 1 AS x UNION SELECT x + 1 FROM p WHERE x < 3) "
        f"FROM p, where_is('{A}', 1, 2, '{B}')",
        f"SELECT (SELECT x FROM where_is('{A}', 1, 2, '{B}')) AS x",
        f"FROM (VALUES (1), (2)) v, where_is('{A}', 1 + 1, 2.5, '{B}')",
    ],
)
def test_queries_of_where_is_alone_are_narrowed(opened: Any, text: str) -> None:
    with opened._published.database._connection.cursor() as cursor:
        assert named_images(cursor, text) == sorted([A, B])


@pytest.mark.parametrize(
    "text",
    [
        "FROM images",
        "SELECT 'where_is' AS text FROM images",
        f"FROM where_is('{A}', 1, 2, '{B}'), images",
        f"FROM where_is('{A}', 1, 2, '{B}'), main.images",
        f"WITH images AS (SELECT 1) FROM where_is('{A}', 1, 2, '{B}'), images",
        f"WITH members AS (SELECT 1) FROM where_is('{A}', 1, 2, '{B}'), members",
        f"WITH p AS (FROM landmarks) FROM where_is('{A}', 1, 2, '{B}'), p",
        f"FROM where_is('{A}', 1, 2, '{B}') UNION ALL FROM everywhere('{A}', 1, 2)",
        f"FROM where_is('{A}', 1, 2, '{B}'), query_table('images')",
        f"FROM where_is('{A}', 1, 2, '{B}'), query('FROM images')",
        f"SELECT *, (SELECT count(*) FROM images) FROM where_is('{A}', 1, 2, '{B}')",
        f"FROM where_is('{A}', 1, 2, lower('{B}'))",
        f"FROM where_is('{A}', 1, 2, NULL)",
        f"FROM where_is('{A}', 1, 2)",
        f"FROM where_is('{A}', (SELECT count(*) FROM images), 2, '{B}')",
        f"FROM where_is('{A}', 1, 2, '{B}'), (DESCRIBE images)",
        f"FROM (PIVOT images ON status USING count(*)), where_is('{A}', 1, 2, '{B}')",
        f"EXPLAIN FROM where_is('{A}', 1, 2, '{B}')",
    ],
)
def test_whatever_may_read_more_is_not(opened: Any, text: str) -> None:
    with opened._published.database._connection.cursor() as cursor:
        assert named_images(cursor, text) == []
