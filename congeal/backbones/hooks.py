"""What is read from inside a vision transformer: projections and the class token's attention."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from congeal.backbones import plain_vit

Facet = Literal["token", "key", "query", "value"]
_PROJECTIONS = ("query", "key", "value")


@dataclass
class AttentionInput:
    """What went into an attention module: tokens [b, n, d] and the rotary embedding, if there is one."""

    tokens: torch.Tensor
    rope: torch.Tensor | None


def attention_of(block: torch.nn.Module) -> torch.nn.Module | None:
    """The block's attention if its projections can be told apart, else None (parallel blocks, say)."""
    attention = getattr(block, "attn", None)
    if isinstance(attention, plain_vit.Attention):
        return attention
    if "timm" not in sys.modules:
        # Nothing of timm's can be in the model, and importing it takes seconds.
        return None
    from timm.layers.attention import Attention, AttentionRope
    from timm.models.eva import EvaAttention

    return attention if isinstance(attention, Attention | AttentionRope | EvaAttention) else None


@contextmanager
def record_attention_input(
    attention: torch.nn.Module, into: dict[torch.nn.Module, AttentionInput]
) -> Iterator[None]:
    """While open, every call of `attention` leaves its input under `into[attention]`."""

    def keep(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        into[module] = AttentionInput(args[0], kwargs.get("rope"))

    handle = attention.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def record_output(block: torch.nn.Module, into: dict[torch.nn.Module, torch.Tensor]) -> Iterator[None]:
    """While open, every call of `block` leaves its output under `into[block]`."""

    def keep(module: torch.nn.Module, _args: tuple[Any, ...], output: torch.Tensor) -> None:
        into[module] = output

    handle = block.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def facet_channels(attention: Any, facet: str) -> int:
    """Channels of `project`'s result: all heads together."""
    separate = getattr(attention, f"{facet[0]}_proj", None)
    return int(attention.qkv.out_features // 3 if separate is None else separate.out_features)


def project(attention: Any, tokens: torch.Tensor, facet: str) -> torch.Tensor:
    """The query, key or value projection [b, n, heads * channels] of an attention's input [b, n, d].

    It is the bare projection: before any norm of queries and keys and before the rotary embedding.
    """
    separate = getattr(attention, f"{facet[0]}_proj", None)
    if separate is not None:
        projected: torch.Tensor = separate(tokens)
        return projected
    size = facet_channels(attention, facet)
    start = _PROJECTIONS.index(facet) * size
    if attention.qkv.bias is not None:
        bias = attention.qkv.bias[start : start + size]
    else:
        bias = getattr(attention, f"{facet[0]}_bias", None)
    return torch.nn.functional.linear(tokens, attention.qkv.weight[start : start + size], bias)


def class_attention(attention: Any, given: AttentionInput, prefix: int) -> torch.Tensor:
    """How much the class token looks at each patch, mean over the heads: float32 [b, n - prefix].

    `prefix` counts the tokens before the patches, the class token first; the rest of each row's unit of
    attention falls on those.
    """
    query = _heads(attention, project(attention, given.tokens[:, :1], "query"))
    key = _heads(attention, project(attention, given.tokens, "key"))
    query, key = attention.q_norm(query), attention.k_norm(key)
    if given.rope is not None:
        from timm.layers.pos_embed_sincos import apply_rot_embed_cat

        turned = apply_rot_embed_cat(
            key[:, :, prefix:], given.rope, half=getattr(attention, "rotate_half", False)
        )
        key = torch.cat([key[:, :, :prefix].to(turned.dtype), turned], dim=2)
    if key.shape[1] != query.shape[1]:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    # Autocast would multiply in half precision whatever the dtypes say.
    with torch.autocast(query.device.type, enabled=False):
        scores = (query.float() @ key.float().transpose(-2, -1)) * attention.scale
    looks: torch.Tensor = scores.softmax(dim=-1)[:, :, 0, prefix:].mean(dim=1)
    return looks


def _heads(attention: Any, projected: torch.Tensor) -> torch.Tensor:
    batch, count, channels = projected.shape
    heads = channels // attention.head_dim
    return projected.reshape(batch, count, heads, attention.head_dim).transpose(1, 2)
