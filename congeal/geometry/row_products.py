"""The products of the rows of two matrices, on processors by oneDNN.

PyTorch gives float32 matrices to MKL, which is not at its best on AMD's processors: with AVX-512, oneDNN
multiplies features 2.5 times as fast. PyTorch has it, too, for models that it compiles. It is float32 either
way, and of 128 channels has been the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def row_products(a: Tensor, b: Tensor) -> Tensor:
    """a · bᵀ of [k, c] and [m, c], [k, m]: of float32 on processors by oneDNN, of all else by PyTorch."""
    multiply = _by_onednn() if _suitable(a, b) else None
    if multiply is None:
        return a @ b.T
    return multiply(a.contiguous(), b.contiguous())


def batched_row_products(a: Tensor, b: Tensor) -> Tensor:
    """The same of n pairs of matrices, [n or 1, k, c] and [n, m, c], [n, k, m]."""
    if not _suitable(a, b):
        return a @ b.transpose(1, 2)
    if len(b) == 1:
        return row_products(a[0], b[0])[None]
    found = b.new_empty((len(b), a.shape[1], b.shape[1]))
    for one, rows, others in zip(found, a.expand(len(b), -1, -1), b, strict=True):
        one.copy_(row_products(rows, others))
    return found


def _suitable(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN may multiply these: it gives no gradients, and takes neither empty rows nor float64."""
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        return False
    ours = all(one.device.type == "cpu" and one.dtype == torch.float32 and one.numel() for one in (a, b))
    return ours and a.shape[-1] == b.shape[-1]


@functools.cache
def _by_onednn() -> Callable[[Tensor, Tensor], Tensor] | None:
    """What multiplies by oneDNN; None where PyTorch has none, or it is not what it was."""
    # There is no public name for it. It is what torch.compile calls for a linear layer.
    operations: Any = torch.ops.mkldnn

    def multiply(a: Tensor, b: Tensor) -> Tensor:
        found: Tensor = operations._linear_pointwise(a, b, None, "none", [], "")
        return found

    some = torch.arange(12.0).view(4, 3)
    try:
        same = torch.equal(multiply(some, some[:2]), some @ some[:2].T)
    except (AttributeError, RuntimeError, TypeError):
        return None
    return multiply if same else None
