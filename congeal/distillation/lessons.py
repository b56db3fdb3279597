"""The examples that a student learns from, stored in units, and the order in which it meets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from congeal.distillation.teacher_targets import Examples, joined

POOL = 16  # units that a batch is drawn from

Row = tuple[int, int]  # a unit's number and a row of it


class Lessons(Dataset[Examples]):
    """Examples of one grid in units, of which the last few read stay in memory.

    Attributes:
        sizes: rows of each unit.
        load: a unit's examples by its number.
    """

    def __init__(self, sizes: Sequence[int], load: Callable[[int], Examples]) -> None:
        """sizes: rows of each unit; load: a unit's examples by its number."""
        self.sizes = sizes
        self.load = lru_cache(maxsize=2 * POOL)(load)

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, row: Row) -> Examples:
        (example,) = self.__getitems__([row])
        return example

    def __getitems__(self, rows: Sequence[Row]) -> list[Examples]:
        """The rows, those of one unit together, ordered by unit."""
        units = sorted({unit for unit, _ in rows})
        return [
            self.load(unit).rows(torch.tensor([row for other, row in rows if other == unit]))
            for unit in units
        ]

    def batches(self, batch: int, seed: int, first: int, end: int) -> DataLoader[Examples]:
        """The batches from number ``first`` to before ``end`` (see `PooledBatches`), each one `Examples`."""
        order = PooledBatches(self.sizes, batch, seed, first, end)
        # A generator of its own: a loader draws a number from it, and else would from that of everybody.
        return DataLoader(self, batch_sampler=order, collate_fn=joined, generator=torch.Generator())


class PooledBatches(Sampler[list[Row]]):
    """Batches of rows in an order fixed by the seed; no row twice in an epoch, one epoch after the other.

    A batch's rows come from one pool of at most `POOL` units, so that few need to be in memory; a pool of
    fewer rows than a batch is a batch of its own.
    """

    def __init__(self, sizes: Sequence[int], batch: int, seed: int, first: int, end: int) -> None:
        """sizes: rows of each unit; batch: rows in a batch; those numbered first to before end are given."""
        self._sizes, self._batch, self._seed = sizes, batch, seed
        self._span = range(first, end)

    def __len__(self) -> int:
        return len(self._span)

    def __iter__(self) -> Iterator[list[Row]]:
        return islice(self._all(), self._span.start, self._span.stop)

    def _all(self) -> Iterator[list[Row]]:
        generator = np.random.default_rng(self._seed)
        while True:
            order = generator.permutation(len(self._sizes))
            for start in range(0, len(order), POOL):
                pool = [
                    (int(unit), row)
                    for unit in order[start : start + POOL]
                    for row in range(self._sizes[unit])
                ]
                shuffled = [pool[index] for index in generator.permutation(len(pool))]
                count = len(shuffled) // self._batch
                for first in range(count):
                    yield shuffled[first * self._batch : (first + 1) * self._batch]
                if not count:
                    yield shuffled
