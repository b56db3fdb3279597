"""Long batches in windows, so that what is computed for them at once stays within a bound of memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

AT_ONCE = {"cpu": 2**25, "cuda": 2**31}  # bytes of a window, by kind of device


def windows(count: int, each: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover ``count`` rows, each of as many as fit into AT_ONCE, and of one at least.

    each: bytes that the work on one row takes.
    """
    step = max(1, AT_ONCE.get(device.type, AT_ONCE["cpu"]) // each)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
