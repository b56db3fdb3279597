"""What people have decided about a destination, one small record after the other; nothing is ever replaced.

A record is written under the next number, only if nobody has taken that number: of two who write at once one
is first, and the other looks again at what is there before it writes under the number after.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from infra.errors import DamagedError, MissingError
from infra.ledger.commits import LAYOUT, Frozen, digest, newer
from infra.storage.location import Location
from infra.threads import in_threads

FOLDER = "corrections"
_NAME = re.compile(r"([0-9]{6,})\.json")


class JournalEntry(Frozen):
    """One record. number: 1, 2, …; by, why: as somebody gave them; at: UTC, ISO 8601. facts: what it says.

    check: digest of all the rest.
    """

    layout: int = LAYOUT
    number: int
    by: str
    at: str
    why: str | None
    facts: dict[str, Any]
    check: str = ""

    def checked(self) -> JournalEntry:
        """The same with its digest."""
        return self.model_copy(update={"check": digest(self.model_dump(mode="json", exclude={"check"}))})


def entries(destination: Location) -> list[JournalEntry]:
    """All records, the oldest first. Raises DamagedError for one that is not what was written."""
    folder = destination / FOLDER
    names = sorted((name for name in folder.children() if _NAME.fullmatch(name)), key=_number)
    return [one for one in in_threads(lambda name: _read(folder / name, _number(name)), names) if one]


def append(destination: Location, make: Callable[[Sequence[JournalEntry]], JournalEntry]) -> JournalEntry:
    """Write one more record, and return it with its number.

    make: given all that is there, the record, whatever its number; it raises UserError if what is there
    forbids it, and is asked again where somebody else was first.
    """
    while True:
        there = entries(destination)
        number = 1 + max((one.number for one in there), default=0)
        entry = make(there).model_copy(update={"number": number}).checked()
        if place_of(destination, number).put_if_absent(encoded(entry)):
            return entry


def place_of(destination: Location, number: int) -> Location:
    """Where the record of a number lies."""
    return destination / FOLDER / f"{number:06d}.json"


def encoded(entry: JournalEntry) -> bytes:
    """A record as it is stored."""
    return json.dumps(entry.model_dump(mode="json"), indent=1, sort_keys=True).encode() + b"\n"


def _number(name: str) -> int:
    return int(name.removesuffix(".json"))


def _read(place: Location, number: int) -> JournalEntry | None:
    try:
        data = place.read_bytes()
    except MissingError:
        return None
    try:
        content = json.loads(data)
        if (
            isinstance(content, dict)
            and isinstance(content.get("layout"), int)
            and content["layout"] > LAYOUT
        ):
            raise newer(place, content["layout"])
        entry = JournalEntry.model_validate(content)
    except (ValidationError, ValueError) as fault:
        raise _damaged(place) from fault
    if entry.number != number or entry.checked().check != entry.check:
        raise _damaged(place)
    return entry


def _damaged(place: Location) -> DamagedError:
    return DamagedError(f"The correction {place} is not what was written: delete it and give it again.")
