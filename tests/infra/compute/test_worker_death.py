from __future__ import annotations

import errno
from collections.abc import Callable

import duckdb
import numpy as np
import pytest
import torch

from infra.compute.engine import LoopEngine
from infra.compute.worker_death import Killed, exhausted


def test_what_says_that_memory_has_run_out() -> None:
    for error in (
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((1,), np.dtype(np.float32)),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory."),
        duckdb.OutOfMemoryException("could not allocate block"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ):
        assert exhausted(error), error


def test_what_does_not() -> None:
    for error in (
        OSError(errno.ENOENT, "No such file"),
        RuntimeError("shapes differ"),
        ValueError(),
        KeyError("memory"),
    ):
        assert not exhausted(error), error


@pytest.mark.parametrize(("tries", "calls"), [(1, 1), (2, 2), (3, 3)])
def test_the_loop_survives_want_of_memory(tries: int, calls: int) -> None:
    seen: list[int] = []

    def hungry(number: int) -> int:
        seen.append(number)
        if number == 2:
            raise MemoryError
        return number

    found = list(LoopEngine().map(hungry, [1, 2, 3], tries=tries))
    assert found == [1, Killed(2, tries), 3]
    assert seen.count(2) == calls


def test_once_is_no_more_than_chance() -> None:
    seen: list[int] = []

    def flaky(number: int) -> int:
        seen.append(number)
        if len(seen) == 1:
            raise MemoryError
        return number

    assert list(LoopEngine().map(flaky, [7])) == [7]


def test_a_defect_is_no_want_of_memory() -> None:
    def broken(_: int) -> int:
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(LoopEngine().map(broken, [1]))


@pytest.mark.parametrize("make", [lambda: torch.empty(2**60), lambda: np.empty(2**50)])
def test_what_the_libraries_really_raise(make: Callable[[], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        make()
    assert exhausted(caught.value)
