"""What is never to be taken in again, known by a keyed digest alone: nothing here says what it was.

The key is made at random for each destination, so that digests of two destinations cannot be compared. Who
has the content itself can tell that it was forgotten here; nobody can tell from a digest what was.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

from infra.errors import DamagedError, MissingError, UserError
from infra.storage.location import Location

FOLDER = "forgotten"
KEY = "key.json"
LIST = "forgetting.json"  # in a destination: what is being forgotten; there only while it is


@dataclass(frozen=True)
class Tombstones:
    """The digests of a destination. key: None where nothing was ever forgotten."""

    key: bytes | None = None
    digests: frozenset[str] = frozenset()

    def holds(self, name: str) -> bool:
        """True if a content of this name was forgotten."""
        return bool(self.digests) and self.key is not None and _digest(self.key, name) in self.digests


def read_tombstones(destination: Location) -> Tombstones:
    """What was forgotten in a destination. Raises DamagedError if the key is gone or damaged."""
    names = (destination / FOLDER).children()
    digests = frozenset(name for name in names if name != KEY)
    return Tombstones(_key(destination), digests) if digests else Tombstones()


def require_finished(destination: Location) -> None:
    """Raise UserError while a forgetting is not through."""
    if (destination / LIST).exists():
        raise UserError(
            f"A forgetting in {destination} did not come to its end: `congeal forget {destination}` goes on."
        )


def bury(destination: Location, names: list[str]) -> None:
    """Never take contents of these names in again."""
    place = destination / FOLDER / KEY
    if not place.exists():
        place.put_if_absent(json.dumps({"key": secrets.token_hex(32)}).encode() + b"\n")
    key = _key(destination)
    for name in names:
        (destination / FOLDER / _digest(key, name)).put_if_absent(b"{}\n")


def _key(destination: Location) -> bytes:
    place = destination / FOLDER / KEY
    try:
        return bytes.fromhex(json.loads(place.read_bytes())["key"])
    except (MissingError, ValueError, KeyError, TypeError) as fault:
        raise DamagedError(
            f"{place} is damaged or gone, so what was forgotten is not known any more: restore it from a "
            "backup."
        ) from fault


def _digest(key: bytes, name: str) -> str:
    return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()
