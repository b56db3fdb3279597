"""SQL over the published tables, in DuckDB: reading only, and nothing but the tables."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from congeal.results.published_tables import SMALL_TABLES, PublishedTables
from congeal.results.queries.macros import VIEWS, definitions
from congeal.results.queries.point_lookups import named_images, rows_of
from congeal.results.schema.date_limits import sql_within
from congeal.results.schema.instances import INSTANCE
from congeal.results.schema.tables import TABLES
from infra.errors import DamagedError, UserError
from infra.storage.read_only_files import PROTOCOL, PublishedFiles, Sized

SEEN = ("images", "alignments", "correspondences")  # by DuckDB itself; clusters come with the markers' facts
READING = ("SELECT", "MULTI")  # MULTI: a PIVOT, which DuckDB takes apart
_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?(\s*\([^()]*\))?", re.IGNORECASE)


class Database:
    """The tables of one publication under DuckDB, in memory, with the views and macros of docs/tables.md.

    It holds no rows itself. Dates that Python does not know are null, of which a UserWarning tells. Raises
    DamagedError for a file that is not what was published.
    """

    def __init__(self, tables: PublishedTables) -> None:
        tables.fetch(*SMALL_TABLES)
        self._tables = tables
        # No temporary folder: nothing is written, not even for a while.
        options: dict[str, Any] = {"python_enable_replacements": False, "temp_directory": ""}
        self._connection = duckdb.connect(config=options)
        # What an open connection holds would be reported as a leak at the end of the process.
        weakref.finalize(self, self._connection.close)
        self._connection.execute("SET enable_progress_bar = false; SET parquet_metadata_cache = true")
        # Beside the check of statements: it gets no path of the destination, only names under which the files
        # can be read, in a file system that knows no writing.
        files = {
            f"{name}/{k}.parquet": file for name in SEEN for k, file in enumerate(_checked(tables, name))
        }
        self._files = PublishedFiles(files)
        self._connection.register_filesystem(self._files)
        paths = _listed(files)
        self._connection.execute(f"SET allowed_paths = {paths}; SET enable_external_access = false")
        # Views of the connection itself, which its cursors do not share.
        self._registered = {"clusters": tables.clusters()}
        for name in SEEN:
            mine = [path for path in files if path.startswith(f"{name}/")]
            if mine:
                try:
                    self._view(name, _listed(mine))
                except duckdb.Error as error:
                    self._raise_damage()
                    raise DamagedError(
                        f"A file of the table {name} in {tables.place} is not the one that was published: "
                        "run congeal verify, which names it."
                    ) from error
            else:
                self._registered[name] = tables.dataset(name).to_table()
        self._register(self._connection)
        for statement in definitions(tables.publication.settings):
            self._connection.execute(statement)
        self._connection.execute("SET lock_configuration = true")
        tables.warn_of_dates()

    def _view(self, name: str, files: str) -> None:
        """A table as it lies in its files, and null for what came after them that the macros read, and for
        dates that nobody in Python could be told."""
        # The least and largest values in a file say nothing of NaN, and DuckDB takes them for all there is
        # unless it is told: isnan() was false of a NaN in a column of the collection's own.
        rows = f"read_parquet({files}, can_have_nan = true)"
        dates = self._tables.dates_beyond if name == "images" else ()
        schema = self._tables.dataset(name).schema
        within = sql_within(schema.field(column) for column in dates)
        self._connection.execute(f"CREATE VIEW {name} AS SELECT * {within} FROM {rows}")  # noqa: S608
        columns = {one[0] for one in self._connection.execute(f"FROM {name} LIMIT 0").description or ()}
        if INSTANCE in TABLES[name].names and INSTANCE not in columns:
            null = f"NULL::INTEGER AS {INSTANCE}"
            self._connection.execute(
                f"CREATE OR REPLACE VIEW {name} AS SELECT *, {null} FROM {rows}"  # noqa: S608
            )

    def query(self, text: str) -> pa.Table:
        """The answer to one reading statement as an Arrow table; nothing can be written, nothing else read.

        Raises UserError with DuckDB's own message, or for anything but one reading statement.
        """
        with self._connection.cursor() as cursor:
            self._register(cursor)
            try:
                _require_reading(cursor, text)
                self._narrow(cursor, text)
                return cursor.sql(text).to_arrow_table()
            except duckdb.Error as error:
                self._raise_damage()
                if not isinstance(error, duckdb.CatalogException):
                    raise UserError(str(error)) from error
                raise UserError(f"{error}{_what_there_is(str(error))}") from error

    def _raise_damage(self) -> None:
        """What a file was found to be while DuckDB read it, instead of what DuckDB says of that."""
        if self._files.damage:
            raise self._files.damage.pop()

    def _narrow(self, cursor: duckdb.DuckDBPyConnection, text: str) -> None:
        """Let a cursor see only the rows that can matter to a query, where these are known beforehand."""
        images = named_images(cursor, text)
        if images:
            for name, rows in rows_of(cursor, self._tables, images)._asdict().items():
                cursor.register(name, rows)

    def _register(self, connection: duckdb.DuckDBPyConnection) -> None:
        for name, table in self._registered.items():
            connection.register(name, table)


def _checked(tables: PublishedTables, name: str) -> list[Sized]:
    # Schema and version of every file are looked at before DuckDB, which knows nothing of them, reads it.
    tables.dataset(name)
    return tables.sized(name)


def _what_there_is(message: str) -> str:
    # DuckDB's own suggestion may be one of its system tables.
    if "Table with name" not in message:
        return ""
    return f"\nThe tables are {', '.join(TABLES)}, the views {', '.join(VIEWS)}."


def _require_reading(cursor: duckdb.DuckDBPyConnection, text: str) -> None:
    statements = cursor.extract_statements(text)
    kinds = [statement.type.name for statement in statements]
    if kinds == ["EXPLAIN"]:
        # What is explained must be reading, too.
        head = _EXPLAIN.match(statements[0].query)
        inner = cursor.extract_statements(statements[0].query[head.end() :]) if head else []
        kinds = [statement.type.name for statement in inner]
    if len(kinds) != 1 or kinds[0] not in READING:
        raise UserError("One reading statement is allowed: SELECT, FROM, WITH, DESCRIBE, EXPLAIN ….")


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{PROTOCOL}://{name}'" for name in names) + "]"
