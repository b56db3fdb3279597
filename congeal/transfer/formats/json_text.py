"""A JSON text to which members are added while everything that stands in it stays as it is written.

Reading and writing JSON anew would keep the values, but not how numbers are written, and not what this
project does not know of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from congeal.errors import CongealError

Span = tuple[int, int]

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")


def loaded(data: bytes) -> tuple[str, Any]:
    """The text of a file and what it says. Raises CongealError for what is no JSON."""
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass").removeprefix("\ufeff")
        return text, json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CongealError(f"it is no JSON ({error})") from error


def _past_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def members(text: str, start: int = 0) -> dict[str, Span]:
    """Where the values of an object's members stand; of one that stands twice, the last, as readers do."""
    found: dict[str, Span] = {}
    at = _past_blanks(text, _past_blanks(text, start) + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        begin = _past_blanks(text, _past_blanks(text, at) + 1)
        end = _end(text, begin)
        found[name] = (begin, end)
        at = _past_blanks(text, end)
        if text[at] == ",":
            at = _past_blanks(text, at + 1)
    return found


def elements(text: str, start: int) -> list[Span]:
    """Where the elements of an array stand."""
    found: list[Span] = []
    at = _past_blanks(text, start + 1)
    while text[at] != "]":
        end = _end(text, at)
        found.append((at, end))
        at = _past_blanks(text, end)
        if text[at] == ",":
            at = _past_blanks(text, at + 1)
    return found


def _end(text: str, at: int) -> int:
    end: int = _DECODER.raw_decode(text, at)[1]
    return end


class Additions:
    """What is added to a text, applied at once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces: list[tuple[int, str]] = []

    def append(self, array: Span, values: Iterable[str]) -> None:
        """Elements, JSON text each, at the end of an array."""
        self._put(array, ["\n  " + value for value in values], "\n ")

    def add(self, thing: Span, values: dict[str, Any]) -> None:
        """Members at the end of an object, which has none of these names."""
        pieces = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
        self._put(thing, [" " * bool(number) + piece for number, piece in enumerate(pieces, 1)], "")

    def _put(self, span: Span, pieces: list[str], closing: str) -> None:
        if not pieces:
            return
        start, end = span
        last = end - 1
        while self._text[last - 1] in " \t\n\r":
            last -= 1
        first = last == start + 1  # nothing stands in it yet
        added = ("" if first else ",") + ",".join(pieces)
        self._pieces.append((last, added + (closing if last == end - 1 else "")))

    def text(self) -> str:
        """The whole text."""
        parts: list[str] = []
        done = 0
        for at, piece in sorted(self._pieces, key=lambda pair: pair[0]):
            parts += [self._text[done:at], piece]
            done = at
        return "".join([*parts, self._text[done:]])
