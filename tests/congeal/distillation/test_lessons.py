from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.distillation.lessons import POOL, Lessons, PooledBatches
from congeal.distillation.teacher_targets import Examples


def order(sizes: list[int], batch: int, seed: int, end: int, first: int = 0) -> list[list[tuple[int, int]]]:
    return list(PooledBatches(sizes, batch, seed, first, end))


def test_an_epoch_has_no_row_twice_and_misses_few() -> None:
    sizes = [7, 5, 9, 4] * 10
    rows = [row for batch in order(sizes, 8, 0, 30) for row in batch]
    first = rows[: sum(sizes) - 3 * 8]
    assert len(set(first)) == len(first)
    assert all(0 <= row < sizes[unit] for unit, row in rows)


def test_batches_come_from_few_units_in_an_order_that_the_seed_fixes() -> None:
    sizes = [3] * 50
    made = order(sizes, 6, 1, 20)
    assert made == order(sizes, 6, 1, 20)
    assert made != order(sizes, 6, 2, 20)
    pool = {unit for batch in made[:8] for unit, _ in batch}
    assert len(pool) <= POOL


def test_fewer_rows_than_a_batch_make_smaller_batches() -> None:
    assert [len(batch) for batch in order([2, 3], 16, 0, 3)] == [5, 5, 5]


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    batch=st.integers(1, 16),
    seed=st.integers(0, 2**32),
    first=st.integers(0, 12),
)
def test_an_order_taken_up_goes_on_as_it_would_have(
    sizes: list[int], batch: int, seed: int, first: int
) -> None:
    whole = order(sizes, batch, seed, 12)
    assert order(sizes, batch, seed, 12, first) == whole[first:]
    assert len(PooledBatches(sizes, batch, seed, first, 12)) == len(whole[first:])


def test_a_batch_is_its_rows_and_nobody_elses_random_numbers_change() -> None:
    units = [
        Examples(
            torch.full((rows, 4, 4, 3), unit, dtype=torch.uint8),
            torch.arange(rows).reshape(-1, 1, 1, 1).half().expand(-1, 2, 2, 5),
            torch.full((rows, 5), unit).half(),
            torch.zeros(rows, 2, 2).half(),
        )
        for unit, rows in enumerate([3, 5, 2])
    ]
    read = []

    def load(unit: int) -> Examples:
        read.append(unit)
        return units[unit]

    before = torch.get_rng_state()
    lessons = Lessons([3, 5, 2], load)
    found = list(lessons.batches(4, 0, 0, 6))
    assert torch.equal(before, torch.get_rng_state())
    for examples, rows in zip(found, order([3, 5, 2], 4, 0, 6), strict=True):
        seen = zip(
            examples.embedding[:, 0].int().tolist(), examples.features[:, 0, 0, 0].int().tolist(), strict=True
        )
        assert sorted(seen) == sorted(rows)
    assert sorted(read) == [0, 1, 2]  # once each
    assert len(lessons) == 10
    assert lessons[1, 4].features[0, 0, 0, 0] == pytest.approx(4)
