"""Work that waits for a store or decodes: many items at a time, in order, within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_THREADS = 32

P = TypeVar("P")
R = TypeVar("R")


def in_threads(
    function: Callable[[P], R],
    items: Iterable[P],
    ahead: int = 8 * _THREADS,
    threads: int = _THREADS,
    together: int = 1,
) -> Iterator[R]:
    """``function`` of each item in order, computed in threads ahead of whoever takes the results.

    ahead: items that are under way or waiting to be taken; so many results are in memory at once, and so far
    ``items`` are drawn. What was begun for a taker who stops is given up. together: items that one thread
    does one after the other, where each takes little more than to hand it over.
    """
    if together > 1:
        for done in in_threads(
            lambda some: [function(one) for one in some],
            _batches(items, together),
            max(1, ahead // together),
            threads,
        ):
            yield from done
        return
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(min(threads, ahead))
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(items: Iterable[P], size: int) -> Iterator[list[P]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def run_in_threads(function: Callable[[P], object], items: Iterable[P], threads: int = _THREADS) -> None:
    """Call ``function`` with each item, in threads, and drop what comes back; the first fault is raised."""
    for _ in in_threads(function, items, threads=threads):
        pass
