"""Largest values of rows and columns."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.geometry.argmax import column_peaks, row_peaks

sizes = st.integers(1, 6)


@given(n=sizes, blocks=sizes, block=sizes, columns=sizes, seed=st.integers(0, 99))
def test_peaks_are_where_argmax_finds_them(n: int, blocks: int, block: int, columns: int, seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    table = torch.randint(0, 4, (n, blocks * block, columns), generator=drawn).float()  # with many equals
    # NumPy promises the first of equals; torch does not.
    np.testing.assert_array_equal(row_peaks(table), table.numpy().argmax(2))
    np.testing.assert_array_equal(column_peaks(table, block), table.numpy().argmax(1))
