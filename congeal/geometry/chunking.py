"""Long batches in windows, so that what is computed for them at once stays within a bound of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

AT_ONCE = {"cpu": 2**25, "cuda": 2**30}  # bytes of a window, by kind of device


def windows(count: int, each: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover ``count`` rows, each of as many as fit into AT_ONCE, and of one at least.

    each: bytes that the work on one row takes.
    """
    step = max(1, AT_ONCE.get(device.type, AT_ONCE["cpu"]) // each)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def in_windows(
    count: int, each: int, device: torch.device, work: Callable[[slice], tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """The results [count, ...] of work on all rows, which gives those [w, ...] of a window's.

    Each window's are put in their place at once: small results that are kept between large ones that are
    not would leave holes in memory, into which nothing large fits.
    """
    whole: tuple[Tensor, ...] = ()
    for window in list(windows(count, each, device)) or [slice(0, 0)]:
        parts = work(window)
        whole = whole or tuple(part.new_empty((count, *part.shape[1:])) for part in parts)
        for target, part in zip(whole, parts, strict=True):
            target[window] = part
    return whole
