"""The plain vision transformers of DINO and DINOv2, in torch alone.

They are timm's, tensor for tensor and operation for operation (the tests hold them against it), for the
models that most runs use. Importing timm imports all of its models, torchvision and torch's compiler, which
takes longer than importing torch does; only a run with another backbone needs that. Attributes are called as
timm's, so that whoever looks into a model need not know which of the two it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from congeal.backbones.plain_vit_shapes import PlainVitShape

# Mean and standard deviation of ImageNet's red, green and blue, in 0 to 1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
_EPSILON = 1e-6
_HIDDEN = 4  # width of a perceptron, in widths of a token


class Attention(nn.Module):
    """Multi-head self-attention, [b, n, d] to [b, n, d]."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.head_dim = channels // heads
        self.attn_dim = channels
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.q_norm = nn.Identity()
        self.k_norm = nn.Identity()
        self.norm = nn.Identity()
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """What each token gathers from all."""
        batch, count, channels = tokens.shape
        projected = self.qkv(tokens).reshape(batch, count, 3, self.num_heads, self.head_dim)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        gathered = scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, is_causal=is_causal)
        mixed: Tensor = self.proj(gathered.transpose(1, 2).reshape(batch, count, channels))
        return mixed


class _Scale(nn.Module):
    """A factor for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class _Perceptron(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, _HIDDEN * channels)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(_HIDDEN * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed: Tensor = self.fc2(self.act(self.fc1(tokens)))
        return mixed


class _Block(nn.Module):
    def __init__(self, shape: PlainVitShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.channels, eps=_EPSILON)
        self.attn = Attention(shape.channels, shape.heads)
        self.ls1 = _Scale(shape.channels) if shape.scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(shape.channels, eps=_EPSILON)
        self.mlp = _Perceptron(shape.channels)
        self.ls2 = _Scale(shape.channels) if shape.scaled else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        further: Tensor = self.ls2(self.mlp(self.norm2(tokens)))
        return tokens + further


class _PatchEmbedding(nn.Module):
    """Images [b, 3, s, s] to patch tokens [b, n, d]."""

    def __init__(self, shape: PlainVitShape, size: int) -> None:
        super().__init__()
        self.patch_size = (shape.patch, shape.patch)
        self.grid_size = (size // shape.patch, size // shape.patch)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.proj = nn.Conv2d(3, shape.channels, kernel_size=shape.patch, stride=shape.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens: Tensor = self.proj(pixels).flatten(2).transpose(1, 2)
        return tokens


class PlainVit(nn.Module):
    """A vision transformer for square images of `size` pixels a side, its parameters yet to be loaded.

    blocks: how many of the shape's; None: all. Its `state_dict` has timm's names.
    """

    def __init__(self, shape: PlainVitShape, size: int | None = None, blocks: int | None = None) -> None:
        super().__init__()
        self.embed_dim = shape.channels
        self.num_prefix_tokens = 1 + shape.registers
        self.no_embed_class = shape.registers > 0
        self.pretrained_cfg: dict[str, Any] = {"mean": MEAN, "std": DEVIATION, "classifier": "head"}
        self.patch_embed = _PatchEmbedding(shape, shape.image if size is None else size)
        placed = self.patch_embed.num_patches + (0 if self.no_embed_class else 1)
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.channels))
        self.reg_token = (
            nn.Parameter(torch.empty(1, shape.registers, shape.channels)) if shape.registers else None
        )
        self.pos_embed = nn.Parameter(torch.empty(1, placed, shape.channels))
        count = shape.blocks if blocks is None else blocks
        self.blocks = nn.Sequential(*(_Block(shape) for _ in range(count)))
        self.norm = nn.LayerNorm(shape.channels, eps=_EPSILON)
        self.fc_norm = nn.Identity()

    def forward_features(self, pixels: Tensor) -> Tensor:
        """Normalised images [b, 3, s, s] to tokens [b, n, d] after the final norm.

        The class token comes first, then the registers, then the patches.
        """
        tokens = self.patch_embed(pixels)
        prefix = [token for token in (self.cls_token, self.reg_token) if token is not None]
        leading = [token.expand(len(tokens), -1, -1) for token in prefix]
        if self.no_embed_class:
            tokens = torch.cat([*leading, tokens + self.pos_embed], dim=1)
        else:
            tokens = torch.cat([*leading, tokens], dim=1) + self.pos_embed
        final: Tensor = self.norm(self.blocks(tokens))
        return final
