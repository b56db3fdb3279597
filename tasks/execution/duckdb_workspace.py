"""Tables larger than memory: a temporary DuckDB file that spills to disk and goes away by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from infra.compute.temporary_folders import temporary_folder
from infra.errors import UserError
from infra.storage.location import Location

MEMORY_LIMIT = "512MB"
BATCH_ROWS = 20_000


@contextmanager
def workspace(memory_limit: str = MEMORY_LIMIT) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty DuckDB file in a folder of its own, removed at the end.

    Raises UserError if there is no room for it.
    """
    with temporary_folder() as home:
        connection = opened(home, memory_limit)
        try:
            with _in_users_words(str(home)):
                yield connection
        finally:
            connection.close()


def opened(home: Path, memory_limit: str = MEMORY_LIMIT) -> duckdb.DuckDBPyConnection:
    """A connection to the file in a folder, which is made if it is not there. The caller closes it."""
    options: dict[str, Any] = {"memory_limit": memory_limit, "temp_directory": str(home), "threads": 2}
    connection = duckdb.connect(str(home / "work.duckdb"), config=options)
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def scratch(connection: duckdb.DuckDBPyConnection, keep: Collection[str]) -> Iterator[None]:
    """Tables that are made meanwhile are dropped at the end, those of a stage that failed at the beginning.

    keep: tables that stay. Raises UserError if there is no room.
    """
    with _in_users_words(str(scalar(connection, "SELECT current_setting('temp_directory')"))):
        _drop_all_but(connection, keep)
        yield
        _drop_all_but(connection, keep)


def _drop_all_but(connection: duckdb.DuckDBPyConnection, keep: Collection[str]) -> None:
    for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        if name not in keep:
            connection.execute(f'DROP TABLE "{name}"')


@contextmanager
def _in_users_words(folder: str) -> Iterator[None]:
    try:
        yield
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise UserError(
            f"The temporary tables in {folder} cannot be kept ({error}): free some space there, "
            "or set TMPDIR to a larger place."
        ) from error


def load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    locations: Sequence[Location],
    schema: pa.Schema,
    columns: str = "*",
) -> None:
    """Copy the Parquet files at `locations` into a table of the workspace."""
    from congeal.results.schema.parquet_files import dataset

    connection.register("incoming", dataset(locations, schema))
    connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")  # noqa: S608 - our own names
    connection.unregister("incoming")


def insert(connection: duckdb.DuckDBPyConnection, name: str, batch: pa.Table) -> None:
    """Append an Arrow table to a table of the workspace that has the same columns in the same order."""
    connection.register("incoming", batch)
    connection.execute(f"INSERT INTO {name} SELECT * FROM incoming")  # noqa: S608 - our own names
    connection.unregister("incoming")


def stream(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query, a batch at a time; other queries may run meanwhile."""
    with connection.cursor() as cursor:
        yield from cursor.sql(query).to_arrow_reader(BATCH_ROWS)


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query as tuples; only one batch of them is in memory at a time."""
    for batch in stream(connection, query):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def scalar(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The first value that a query returns, or None if it returns no row."""
    found = connection.execute(query).fetchall()
    return found[0][0] if found else None
