"""Bilinear interpolation as weighted sums of cells, for fields of many channels.

`torch.nn.functional.grid_sample` looks up a place channel by channel. Fields here keep a cell's channels side
by side, so that a place is the weighted sum of four rows of a table, which one kernel gathers and adds up:
from some channels on that is twice as fast. The same kernel adds up places of several images in one go.
"""

from __future__ import annotations

import torch
from torch import Tensor


def corners(at: Tensor, side: int, extent: float = 1.0) -> tuple[Tensor, Tensor]:
    """The four cells around each place, and their weights; beyond the outermost centres, those of the border.

    Args:
        at: float32 [..., 2], x before y, over ±extent; what is not a number counts as the middle.
        side: cells along a side of the field, two at least.
        extent: half the side of the field.

    Returns:
        Flat indices int64 [..., 4] into a field's side·side cells, and weights float32 [..., 4].
    """
    scaled = torch.addcmul(at.new_tensor((side - 1) / 2), at, at.new_tensor(side / (2 * extent)))
    scaled = scaled.nan_to_num_((side - 1) / 2).clamp_(0, side - 1)
    low = scaled.floor().clamp_max_(side - 2)
    share = scaled - low
    x, y = share.unbind(-1)
    weight = torch.empty((*x.shape, 4), device=at.device)
    both = x * y
    weight[..., 3] = both
    weight[..., 2] = y - both
    weight[..., 1] = x - both
    weight[..., 0] = 1 - x - y + both
    first = torch.add(low[..., 0], low[..., 1], alpha=side).long()
    return first[..., None] + torch.tensor([0, 1, side, side + 1], device=at.device), weight


def weighted_rows(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Rows ``index`` [..., k] of ``table`` [t, c], weighted by ``weight`` [..., k] and added up: [..., c]."""
    shape = (*index.shape[:-1], table.shape[1])
    if not index.numel():
        return table.new_zeros(shape)
    bags, shares = index.reshape(-1, index.shape[-1]), weight.reshape(-1, index.shape[-1])
    found = torch.nn.functional.embedding_bag(bags, table, mode="sum", per_sample_weights=shares)
    return found.view(shape)


def interpolated(field: Tensor, at: Tensor, extent: float = 1.0) -> Tensor:
    """Bilinear values [n, ..., c] of ``field`` [n, r, r, c], r ≥ 2, at ``at`` [n, ..., 2]; see `corners`."""
    n, side = field.shape[:2]
    index, weight = corners(at, side, extent)
    first = torch.arange(n, device=field.device).view(-1, *(1,) * (at.ndim - 1)) * side**2
    return weighted_rows(field.reshape(n * side**2, -1), index.add_(first), weight)
