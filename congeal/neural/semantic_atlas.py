"""The semantic atlas: keys and saliency as learned grids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

LOWEST, HIGHEST = 0.1, 0.9  # of the saliency at the start


@dataclass(frozen=True)
class AtlasView:
    """An atlas as the losses see it.

    Attributes:
        keys: float32 [c, r, r].
        squares: float32 [r, r], of the keys.
        saliency: float32 [r, r] in [0, 1].
    """

    keys: Tensor
    squares: Tensor
    saliency: Tensor

    @property
    def resolution(self) -> int:
        """Cells along a side."""
        return int(self.keys.shape[-1])

    @property
    def learns(self) -> bool:
        """Whether gradients reach the atlas."""
        return self.keys.requires_grad

    def detached(self) -> AtlasView:
        """The same, which no gradient reaches."""
        return AtlasView(self.keys.detach(), self.squares.detach(), self.saliency.detach())


class SemanticAtlas(nn.Module):
    """What the images of a set share, over the square [-1, 1]².

    Attributes:
        keys: float32 [c, r, r].
        saliency_logits: float32 [r, r].
    """

    def __init__(self, keys: Tensor, saliency_logits: Tensor, *, fixed: bool = False) -> None:
        """keys: float32 [c, r, r]. saliency_logits: float32 [r, r]. fixed: neither is learned."""
        super().__init__()
        # On a processor, products with tokens read the channels of a cell together.
        channels_last = keys.permute(1, 2, 0).clone(memory_format=torch.contiguous_format).permute(2, 0, 1)
        own = channels_last if keys.device.type == "cpu" else keys.clone()
        self.keys = nn.Parameter(own, requires_grad=not fixed)
        self.saliency_logits = nn.Parameter(saliency_logits.clone(), requires_grad=not fixed)

    @classmethod
    def from_images(cls, keys: Tensor, saliency: Tensor, *, fixed: bool = False) -> SemanticAtlas:
        """The mean of keys [n, c, r, r], and of saliency [n, r, r] stretched to 0.1 … 0.9.

        fixed: the atlas stays so; with one image that is the mode with a fixed reference.
        """
        mean = saliency.mean(0)
        low, high = mean.min(), mean.max()
        stretched = (mean - low) / (high - low).clamp_min(1e-6) * (HIGHEST - LOWEST) + LOWEST
        return cls(keys.mean(0), torch.logit(stretched), fixed=fixed)

    @property
    def resolution(self) -> int:
        """Cells along a side."""
        return int(self.keys.shape[-1])

    def view(self) -> AtlasView:
        """What losses need of it, computed once."""
        return AtlasView(self.keys, self.keys.square().sum(0), self.saliency)

    @property
    def saliency(self) -> Tensor:
        """float32 [r, r] in [0, 1]."""
        return self.saliency_logits.sigmoid()
