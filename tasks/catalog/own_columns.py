"""The columns of a collection's owner: what a list or a table says of images besides where they are.

They get names and types here, once, and go into the published table of images as they are. In DuckDB they are
called c0, c1, …, so that no name that somebody else has chosen is ever part of a query.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from congeal.results.schema.own_fields import OWN_PREFIX, own_field, taken
from congeal.results.schema.parquet_files import encode_table
from infra.errors import UserError
from tasks.catalog.listed_rows import TEXT, ListedRows
from tasks.execution.duckdb_workspace import rows, scalar, stream

if TYPE_CHECKING:
    import duckdb

URI, IMAGE_ID = "uri", "image_id"
FILES = {"list": "own_list.parquet", "columns": "own_columns.parquet", "frames": "own_frames.parquet"}
_WHOLE = r"^[+-]?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NO_NUMBER = r"^[+-]?(0[0-9].*|[0-9]{16,})$"  # a name made of digits: as a number it would lose some
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?$"
# What all cells of a column must be for it to be of a type, the first that fits; else it is text.
_TYPES = (
    (pa.bool_(), "lower({c}) IN ('true', 'false')"),
    (pa.int64(), f"regexp_full_match({{c}}, '{_WHOLE}')"),
    (
        pa.float64(),
        f"regexp_full_match({{c}}, '{_NUMBER}') AND NOT regexp_full_match({{c}}, '{_NO_NUMBER}') "
        "AND coalesce(isfinite(TRY_CAST({c} AS DOUBLE)), false)",
    ),
    (
        pa.date32(),
        f"regexp_full_match({{c}}, '{_DATE}') AND coalesce(year(TRY_CAST({{c}} AS DATE)) > 0, false)",
    ),
    (
        pa.timestamp("us"),
        f"regexp_full_match({{c}}, '{_TIME}') AND coalesce(year(TRY_CAST({{c}} AS TIMESTAMP)) > 0, false)",
    ),
)
# Python has no others, and neither has whoever reads the tables with it: of years before 1 or after 9999, and
# infinite ones as databases have them.
_BEYOND = {
    pa.date32(): "{c} < DATE '0001-01-01' OR {c} > DATE '9999-12-31'",
    pa.timestamp("us"): "{c} < TIMESTAMP '0001-01-01' OR {c} > TIMESTAMP '9999-12-31 23:59:59.999999'",
}
_SQL = {
    pa.bool_(): "BOOLEAN",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    TEXT: "VARCHAR",
}


class OwnColumn(NamedTuple):
    """A column: its name in the table of images, its type, what it is called in the workspace."""

    name: str
    kind: pa.DataType
    physical: str


@dataclass
class OwnColumns:
    """Typed columns in a table of the workspace, a row an image.

    origin: a key of FILES, where they are from. table: its name. key: what its rows name images by,
    "uri" or "image_id". rows: how many. notes: what was renamed or left out, a sentence each.
    """

    origin: str
    table: str
    key: str = URI
    rows: int = 0
    columns: list[OwnColumn] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.columns)

    @property
    def schema(self) -> pa.Schema:
        """Of the file that holds them: the key, then the columns."""
        return pa.schema(
            [
                pa.field(self.key, TEXT, nullable=False),
                *(own_field(one.name, one.kind) for one in self.columns),
            ],
            metadata={b"congeal.table": b"own", b"congeal.schema_version": b"1"},
        )

    def find(self, name: str) -> OwnColumn | None:
        """The column of that name, upper case or lower."""
        return next((one for one in self.columns if one.name.lower() == name.lower()), None)

    def encoded(self, connection: duckdb.DuckDBPyConnection, without: str | None = None) -> bytes:
        """Parquet bytes, sorted by the key. without: a table of keys whose rows are left out."""
        names = ", ".join([f"key AS {self.key}", *(one.physical for one in self.columns)])
        some = self.table if without is None else f"{self.table} ANTI JOIN {without} USING (key)"
        found = stream(connection, f"SELECT {names} FROM {some} ORDER BY key")  # noqa: S608 - our own names
        schema = self.schema
        named = (pa.RecordBatch.from_arrays(batch.columns, schema.names) for batch in found)
        return encode_table(named, schema)

    def digest(self, connection: duckdb.DuckDBPyConnection, only: Sequence[OwnColumn] | None = None) -> str:
        """Of the values, whatever the order of the rows: 32 hex. only: of some of the columns."""
        some = self.columns if only is None else only
        state = hashlib.blake2b(digest_size=16)
        state.update(repr([self.key, *((one.name, str(one.kind)) for one in some)]).encode())
        cells = ", chr(31), ".join(["key", *(f"coalesce({one.physical}::VARCHAR, chr(30))" for one in some)])
        for (line,) in rows(connection, f"SELECT concat({cells}) FROM {self.table} ORDER BY key"):  # noqa: S608
            state.update(line.encode() + b"\n")
        return state.hexdigest()


def typed(
    connection: duckdb.DuckDBPyConnection, table: str, given: ListedRows, physical: Sequence[str | None]
) -> list[OwnColumn]:
    """Give the columns of a table of the workspace their types; cells of text become what all of them are.

    Dates and times of which one is of no year from 1 to 9999 become text.

    physical: what each column of `given` is called there; None for those that are no own columns.
    """
    found = []
    for name, kind, column in zip(given.names, given.types, physical, strict=True):
        if column is None:
            continue
        wanted = _told(connection, table, column) if kind is None else kind
        if kind is None:
            # An empty cell says nothing; of a text, what stands around it says nothing either.
            connection.execute(
                f"ALTER TABLE {table} ALTER {column} TYPE {_SQL[wanted]} "
                f"USING CAST(nullif(trim({column}), '') AS {_SQL[wanted]})"
            )
        elif kind in _BEYOND:
            beyond = f"SELECT count(*) > 0 FROM {table} WHERE {_BEYOND[kind].replace('{c}', column)}"  # noqa: S608
            if scalar(connection, beyond):
                wanted = TEXT
                connection.execute(f"ALTER TABLE {table} ALTER {column} TYPE VARCHAR")
        found.append(OwnColumn(name, wanted, column))
    return found


def _told(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> pa.DataType:
    cell = f"trim({column})"
    for kind, holds in _TYPES:
        query = (
            f"SELECT count(*) > 0 AND bool_and({holds.replace('{c}', cell)}) FROM {table} "  # noqa: S608
            f"WHERE {column} IS NOT NULL AND {cell} <> ''"
        )
        if scalar(connection, query):
            return kind
    return TEXT


def united(
    connection: duckdb.DuckDBPyConnection,
    origin: str,
    parts: Sequence[tuple[str, list[OwnColumn]]],
    key: str,
    names: Iterable[str] = (),
) -> OwnColumns:
    """One table of the columns of several, by name; where types differ they become what holds both.

    Names that are congeal's own are given a prefix, which is noted. names: of columns that there are already;
    UserError for one of these. Of rows with one key the first counts.
    """
    table = f"own_{origin}"
    kinds: dict[str, pa.DataType] = {}
    spelled: dict[str, str] = {}
    for _, columns in parts:
        for one in columns:
            name = one.name.lower()
            spelled.setdefault(name, one.name)
            kinds[name] = _both(kinds.get(name, one.kind), one.kind)
    own = OwnColumns(origin, table, key)
    for name in names:
        if name.lower() in kinds:
            raise UserError(f"The list and source.columns both have a column {name}: leave it out of one.")
    for at, (name, kind) in enumerate(kinds.items()):
        own.columns.append(OwnColumn(_free(spelled[name], spelled, own.notes), kind, f"c{at}"))
    selects = []
    for part, columns in parts:
        there = {one.name.lower(): one for one in columns}
        cells = [
            f"CAST({there[name].physical if name in there else 'NULL'} AS {_SQL[one.kind]}) AS {one.physical}"
            for name, one in zip(kinds, own.columns, strict=True)
        ]
        selects.append(f"SELECT {', '.join(['key', *cells])} FROM {part}")  # noqa: S608 - our own names
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS {' UNION ALL '.join(selects)}")
    own.rows = int(scalar(connection, f"SELECT count(*) FROM {table}"))  # noqa: S608
    return own


def _both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if {one, other} == {pa.date32(), pa.timestamp("us")}:
        return pa.timestamp("us")
    return TEXT


def _free(name: str, given: Iterable[str], notes: list[str]) -> str:
    if not taken(name):
        return name
    free = f"{OWN_PREFIX}{name}"
    if taken(free) or free.lower() in given:
        raise UserError(f"The columns {name} and {free} of the list cannot both be kept: rename one of them.")
    notes.append(
        f"The column {name} is called {free} in images: congeal has a column {name.lower()} of its own."
    )
    return free


def require_column(own: Iterable[OwnColumns], name: str) -> tuple[OwnColumns, OwnColumn]:
    """The column that groups are made of; UserError, naming the nearest one, if there is none."""
    tables = list(own)
    for one in tables:
        if (found := one.find(name)) is not None:
            return one, found
    known = [column.name for one in tables for column in one.columns]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    there = (
        f"did you mean {near[0]}?"
        if near
        else f"there are {', '.join(known)}."
        if known
        else ("give a list with such a column as the source, or a table as source.columns.")
    )
    raise UserError(f"clusters.method names the column {name}, and no list has it: {there}")
