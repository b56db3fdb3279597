from __future__ import annotations

import duckdb
import pytest

from infra.errors import UserError
from tasks.execution.duckdb_workspace import rows, scratch, workspace


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {name for (name,) in rows(connection, "SELECT table_name FROM duckdb_tables()")}


def test_tables_made_on_the_way_are_dropped_and_others_stay() -> None:
    with workspace() as connection:
        connection.execute("CREATE TABLE listing AS SELECT 1 AS a")
        with scratch(connection, {"listing", "kept"}):
            connection.execute("CREATE TABLE passing AS SELECT 2 AS a")
            connection.execute("CREATE TABLE kept AS SELECT 3 AS a")
        assert tables(connection) == {"listing", "kept"}


def test_a_stage_that_is_tried_again_finds_no_tables_of_before() -> None:
    with workspace() as connection:
        with pytest.raises(duckdb.CatalogException), scratch(connection, {"listing"}):
            connection.execute("CREATE TABLE covered AS SELECT 2 AS a; CREATE TABLE covered AS SELECT 2 AS a")
        assert tables(connection) == {"covered"}
        with scratch(connection, {"listing"}):
            connection.execute("CREATE TABLE covered AS SELECT 3 AS a")
            assert list(rows(connection, "SELECT a FROM covered")) == [(3,)]


def test_a_full_disk_is_told_in_the_users_words() -> None:
    with (
        workspace() as connection,
        pytest.raises(UserError, match="set TMPDIR to a larger place"),
        scratch(connection, ()),
    ):
        raise duckdb.IOException("no space left")
