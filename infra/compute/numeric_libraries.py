"""How numeric libraries use processors and memory in a process that works on units."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

THREADS = {
    # One thread of numeric libraries, until a unit asks for more.
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    # Threads of a unit that wait for each other spin for a while first. On a machine that is busy with
    # other work they spin away the time of the one they wait for: beside two other processes on two cores
    # 12 images took 18 s to align, and 4 s with so short a spin, which costs next to nothing otherwise.
    "GOMP_SPINCOUNT": 1000,
}
# A backbone frees and takes the same hundred megabytes at every layer. If they go back to the system
# each time, as Dask's own settings have it, the page faults (82,000 an image, none with these) cost
# half as much again as the computing.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_MAX_": 0,
    "MALLOC_TRIM_THRESHOLD_": 2**34,
    "MALLOC_TOP_PAD_": 2**26,
}
# glibc's names for the same, for a process that has begun; its parameters are C ints.
_PARAMETERS = {
    "MALLOC_ARENA_MAX": -8,
    "MALLOC_MMAP_MAX_": -4,
    "MALLOC_TRIM_THRESHOLD_": -1,
    "MALLOC_TOP_PAD_": -2,
}
_MOST = 2**31 - 1


def settle_threads() -> None:
    """Settle the threads of libraries that this process has not imported yet, where the user has not."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, str(value))


def release_memory() -> None:
    """Give what this process has freed back to the system; with glibc only."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def settle_allocator() -> None:
    """Let this process keep the memory that it frees, where the user has not said; with glibc only."""
    _settle(ALLOCATOR)


def settle_arenas() -> None:
    """Have the threads of this process share one heap, where the user has not said; with glibc only.

    Each has its own otherwise, of which `release_memory` can give back nothing that lies at its end, and more
    than 100 MiB do. To be called before there are threads.
    """
    _settle({"MALLOC_ARENA_MAX": ALLOCATOR["MALLOC_ARENA_MAX"]})


def _settle(values: Mapping[str, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    for name, value in values.items():
        if mallopt is not None and name not in os.environ:
            mallopt(_PARAMETERS[name], min(value, _MOST))
