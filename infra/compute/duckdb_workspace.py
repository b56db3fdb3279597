"""Tables larger than memory: a temporary DuckDB file that spills to disk and goes away by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from infra.compute.temporary_folders import said_of_full, temporary_folder
from infra.errors import UserError

MEMORY_LIMIT = "512MB"  # of a unit in a worker
PLANNING_MEMORY = "96MB"  # of a process that plans, however much there is to plan
BATCH_ROWS = 8_192
# What DuckDB raises where its files find no room: at once, when it commits, and of everything after that.
_FULL = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
    duckdb.FatalException,
)

R = TypeVar("R")


@contextmanager
def workspace(memory_limit: str = MEMORY_LIMIT, threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty DuckDB file in a folder of its own, removed at the end.

    Raises UserError if there is no room for it.
    """
    with (
        temporary_folder() as home,
        said_of_full(home, *_FULL),
        closing(_opened(home, memory_limit, threads)) as connection,
    ):
        yield connection


def planning_connection(home: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the file in a folder, made if it is not there, for a process that plans.

    It takes little memory, and keeps none that is free. A second thread would have a share of the memory, and
    hardly any of the work. The caller closes it. Raises UserError if there is no room for it.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what was freed
    with said_of_full(home, *_FULL):
        return _opened(home, PLANNING_MEMORY, threads=1)


def _opened(home: Path, memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    options: dict[str, Any] = {"memory_limit": memory_limit, "temp_directory": str(home), "threads": threads}
    connection = duckdb.connect(str(home / "work.duckdb"), config=options)
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def scratch(connection: duckdb.DuckDBPyConnection, keep: Collection[str]) -> Iterator[None]:
    """Tables that are made meanwhile are dropped at the end, those of a stage that failed at the beginning.

    keep: tables that stay. Raises UserError if there is no room.
    """
    with said_of_full(str(scalar(connection, "SELECT current_setting('temp_directory')")), *_FULL):
        _drop_all_but(connection, keep)
        yield
        _drop_all_but(connection, keep)


def _drop_all_but(connection: duckdb.DuckDBPyConnection, keep: Collection[str]) -> None:
    for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        if name not in keep:
            connection.execute(f'DROP TABLE "{name}"')


def read_into(
    connection: duckdb.DuckDBPyConnection, name: str, found: pa.RecordBatchReader, columns: str = "*"
) -> None:
    """Make a table of the workspace of what a reader gives, a batch at a time; what it raises is raised."""
    faults: list[Exception] = []
    reader = pa.RecordBatchReader.from_batches(found.schema, _until_a_fault(found, faults))
    connection.register("incoming", reader)
    connection.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM incoming")  # noqa: S608 - our own names
    connection.unregister("incoming")
    if not faults:
        return
    fault = faults.pop()
    if isinstance(fault, UserError):
        raise type(fault)(str(fault))  # Arrow holds the first, and that would hold the connection
    raise fault


def _until_a_fault(batches: Iterable[pa.RecordBatch], faults: list[Exception]) -> Iterator[pa.RecordBatch]:
    """The batches; what would be raised ends them, since DuckDB would tell of it in words of its own."""
    try:
        yield from batches
    except Exception as error:
        faults.append(error)


def create(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    """A table of what a query finds."""
    _with_room(connection, lambda: connection.execute(f"CREATE OR REPLACE TABLE {name} AS {query}"))


def create_in_steps(connection: duckdb.DuckDBPyConnection, name: str, *queries: str) -> None:
    """A table of what the last of some queries finds; what the one before it has found is its `{step}`.

    One query alone would hold the memory of all its joins and orders at once.
    """
    step, found = f"{name}_step", f"{name}_found"
    for query in queries:
        create(connection, found, query.replace("{step}", step))
        connection.execute(f"DROP TABLE IF EXISTS {step}")
        connection.execute(f"ALTER TABLE {found} RENAME TO {step}")
    connection.execute(f"DROP TABLE IF EXISTS {name}")
    connection.execute(f"ALTER TABLE {step} RENAME TO {name}")


def _with_room(connection: duckdb.DuckDBPyConnection, work: Callable[[], R]) -> R:
    """The result of some work, tried again with more memory where the little of planning does not suffice."""
    try:
        return work()
    except duckdb.OutOfMemoryException:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    return work()


def insert(connection: duckdb.DuckDBPyConnection, name: str, batch: pa.Table) -> None:
    """Append an Arrow table to a table of the workspace that has the same columns in the same order."""
    connection.register("incoming", batch)
    connection.execute(f"INSERT INTO {name} SELECT * FROM incoming")  # noqa: S608 - our own names
    connection.unregister("incoming")


def stream(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query, a batch at a time; other queries may run meanwhile."""
    with connection.cursor() as cursor:
        yield from _with_room(connection, lambda: cursor.sql(query).to_arrow_reader(BATCH_ROWS))


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query as tuples; only one batch of them is in memory at a time."""
    for batch in stream(connection, query):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def scalar(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The first value that a query returns, or None if it returns no row."""
    found = connection.execute(query).fetchall()
    return found[0][0] if found else None
