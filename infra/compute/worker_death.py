"""Work that failed for want of memory: its worker died, or memory ran out."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P")

# Of torch (on a GPU), Polars and DuckDB; they are known by name, so that none of them needs to be imported.
_NAMES = {"OutOfMemoryError", "OutOfMemoryException"}
# What torch's allocators say in a bare RuntimeError (on a CPU).
_WORDS = ("can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Killed(Generic[P]):
    """What comes back for a payload that killed its worker, or ran out of memory, each time.

    deaths: how often. error: what was raised instead each time, where the caller takes that, too.
    """

    payload: P
    deaths: int
    error: Exception | None = field(default=None, compare=False)


def exhausted(error: BaseException) -> bool:
    """Whether an error says that memory has run out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if _NAMES & {kind.__name__ for kind in type(error).__mro__}:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
