"""A sign in a destination while a job works without workers: if it ends abruptly, the next one has workers.

An image that kills a decoder, or more work than there is memory for, then kills the job itself, which cannot
say so. A worker's death is seen, and what killed it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from infra.errors import StorageError
from infra.storage.location import Location

SIGN = "working/in-process.json"


def crashed(destination: Location) -> bool:
    """Whether a job without workers has ended here without taking its sign away, or is under way."""
    return (destination / SIGN).exists()


@contextmanager
def signed(destination: Location) -> Iterator[None]:
    """Leave the sign for as long as the block lasts, however Python leaves it."""
    (destination / SIGN).write_bytes(b"{}\n")
    try:
        yield
    finally:
        take_away(destination)


def take_away(destination: Location) -> None:
    """Remove the sign, if there is one; where that fails, the next small job has workers, no more."""
    with suppress(StorageError):
        (destination / SIGN).delete()
