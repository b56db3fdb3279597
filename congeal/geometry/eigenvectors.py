"""Principal directions with a sign that does not depend on the machine."""

from __future__ import annotations

import torch
from torch import Tensor


def leading_eigenvectors(scatter: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues of a symmetric matrix [c, c] and their vectors, signs as of `signed`.

    Returns values [k] falling and vectors [c, k], k = min(count, c), in the matrix's dtype.
    """
    values, vectors = torch.linalg.eigh(scatter)
    return values.flip(0)[:count], signed(vectors.flip(1)[:, :count])


def signed(columns: Tensor) -> Tensor:
    """Columns [c, k], each times 1 or -1 so that its entry of largest magnitude is positive."""
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
    return columns * largest.sign()
