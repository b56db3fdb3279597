"""Does a store keep conditional puts? The commits stand on them; so a destination's store is asked, once.

Some servers that speak S3 ignore If-None-Match, answer 200 and replace the object: two writers would both
believe that they were first; so do some emulators. The packages for Google's and Azure's stores send such a
condition; fsspec's own put-if-absent, for all further protocols, looks and then writes.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from infra.errors import MissingError, StorageError
from infra.storage.location import Location

NOTE = "store.json"  # in a destination: its store was asked, and keeps conditional puts
FOLDER = "probes"
_KEPT = {"file", "memory"}  # hard links; and what no other process can see
_ASKED = {"s3", "gs", "gcs", "az", "abfs", "abfss"}
_CURE = (
    "use another store, or set storage.single_writer=true and let only one run at a time write there "
    "(see docs/operations.md)"
)


def require_conditional_puts(destination: Location) -> None:
    """Raise StorageError unless ``destination`` lies in a store that keeps conditional puts.

    An object store is asked by two puts under a name that nobody else has, and the answer is noted in the
    destination; a note that was copied there from another store does not count.
    """
    if destination.protocol in _KEPT:
        return
    if destination.protocol not in _ASKED:
        raise StorageError(
            f"Congeal does not know that {destination.protocol}:// stores can write an object only if it is "
            f"absent, so two runs at once could lose each other's work in {destination}: {_CURE}."
        )
    note = _note(destination)
    if _noted(destination) == note:
        return
    ask_conditional_puts(destination)
    (destination / NOTE).write_bytes(json.dumps(note, indent=1, sort_keys=True).encode() + b"\n")


def ask_conditional_puts(destination: Location) -> None:
    """Raise StorageError unless the store keeps conditional puts now, whatever was noted; leaves nothing."""
    place = destination / FOLDER / secrets.token_hex(16)
    try:
        # The bytes differ: an equal object counts as one's own, whose answer was lost.
        first, second = place.put_if_absent(b"first\n"), place.put_if_absent(b"second\n")
    finally:
        _clear(place)
    if not first:
        raise StorageError(
            f"The store of {destination} says that a name is taken which nobody has used, so nothing can be "
            f"written only if it is absent: {_CURE}."
        )
    if second:
        raise StorageError(
            f"The store of {destination} ignores If-None-Match and replaces an object that should be written "
            f"only if it is absent, so two runs at once would lose each other's work: {_CURE}."
        )


def _clear(place: Location) -> None:
    try:
        place.delete()
    except StorageError:
        # Where nothing may be deleted, a few bytes stay that nobody reads.
        return


def _note(destination: Location) -> dict[str, Any]:
    endpoint = destination.options.get("endpoint_url")
    # An endpoint may carry a user and a password before its host.
    host = str(endpoint).rpartition("@")[2] if endpoint else None
    return {"conditional_puts": True, "url": destination.url, "endpoint": host}


def _noted(destination: Location) -> Any:
    try:
        return json.loads((destination / NOTE).read_bytes())
    except MissingError:
        return None
    except ValueError:
        # Whatever it says, it is not the note: the store is asked again.
        return None
