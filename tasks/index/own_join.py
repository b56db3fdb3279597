"""The columns of the collection's owner, joined to the table of images by path or by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.own_fields import own_fields, with_own
from congeal.results.schema.tables import IMAGES
from tasks.catalog.own_columns import IMAGE_ID
from tasks.catalog.own_unit import OwnFile
from tasks.execution.duckdb_workspace import insert, rows, scalar

if TYPE_CHECKING:
    import duckdb

MOST_NAMED = 3
BATCH = 20_000


@dataclass(frozen=True)
class OwnJoin:
    """How the table of images is read with these columns.

    columns, joins: SQL for the table `images i`. schema: of the answer. facts: {"columns": [[name, type], …],
    "without_row": images that no row names, "without_images": rows of `source.columns` that name no image},
    each of the two as {"count", "first"}.
    """

    columns: str
    joins: str
    schema: pa.Schema
    facts: dict[str, Any]


def join(connection: duckdb.DuckDBPyConnection, own: Sequence[OwnFile]) -> OwnJoin:
    """Load the columns into the workspace, which has a table `images`, and say how they are joined."""
    fields: list[pa.Field] = []
    cells = [f"i.{name}" for name in IMAGES.names]
    joins, met = [], []
    unused: dict[str, Any] = {"count": 0, "first": []}
    for number, file in enumerate(own):
        table, found = f"own_{number}", _load(connection, f"own_{number}", file)
        key = IMAGE_ID if file.key == IMAGE_ID else "uri"
        joins.append(f"LEFT JOIN {table} ON {table}.key = i.{key}")
        if file.origin != "frames":  # of other images there is nothing to say
            met.append(f"{table}.key IS NOT NULL")
        cells += [f"{table}.c{at}" for at in range(len(found))]
        fields += found
        if file.origin == "columns":  # rows of a list that name no image are counted where it is read
            unused = _named(connection, "key", f"{table} ANTI JOIN images i ON {table}.key = i.{key}")
            unused["count"] += file.withheld
    facts: dict[str, Any] = {"columns": [[field.name, str(field.type)] for field in fields]}
    if own:
        facts |= {"without_row": {"count": 0, "first": []}, "without_images": unused}
    if met:
        without = f"images i {' '.join(joins)} WHERE NOT ({' OR '.join(met)})"
        facts |= {"without_row": _named(connection, "i.uri", without), "without_images": unused}
    return OwnJoin(", ".join(cells), " ".join(joins), with_own(IMAGES, fields), facts)


def _load(connection: duckdb.DuckDBPyConnection, table: str, file: OwnFile) -> list[pa.Field]:
    """Copy a file into a table with the columns key, c0, c1, …; what these are."""
    with file.place.open() as opened, pq.ParquetFile(opened) as found:
        fields = own_fields(found.schema_arrow)
        names = ["key", *(f"c{at}" for at in range(len(fields)))]
        schema = pa.schema([(name, kind) for name, kind in zip(names, found.schema_arrow.types, strict=True)])
        connection.register("incoming", schema.empty_table())
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")  # noqa: S608 - our own names
        connection.unregister("incoming")
        for batch in found.iter_batches(BATCH):
            insert(connection, table, pa.Table.from_arrays(batch.columns, schema=schema))
    return fields


def _named(connection: duckdb.DuckDBPyConnection, name: str, what: str) -> dict[str, Any]:
    count = int(scalar(connection, f"SELECT count(*) FROM {what}"))  # noqa: S608 - our own names
    first = rows(connection, f"SELECT {name} AS name FROM {what} ORDER BY name LIMIT {MOST_NAMED}")  # noqa: S608
    return {"count": count, "first": [found for (found,) in first]}
