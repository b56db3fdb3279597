"""What a destination was begun with, while nothing has been published: the first run to say so counts."""

from __future__ import annotations

import json

from infra.errors import DamagedError, MissingError
from infra.ledger.publications import Publication, published
from infra.storage.location import Location


def last_publication(destination: Location) -> Publication | None:
    """What was published last, None if that is nothing, or damaged."""
    try:
        return published(destination)
    except DamagedError:
        return None


def begun_with(destination: Location, what: str) -> str | None:
    """The setting features.``what`` that the destination was begun with; None if nothing says so.

    Raises DamagedError for a record that cannot be read.
    """
    place = _place(destination, what)
    try:
        return str(json.loads(place.read_bytes())[what])
    except MissingError:
        return None
    except (ValueError, KeyError, TypeError) as fault:
        raise DamagedError(f"{place} is damaged: delete it and set features.{what}.") from fault


def remember(destination: Location, what: str, value: str | None) -> None:
    """Let later runs find it, unless an earlier one has said so."""
    _place(destination, what).put_if_absent(json.dumps({what: value}).encode() + b"\n")


def _place(destination: Location, what: str) -> Location:
    return destination / f"{what}.json"
