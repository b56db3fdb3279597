"""Units of work in threads of this process: for libraries that let go of Python's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from infra.compute.cores import cores
from infra.compute.engine import TRIES
from infra.compute.worker_death import Killed
from infra.threads import in_threads

P = TypeVar("P")
R = TypeVar("R")


class ThreadEngine:
    """Pictures encoded, arrays compressed: what needs no process of its own, and ends before one would start.

    workers: units at once; absent, one a core.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cores()

    def map(
        self,
        function: Callable[[P], R],
        payloads: Iterable[P],
        *,
        gpu: bool = False,
        tries: int = TRIES,
        defects: bool = False,
    ) -> Iterator[R | Killed[P]]:
        """See ``infra.compute.engine.Engine.map``; in the order of the payloads."""
        yield from in_threads(function, payloads, ahead=self.workers, threads=self.workers)

    def threads(self, units: int) -> int:
        """See ``infra.compute.engine.Engine.threads``."""
        return max(1, cores() // max(1, min(self.workers, units)))
