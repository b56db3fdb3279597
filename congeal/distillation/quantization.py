"""Rounding a vision transformer's matrices so that what its layers say changes least.

Block by block, on what the rounded blocks before it say of some images, each matrix is rounded column by
column, and the columns yet to come make up for what was lost (GPTQ: Frantar et al. 2023). A row's numbers are
whole multiples of a step that is a share of their root mean square; `congeal.backbones.packed_checkpoint`
stores them in as many bits as they need, about three, so that nothing has to be cut off.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DAMPING = 0.01  # of the mean square of an input
CLASS_TOKEN = 16  # so many patches count as much as the class token, of which there is one an image
NORMAL_BITS = 2.05  # of normal numbers, rounded to multiples of their deviation: log2 of √(2πe)
_COLUMNS = 64


@torch.no_grad()
def round_blocks(model: Any, pixels: Tensor, bits: float) -> dict[str, Tensor]:
    """Round the matrices in the blocks of a plain timm vision transformer, in place.

    pixels: float32 [b, 3, s, s], standardised, at the model's size. bits: that a number takes, about, where
    a row's numbers are normal and stored in as many as each needs. Returns the steps float32 [rows] by the
    matrices' names.
    """
    share = 2 ** (NORMAL_BITS - bits)
    steps: dict[str, Tensor] = {}
    tokens = model.norm_pre(model._pos_embed(model.patch_embed(pixels)))
    for index, block in enumerate(model.blocks):
        attention, mlp = block.attn, block.mlp
        given = block.norm1(tokens)
        steps[f"blocks.{index}.attn.qkv.weight"] = _round(attention.qkv, given, share)
        steps[f"blocks.{index}.attn.proj.weight"] = _round(attention.proj, _looked(attention, given), share)
        tokens = tokens + block.ls1(attention(given))
        given = block.norm2(tokens)
        steps[f"blocks.{index}.mlp.fc1.weight"] = _round(mlp.fc1, given, share)
        steps[f"blocks.{index}.mlp.fc2.weight"] = _round(mlp.fc2, mlp.act(mlp.fc1(given)), share)
        tokens = tokens + block.ls2(mlp(given))
    return steps


def _looked(attention: Any, given: Tensor) -> Tensor:
    """What an attention's last projection is given: [b, n, c]."""
    seen: list[Tensor] = []
    handle = attention.proj.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        attention(given)
    finally:
        handle.remove()
    return seen[0]


def _round(layer: Any, given: Tensor, share: float) -> Tensor:
    """Round a linear layer for inputs [b, n, c], the class token first; its rows' steps."""
    weighted = torch.cat([given[:, :1] * CLASS_TOKEN**0.5, given[:, 1:]], dim=1).flatten(0, 1)
    gram = weighted.T @ weighted / len(weighted)
    gram.diagonal().add_(DAMPING * gram.diagonal().mean())
    order = gram.diagonal().argsort(descending=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram[order][:, order]))
    upper = torch.linalg.cholesky(inverse, upper=True)
    weight = layer.weight[:, order].clone()
    # Half precision keeps the steps, so that the same are read back.
    step = (share * weight.square().mean(1).sqrt()).clamp(1e-6, 6e4).half().float()
    rounded = torch.empty_like(weight)
    for first in range(0, weight.shape[1], _COLUMNS):
        last = min(first + _COLUMNS, weight.shape[1])
        errors = torch.empty_like(weight[:, first:last])
        for column in range(first, last):
            rounded[:, column] = (weight[:, column] / step).round().clamp(-127, 127) * step
            error = (weight[:, column] - rounded[:, column]) / upper[column, column]
            weight[:, column:last] -= torch.outer(error, upper[column, column:last])
            errors[:, column - first] = error
        weight[:, last:] -= errors @ upper[first:last, last:]
    rounded = rounded[:, order.argsort()]
    layer.bias += (layer.weight - rounded) @ given.flatten(0, 1).mean(0)
    layer.weight.copy_(rounded)
    found: Tensor = step
    return found
