"""Requests to a store, many at a time, in order and within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_THREADS = 32

P = TypeVar("P")
R = TypeVar("R")


def in_threads(function: Callable[[P], R], items: Iterable[P], ahead: int = 8 * _THREADS) -> Iterator[R]:
    """``function`` of each item in order, computed in threads ahead of whoever takes the results.

    For requests to a store. ahead: items that are under way or waiting to be taken; so many results are in
    memory at once, and so far ``items`` are drawn. What was begun for a taker who stops is given up.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(min(_THREADS, ahead))
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
