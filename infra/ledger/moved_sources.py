"""Under which other names the source of a destination was known: it was moved or renamed."""

from __future__ import annotations

import json

from infra.errors import DamagedError, MissingError
from infra.storage.location import Location

NAME = "sources.json"


def moves(destination: Location) -> dict[str, str]:
    """URL of a source to the URL that it has been moved to. Raises DamagedError for what is no such list."""
    place = destination / NAME
    try:
        found = json.loads(place.read_bytes())["moved"]
        if not isinstance(found, dict) or not all(isinstance(to, str) for to in found.values()):
            raise TypeError
    except MissingError:
        return {}
    except (ValueError, KeyError, TypeError) as fault:
        raise DamagedError(f"{place} is damaged: delete it, and name the source once more.") from fault
    return found


def record_move(destination: Location, old: str, new: str) -> None:
    """Note that a source lies elsewhere now; where it lay before that is it, too."""
    found = {name: to for name, to in moves(destination).items() if name != new} | {old: new}
    content = json.dumps({"moved": found}, indent=1, sort_keys=True).encode() + b"\n"
    (destination / NAME).write_bytes(content)


def present_url(destination: Location, source: str) -> str:
    """Where a source lies now."""
    found, seen = moves(destination), {source}
    while (there := found.get(source)) is not None and there not in seen:
        source = there
        seen.add(source)
    return source


def known_as(destination: Location, source: str) -> frozenset[str]:
    """Every URL that a source has had, its present one among them."""
    found = moves(destination)
    names = {source}
    while more := {old for old, new in found.items() if new in names} - names:
        names |= more
    return frozenset(names)
