"""Dates and times that Python has: of years 1 to 9999. What is beyond ends whatever makes Python's of them.

Tables no longer get any (`tasks.catalog.own_columns`). Those that were published before may hold some, in
columns of the collection's owner: there they count as missing. Another date in their place would be false.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

_DAY = 86_400_000_000  # microseconds
_FIRST, _LAST = -719_162, 2_932_896  # days since 1970-01-01
# The stored number, and its least and its largest value.
_LIMITS: dict[pa.DataType, tuple[pa.DataType, int, int]] = {
    pa.date32(): (pa.int32(), _FIRST, _LAST),
    pa.timestamp("us"): (pa.int64(), _FIRST * _DAY, (_LAST + 1) * _DAY - 1),
}
_SQL = {
    pa.date32(): "DATE '0001-01-01' AND DATE '9999-12-31'",
    pa.timestamp("us"): "TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'",
}


def columns_beyond(dataset: pads.Dataset) -> tuple[str, ...]:
    """The columns of a dataset of Parquet files that hold such values, by what the files' footers say."""
    fields = [field for field in dataset.schema if field.type in _LIMITS]
    if not fields:
        return ()
    footers = [fragment.metadata for fragment in dataset.get_fragments()]
    return tuple(field.name for field in fields if any(_beyond(footer, field) for footer in footers))


def _beyond(footer: pa.parquet.FileMetaData, field: pa.Field) -> bool:
    _, least, largest = _LIMITS[field.type]
    at = footer.schema.to_arrow_schema().get_field_index(field.name)  # no column lies within another
    if at < 0:
        return False
    parts = (footer.row_group(number).column(at).statistics for number in range(footer.num_row_groups))
    return any(
        part is not None and part.has_min_max and (part.min_raw < least or part.max_raw > largest)
        for part in parts
    )


def within(table: pa.Table) -> pa.Table:
    """The same rows, such values as missing."""
    for at, field in enumerate(table.schema):
        if field.type in _LIMITS:
            table = table.set_column(at, field, _within(table[field.name], field.type))
    return table


def _within(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    stored, least, largest = _LIMITS[kind]
    numbers = column.cast(stored)
    known = pc.and_(pc.greater_equal(numbers, least), pc.less_equal(numbers, largest))
    return pc.if_else(known, column, pa.scalar(None, kind))


def read_within(field: pa.Field) -> pads.Expression:
    """A column as it is read from a dataset, such values as missing."""
    column = pads.field(field.name)
    if field.type not in _LIMITS:
        return column
    stored, least, largest = _LIMITS[field.type]
    numbers = column.cast(stored)
    nothing = pads.scalar(pa.scalar(None, field.type))
    return pc.if_else((numbers >= least) & (numbers <= largest), column, nothing)


def sql_within(fields: Iterable[pa.Field]) -> str:
    """What stands after `SELECT *` so that DuckDB reads such values of some columns as missing."""
    parts = []
    for field in fields:
        name = '"' + field.name.replace('"', '""') + '"'
        parts.append(f"CASE WHEN {name} BETWEEN {_SQL[field.type]} THEN {name} END AS {name}")
    return f"REPLACE ({', '.join(parts)})" if parts else ""
