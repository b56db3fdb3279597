"""The answer of a query, shown or written: whole values, whatever they go to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from infra.errors import UserError
from infra.storage.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".parquet", ".json")
NARROW = 9  # characters a column: with fewer, rows are shown one below the other
ENDLESS = 100_000  # characters of a line that no terminal shows


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """The rows, also where several columns have one name.

    Raises UserError for a column with a date that Python does not know.
    """
    import pyarrow as pa

    columns = []
    if any("[ns" in str(kind) for kind in table.schema.types):
        table.slice(0, 0).to_pandas()  # Python has no nanoseconds: pyarrow gives pandas', once it has met it
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            values = column.to_pylist()
            columns.append(_shortest(values) if pa.types.is_float32(column.type) else values)
        except (OverflowError, ValueError) as error:
            raise UserError(
                f"The column {name} of the answer holds a date before year 1 or after year 9999: ask for it "
                "as text (CAST … AS VARCHAR), or write .parquet."
            ) from error
    return list(zip(*columns, strict=True))


def _shortest(values: Sequence[float | None]) -> list[float | None]:
    """Numbers of 32 bits by the fewest digits that tell them apart: 0.1, not 0.10000000149011612."""
    import numpy as np

    return [None if value is None else float(str(np.float32(value))) for value in values]


def plain(value: Any) -> Any:
    """A value as JSON has it: what is no number is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def require_format(out: str) -> str:
    """The ending of a file's name that says its format; UserError for any other."""
    ending = next((one for one in FORMATS if out.lower().endswith(one)), None)
    if ending is None:
        raise UserError(f"{out} says no format: let its name end in {', '.join(FORMATS)}.")
    return ending


def write(table: pa.Table, out: Location, *, overwrite: bool = False) -> None:
    """The rows as CSV, Parquet or JSON (a list of records, one a line), by the ending of the name.

    Raises UserError if there is something of that name and it is not to be replaced, or if a CSV cannot hold
    what is in a column.
    """
    data = _ENCODERS[require_format(out.url)](table)
    if overwrite:
        out.write_bytes(data)
    elif out.exists() or not out.put_if_absent(data):
        raise UserError(f"{out} exists: name another file, or say --overwrite.")


def show(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], console: Console) -> None:
    """The rows as a table: whole where no terminal shows it; there, what is long goes on below itself."""
    if not console.is_terminal:
        console = Console(file=console.file, width=ENDLESS)
    if console.is_terminal and len(columns) * NARROW > console.width and _wide(columns, rows, console):
        _one_by_one(columns, rows, console)
    else:
        table = Table(*(Column(Text(name), overflow="fold") for name in columns))
        for row in rows:
            table.add_row(*(Text(_text(value), overflow="fold") for value in row))
        console.print(table)
    console.print(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}", highlight=False)


def _wide(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], console: Console) -> bool:
    longest = [
        max([len(name), *(len(_text(row[place])) for row in rows)]) for place, name in enumerate(columns)
    ]
    return sum(longest) + 3 * len(columns) + 1 > console.width


def _one_by_one(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], console: Console) -> None:
    width = max(map(len, columns), default=0)
    for number, row in enumerate(rows, 1):
        console.print(f"row {number:,}", style="bold", highlight=False)
        for name, value in zip(columns, row, strict=True):
            line = Text(f"  {name.ljust(width)}  {_text(value)}", overflow="fold")
            console.print(line, highlight=False)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _csv(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.csv

    sink = pa.BufferOutputStream()
    try:
        pyarrow.csv.write_csv(_undivided(table), sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"CSV cannot hold this answer ({reason}): write .parquet or .json.") from error
    return bytes(sink.getvalue())


def _undivided(table: pa.Table) -> pa.Table:
    """Categories as the text that they stand for."""
    import pyarrow as pa

    arrays = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(arrays, names=table.column_names)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    twice = next((name for name in table.column_names if table.column_names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"Two columns are called {twice}: name them apart with AS.")
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _json(table: pa.Table) -> bytes:
    names = table.column_names
    lines = [
        json.dumps(dict(zip(names, map(plain, row), strict=True)), default=str, ensure_ascii=False)
        for row in rows_of(table)
    ]
    return ("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n").encode()


_ENCODERS = {".csv": _csv, ".parquet": _parquet, ".json": _json}
