from __future__ import annotations

import pytest
import torch

from congeal.geometry.chunking import in_windows, windows

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("congeal.geometry.chunking.AT_ONCE", {"cpu": 100})


def test_windows_cover_all_rows_within_the_bound() -> None:
    found = list(windows(10, 30, CPU))
    assert [row for window in found for row in range(10)[window]] == list(range(10))
    assert max(window.stop - window.start for window in found) == 3


def test_a_row_larger_than_the_bound_is_a_window_of_its_own() -> None:
    assert list(windows(2, 1000, CPU)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_of_windows_are_those_of_all_rows(count: int) -> None:
    values = torch.arange(float(count * 2)).view(count, 2)
    double, total = in_windows(count, 30, CPU, lambda window: (2 * values[window], values[window].sum(1)))
    assert torch.equal(double, 2 * values)
    assert torch.equal(total, values.sum(1))
