"""CSV as it is written: the text of every cell and where it stands, so that what is not changed stays."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from congeal.errors import CongealError

CELL = re.compile(r'("[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)(,|\r\n|\r|\n|\Z)')
END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Record:
    """One record of a file.

    Attributes:
        cells: what its cells say, without quotes.
        written: the same as they are written.
        line: the line that it begins on, from 1.
        start, end: where it stands in the text; `end` is before the end of its line.
    """

    cells: list[str]
    written: list[str]
    line: int
    start: int
    end: int


def records(text: str, start: int = 0) -> list[Record]:
    """The records of a text from a place on, without empty lines.

    Raises CongealError, naming the line, for an open quote.
    """
    found: list[Record] = []
    cells: list[str] = []
    written: list[str] = []
    line, begun, place = 1, 1, start
    while place < len(text) or cells:
        match = CELL.match(text, place)
        if match is None:
            raise CongealError(f"a quote in line {line} has no end, or is followed by more than a comma")
        raw, stop = match.groups()
        written.append(raw)
        if raw.startswith('"'):
            cells.append(raw[1:-1].replace('""', '"'))
            line += len(END.findall(raw))
        else:
            cells.append(raw)
        line += stop not in {",", ""}
        place = match.end()
        if stop == ",":
            continue
        if written != [""]:
            found.append(Record(cells, written, begun, start, match.end(1)))
        cells, written, start, begun = [], [], place, line
    return found


def quoted(value: str) -> str:
    """A cell as it is written."""
    if any(sign in value for sign in ',"\r\n') or value != value.strip():
        return '"' + value.replace('"', '""') + '"'
    return value


def joined(cells: Iterable[str]) -> str:
    """A record of cells that are written already, without the end of its line."""
    return ",".join(cells)


def line_end(text: str) -> str:
    """How the lines of a text end."""
    match = END.search(text)
    return match.group() if match else "\n"
