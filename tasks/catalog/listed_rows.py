"""The rows of a table that somebody else wrote, CSV or Parquet, a batch at a time: names, types and values.

What is in it is untrusted: the cells of a CSV are text until all of them are something else, of Parquet only
plain values are taken, and no name of a column ever becomes part of a query.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from congeal_floors.plurals import counted
from infra.errors import UserError
from infra.storage.location import Location

BATCH = 20_000
HEAD = 65_536  # bytes from which the encoding and the delimiter are told
MOST_COLUMNS = 200
LONGEST_NAME = 100
DELIMITERS = (",", ";", "\t", "|")
TEXT = pa.string()


@dataclass
class ListedRows:
    """A table that is read once. names: of its columns; types: None for the cells of a CSV, text as yet.

    left_out: columns that are not taken, each with the reason. uneven: rows that had more or fewer cells than
    there are columns.
    """

    place: Location
    names: list[str]
    types: list[pa.DataType | None]
    left_out: list[str] = field(default_factory=list)
    uneven: int = 0
    _batches: Iterator[list[pa.Array]] = field(default_factory=lambda: iter(()))

    def batches(self) -> Iterator[list[pa.Array]]:
        """The columns of some rows, each an array of its type or of text."""
        return self._batches


def listed_rows(place: Location) -> ListedRows:
    """Open a table; UserError if it is none, has no header, or names a column twice."""
    if place.url.lower().endswith(".parquet"):
        return _parquet(place)
    try:
        return _delimited(place, _encoding(place))
    except UnicodeDecodeError:
        return _delimited(place, "cp1252")


def _encoding(place: Location) -> str:
    """UTF-8 if all of it is, else what its first bytes say, else the one of Windows."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with place.open() as file:
        head = file.read(HEAD)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        try:
            decoder.decode(head)
            while data := file.read(2**20):
                decoder.decode(data)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _delimited(place: Location, encoding: str) -> ListedRows:
    with place.open() as file:
        delimiter = _delimiter(next(_cells(place, file, encoding, ","), [""]), place)
    with place.open() as file:
        header = [name.strip() for name in next(_cells(place, file, encoding, delimiter), [])]
    if not any(header):
        raise UserError(f"The list {place} is empty: its first line must name the columns, uri among them.")
    kept, left_out = _kept(place, header)
    table = ListedRows(place, [header[at] for at in kept], [None] * len(kept), left_out)
    table._batches = _text_batches(table, encoding, delimiter, kept, len(header))
    return table


def _cells(place: Location, file: IO[bytes], encoding: str, delimiter: str) -> Iterator[list[str]]:
    text = io.TextIOWrapper(
        file, encoding, errors="replace" if encoding == "cp1252" else "strict", newline=""
    )
    reader = csv.reader(text, delimiter=delimiter)
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(
            f"The list {place} cannot be read at line {reader.line_num:,} ({error}): look for a quotation "
            "mark that is not closed."
        ) from error
    except UnicodeError as error:
        raise UserError(
            f"The list {place} cannot be read at line {reader.line_num:,} ({error}): save it as UTF-8."
        ) from error
    finally:
        text.detach()  # who opened the file closes it


def _delimiter(header: list[str], place: Location) -> str:
    """What divides the names of the columns: whatever the first line has most of, outside of quotes."""
    if place.url.lower().endswith(".tsv"):
        return "\t"
    line = ",".join(header)
    counts = {mark: line.count(mark) for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: counts[mark])


def _text_batches(
    table: ListedRows, encoding: str, delimiter: str, kept: Sequence[int], width: int
) -> Iterator[list[pa.Array]]:
    with table.place.open() as file:
        lines = _cells(table.place, file, encoding, delimiter)
        next(lines)
        while some := list(itertools.islice(lines, BATCH)):
            rows = []
            for cells in some:
                if not cells:
                    continue  # an empty line
                if len(cells) != width:
                    table.uneven += 1
                    cells += [""] * (width - len(cells))  # noqa: PLW2901
                rows.append(cells)
            yield [pa.array([cells[at] if cells[at] != "" else None for cells in rows], TEXT) for at in kept]


def _parquet(place: Location) -> ListedRows:
    try:
        with place.open() as file:
            schema = pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{place} is no Parquet file: write it anew, or give a CSV.") from error
    kept, left_out = _kept(place, [name.strip() for name in schema.names])
    types = {at: _plain(schema.field(at).type) for at in kept}
    left_out += [
        f"{schema.field(at).name}: its type {schema.field(at).type} is no plain value"
        for at in kept
        if types[at] is None
    ]
    kept = [at for at in kept if types[at] is not None]
    table = ListedRows(place, [schema.names[at].strip() for at in kept], [types[at] for at in kept], left_out)
    table._batches = _arrow_batches(table, [schema.names[at] for at in kept])
    return table


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """The type that a column of Parquet is taken as; None for one that is not taken."""
    known = pa.types
    if known.is_dictionary(kind):
        return _plain(kind.value_type)
    if known.is_boolean(kind):
        return pa.bool_()
    if known.is_integer(kind):
        return pa.float64() if kind == pa.uint64() else pa.int64()
    if known.is_floating(kind) or known.is_decimal(kind):
        return pa.float64()
    if known.is_date(kind):
        return pa.date32()
    if known.is_timestamp(kind):
        return pa.timestamp("us")
    text = known.is_string(kind) or known.is_large_string(kind) or kind == pa.string_view()
    return TEXT if text or known.is_null(kind) else None


def _arrow_batches(table: ListedRows, names: list[str]) -> Iterator[list[pa.Array]]:
    with table.place.open() as opened:
        try:
            for batch in pq.ParquetFile(opened).iter_batches(BATCH, columns=names):
                yield [
                    _taken(batch.column(name), kind)
                    for name, kind in zip(names, table.types, strict=True)
                    if kind is not None
                ]
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"The list {table.place} cannot be read ({reason}): write it anew.") from error


def _taken(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
    # What is finer than a microsecond, or longer than a double, is rounded; nothing else is lost.
    return column.cast(kind, safe=not (pa.types.is_timestamp(kind) or pa.types.is_floating(kind)))


def _kept(place: Location, names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The columns that can be taken by their names, and why the others are not."""
    if len(names) > MOST_COLUMNS:
        raise UserError(
            f"{place} has {counted(len(names), 'column')}, {MOST_COLUMNS} are the most: leave some out."
        )
    seen: dict[str, str] = {}
    kept, left_out = [], []
    for at, name in enumerate(names):
        if not name:
            left_out.append(f"column {at + 1}: it has no name")
            continue
        if len(name) > LONGEST_NAME or not name.isprintable():
            left_out.append(f"column {at + 1}: its name is too long or cannot be printed")
            continue
        if name.lower() in seen:
            raise UserError(
                f"{place} has the columns {seen[name.lower()]} and {name}, which are one to SQL: rename one."
            )
        seen[name.lower()] = name
        kept.append(at)
    return kept, left_out
