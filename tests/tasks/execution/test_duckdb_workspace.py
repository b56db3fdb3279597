from __future__ import annotations

from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from congeal.results.schema.parquet_files import encode_table
from infra.errors import DamagedError, UserError
from infra.ledger.commits import OutputFile
from infra.storage.location import Location
from tasks.clusters.clusters_stage import SETS
from tasks.execution.duckdb_workspace import (
    create,
    create_in_steps,
    load,
    planning_connection,
    rows,
    scalar,
    scratch,
    workspace,
)


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


@pytest.mark.parametrize("fault", [duckdb.IOException, duckdb.TransactionException, duckdb.FatalException])
def test_a_full_disk_is_told_in_the_users_words(fault: type[Exception]) -> None:
    with (
        workspace() as connection,
        pytest.raises(UserError, match="set TMPDIR to a larger place"),
        scratch(connection, ()),
    ):
        raise fault("no space left")


def test_a_disk_that_is_full_from_the_start_is_told_in_the_users_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set TMPDIR to a larger place"):
        planning_connection(tmp_path / "none")


def table_of_sets(count: int) -> pa.Table:
    names = [f"c{number}" for number in range(count)]
    return pa.table(
        {"cluster_id": names, "medoid_image_id": names, "n_images": [1] * count, "n_members": [1] * count},
        schema=SETS,
    )


@pytest.mark.parametrize("files", [0, 1, 3])
def test_tables_of_any_number_of_files_are_loaded(
    memory_location: Location, tmp_path: Path, files: int
) -> None:
    places = [memory_location / f"{number}.parquet" for number in range(files)]
    for place in places:
        place.write_bytes(encode_table(table_of_sets(20_000), SETS))
    with closing(planning_connection(tmp_path)) as connection:
        load(connection, "whole", places, SETS)
        load(connection, "part", places, SETS, "DISTINCT n_images, cluster_id")
    with closing(planning_connection(tmp_path)) as connection:  # what it had is in the file
        assert list(rows(connection, "SELECT count(*), count(medoid_image_id) FROM whole")) == [
            (20_000 * files, 20_000 * files)
        ]
        assert len(list(rows(connection, "FROM part"))) == (20_000 if files else 0)


def test_a_damaged_table_is_named_while_it_is_loaded(tmp_path: Path) -> None:
    place = Location.parse(tmp_path) / "sets.parquet"
    data = encode_table(table_of_sets(70_000), SETS)
    middle = len(data) // 2
    place.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    sealed = place.sealed({"": OutputFile.of("sets.parquet", data)})
    said = ""
    with workspace() as connection:
        try:
            load(connection, "sets", [sealed], SETS)
        except DamagedError as error:  # gone with its frames, and the connection with these
            said = str(error)
    assert "sets.parquet is damaged" in said


def test_what_needs_more_memory_gets_it() -> None:
    many = "SELECT md5(i::VARCHAR) AS name, i FROM range(200_000) t(i)"
    with workspace("8MB", threads=1) as connection:
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.execute(f"CREATE TABLE sorted AS {many} ORDER BY name")
        create(connection, "whole", many)
        found = rows(connection, "SELECT name, i FROM whole ORDER BY name")
        assert sum(number for _, number in found) == 199_999 * 100_000


def test_a_table_is_made_in_steps(tmp_path: Path) -> None:
    with closing(planning_connection(tmp_path)) as connection:
        for _ in range(2):  # one that is there is replaced
            create_in_steps(
                connection,
                "squares",
                "SELECT range AS n FROM range(5)",
                "SELECT n * n AS n FROM {step}",
                "FROM {step} WHERE n > 1 ORDER BY n DESC",
            )
            assert list(rows(connection, "FROM squares")) == [(16,), (9,), (4,)]
            assert tables(connection) == {"squares"}


def test_the_memory_of_planning_suffices_for_steps(tmp_path: Path) -> None:
    """A join and an order of more rows than it holds, as the report has them."""
    with closing(planning_connection(tmp_path)) as connection:
        connection.execute(
            "CREATE TABLE a AS SELECT md5(range::VARCHAR) AS name, range AS n FROM range(600000)"
        )
        connection.execute("CREATE TABLE b AS SELECT name, name AS more, n % 25 AS k FROM a")
        create_in_steps(
            connection, "c", "SELECT a.*, more, k FROM a JOIN b USING (name)", "FROM {step} ORDER BY k, name"
        )
        assert scalar(connection, "SELECT count(*) FROM c") == 600_000
        limit = scalar(connection, "SELECT current_setting('memory_limit')")
    assert str(limit).startswith("91.5")  # MiB: it has not been raised
