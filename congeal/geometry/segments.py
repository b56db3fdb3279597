"""Which set each row of a flattened batch belongs to: the images of several sets, or their pairs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Membership:
    """The rows of several sets, one set after the other.

    Attributes:
        sizes: how many rows each of s sets has.
        owner: int64 [n], the set of each row.
    """

    sizes: tuple[int, ...]
    owner: Tensor

    @classmethod
    def of(cls, sizes: Sequence[int], device: str | torch.device) -> Membership:
        """Sets of so many rows."""
        lengths = torch.tensor(list(sizes), dtype=torch.int64)
        return cls(tuple(sizes), torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(device))

    @property
    def slices(self) -> list[slice]:
        """The rows of each set."""
        ends = list(itertools.accumulate(self.sizes))
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]


def add_up(total: Tensor, owner: Tensor, values: Tensor) -> None:
    """Add values [n, ...] to the totals [s, ...] of their sets, in place."""
    if values.is_cuda:
        # There index_add_ adds by atomics, and never in the same order twice; this sorts by set first.
        total.index_put_((owner,), values, accumulate=True)
    else:
        total.index_add_(0, owner, values)


def sums(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """The sums [count, ...] over the values [n, ...] of each set."""
    total = torch.zeros((count, *values.shape[1:]), dtype=values.dtype, device=values.device)
    add_up(total, owner, values)
    return total
