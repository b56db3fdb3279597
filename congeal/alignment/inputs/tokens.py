"""The most salient tokens of a batch of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.inputs import TokensConfig
from congeal.geometry.frames import cell_centres


@dataclass(frozen=True)
class Tokens:
    """The most salient tokens of n images, padded to one length.

    Attributes:
        index: int64 [n, k], flat index into the g×g grid.
        position: complex64 [n, k], frame coordinates of the token centres.
        weight: float32 [n, k], saliency; 0 marks padding.
        features: float32 [n, k, c], unit length.
    """

    index: Tensor
    position: Tensor
    weight: Tensor
    features: Tensor

    def __getitem__(self, rows: Tensor) -> Tokens:
        """Those of some of the images."""
        return Tokens(self.index[rows], self.position[rows], self.weight[rows], self.features[rows])

    @classmethod
    def joined(cls, parts: Sequence[Tokens]) -> Tokens:
        """Those of all parts' images, in order."""
        names = ("index", "position", "weight", "features")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def grid_positions(g: int, extent: float, device: torch.device) -> Tensor:
    """Frame positions of a g×g grid's cells as complex64 [g*g]."""
    centres = torch.as_tensor(cell_centres(g, extent), device=device).reshape(-1, 2)
    return torch.complex(centres[:, 0], centres[:, 1])


def select_tokens(features: Tensor, saliency: Tensor, extent: float, config: TokensConfig) -> Tokens:
    """The most salient tokens of each image (float32 [n, g, g, c] and [n, g, g])."""
    g = saliency.shape[1]
    flat = saliency.flatten(1)
    k = min(config.most, g * g)
    weight, index = flat.topk(k, dim=1, sorted=True)
    weight = weight * (weight > config.least_saliency * weight.amax(1, keepdim=True).clamp_min(1e-6))
    chosen = features.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, features.shape[-1]))
    return Tokens(index, grid_positions(g, extent, features.device)[index], weight, chosen)
