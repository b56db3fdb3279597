from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.threads import in_threads


@pytest.mark.parametrize("together", [1, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 6, 50])
def test_results_come_in_order(count: int, together: int) -> None:
    assert list(in_threads(lambda n: n * n, range(count), together=together)) == [n * n for n in range(count)]


@pytest.mark.parametrize("together", [1, 4])
def test_no_more_is_drawn_than_is_asked_ahead(together: int) -> None:
    drawn = []

    def items() -> Iterator[int]:
        for number in range(1_000):
            drawn.append(number)
            yield number

    found = in_threads(abs, items(), ahead=8, together=together)
    assert next(found) == 0
    assert len(drawn) <= 8
    found.close()


@pytest.mark.parametrize("together", [1, 4])
def test_the_first_fault_is_raised(together: int) -> None:
    found = in_threads(lambda n: 1 // (3 - n), range(10), together=together)
    with pytest.raises(ZeroDivisionError):
        list(found)
