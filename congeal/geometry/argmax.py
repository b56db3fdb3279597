"""Where the rows and columns of large tables are largest.

`torch.argmax` looks at a CPU's numbers one by one; largest values are found by vector instructions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def row_peaks(table: Tensor) -> Tensor:
    """Where each row of float [n, k, m] is largest, int64 [n, k]; the first of equals.

    A row of a square number of values is looked through block by block, then the block with the largest.
    """
    n, k, m = table.shape
    block = math.isqrt(m)
    if block**2 != m:
        return table.max(2).indices
    blocks = table.reshape(n * k, block, block)
    chosen = blocks.amax(2).argmax(1)
    within = blocks[torch.arange(n * k, device=table.device), chosen].argmax(1)
    return torch.add(within, chosen, alpha=block).view(n, k)


def column_peaks(table: Tensor, block: int) -> Tensor:
    """Where each column of float [n, k·block, m] is largest, int64 [n, m]; the first of equals.

    First in which ``block`` of rows, then in which row of it: the table is gone through once, along its rows.
    """
    n, rows, m = table.shape
    # The largest of a dimension that is not the last, with its place, comes by vector instructions.
    chosen = block * table.view(n, rows // block, block, m).amax(2).max(1).indices
    candidates = chosen[:, None] + torch.arange(block, device=table.device)[:, None]
    return chosen + table.gather(1, candidates).max(1).indices
