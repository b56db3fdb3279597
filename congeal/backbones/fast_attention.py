"""Attention in bfloat16 on a CPU, image by image, as plain matrix products.

PyTorch's fused kernel multiplies bfloat16 on a CPU hardly faster than float32. Plain products use the
hardware's own instructions, and one image's scores at a time stay in the cache: a 32 x 32 grid takes well
under half the time. Sums over tokens are in float32 either way; scores are rounded to bfloat16.
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import Any

import torch

from congeal.backbones import plain_vit

MOST_TOKENS = 4_200  # a grid of 64 x 64; beyond, an image's scores would take too much memory


def quicken(model: torch.nn.Module) -> None:
    """Let the plain attentions of a bfloat16 model on the CPU compute this way, in evaluation only."""
    plain: set[type] = {plain_vit.Attention}
    if "timm" in sys.modules:
        from timm.layers.attention import Attention

        plain.add(Attention)
    for module in model.modules():
        if type(module) in plain and getattr(module, "gate", None) is None:
            vars(module)["forward"] = MethodType(_forward, module)


def _forward(
    self: Any, tokens: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False
) -> torch.Tensor:
    """As `Attention.forward`: [b, n, d] to [b, n, d]."""
    batch, count, _ = tokens.shape
    if count > MOST_TOKENS or attn_mask is not None or is_causal:
        fused: torch.Tensor = type(self).forward(self, tokens, attn_mask, is_causal)
        return fused
    projected = self.qkv(tokens).reshape(batch, count, 3, self.num_heads, self.head_dim)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = self.q_norm(query) * self.scale, self.k_norm(key)
    with torch.autocast(tokens.device.type, enabled=False):
        query, key, value = (part.to(torch.bfloat16).contiguous() for part in (query, key, value))
        looked = torch.empty_like(query)
        for image in range(batch):
            looks = (query[image] @ key[image].transpose(-2, -1)).softmax(dim=-1)
            torch.matmul(looks, value[image], out=looked[image])
    found: torch.Tensor = self.proj(self.norm(looked.transpose(1, 2).reshape(batch, count, self.attn_dim)))
    return found
