"""Tables larger than memory, of what units have written: see `infra.compute.duckdb_workspace`."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from infra.compute.duckdb_workspace import (
    BATCH_ROWS,
    MEMORY_LIMIT,
    PLANNING_MEMORY,
    create,
    create_in_steps,
    insert,
    planning_connection,
    read_into,
    rows,
    scalar,
    scratch,
    stream,
    workspace,
)
from infra.storage.location import Location

__all__ = [
    "BATCH_ROWS",
    "MEMORY_LIMIT",
    "PLANNING_MEMORY",
    "create",
    "create_in_steps",
    "insert",
    "load",
    "planning_connection",
    "read_into",
    "rows",
    "scalar",
    "scratch",
    "stream",
    "workspace",
]


def load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    locations: Sequence[Location],
    schema: pa.Schema,
    columns: str = "*",
) -> None:
    """Copy the Parquet files at `locations` into a table of the workspace.

    Memory holds little of one large file; of several, a few groups of rows of each that is being read.
    """
    from congeal.results.schema.parquet_files import dataset, record_batches

    asked = columns.replace(",", " ").split()
    named = [column for column in schema.names if column in asked] or None
    if len(locations) == 1:
        found = record_batches(locations[0], schema, named)
    else:
        # Left to itself, Arrow reads two million rows of a file ahead.
        found = dataset(locations, schema).scanner(columns=named, batch_readahead=1).to_reader()
    read_into(connection, name, found, columns)
