"""Processes that end between two writes to a destination, as a kill ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.storage.location import Location

SIGNS = "/working/"  # where runs say that they are at work; how often depends on the clock


class Killed(BaseException):
    """As of a process that ends between two writes."""


class Kill:
    """happened: whether the process came to its end."""

    happened = False


@contextmanager
def killed_after(writes: int, *, uncounted: str | None = SIGNS) -> Iterator[Kill]:
    """Let so many writes and deletions in the block through; the next one ends it, and so would all after it.

    uncounted: part of the addresses of those that always get through.
    """
    left, kill = writes, Kill()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def act(place: Location, *arguments: Any) -> Any:
            nonlocal left
            if uncounted is None or uncounted not in place.url:
                if left <= 0:
                    raise Killed
                left -= 1
            return real(place, *arguments)

        return act

    with pytest.MonkeyPatch.context() as patch:
        for name in ("write_bytes", "put_if_absent", "delete"):
            patch.setattr(Location, name, counted(getattr(Location, name)))
        try:
            yield kill
        except Killed:
            kill.happened = True
