from __future__ import annotations

import threading

import pytest

from infra.compute.thread_engine import ThreadEngine
from infra.errors import UserError


def test_units_come_back_in_their_order() -> None:
    assert list(ThreadEngine(3).map(lambda number: number**2, range(20))) == [n**2 for n in range(20)]


def test_as_many_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(2, timeout=30)
    assert list(ThreadEngine(2).map(lambda _: together.wait() >= 0, range(4))) == [True] * 4


def test_the_first_error_ends_it() -> None:
    def fails(number: int) -> int:
        if number == 3:
            raise UserError("the fourth cannot be made")
        return number

    with pytest.raises(UserError, match="the fourth"):
        list(ThreadEngine(2).map(fails, range(10)))


def test_threads_are_shared_among_units() -> None:
    assert ThreadEngine(1).threads(5) >= 1
    assert ThreadEngine(64).threads(64) == 1
