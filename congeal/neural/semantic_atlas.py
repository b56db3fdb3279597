"""The semantic atlas: keys and saliency as learned grids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LOWEST, HIGHEST = 0.1, 0.9  # of the saliency at the start


class SemanticAtlas(nn.Module):
    """What the images of a set share, over the square [-1, 1]².

    Attributes:
        keys: float32 [c, r, r].
        saliency_logits: float32 [r, r].
    """

    def __init__(self, keys: Tensor, saliency_logits: Tensor, *, fixed: bool = False) -> None:
        """keys: float32 [c, r, r]. saliency_logits: float32 [r, r]. fixed: neither is learned."""
        super().__init__()
        self.keys = nn.Parameter(keys.clone(), requires_grad=not fixed)
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

    @property
    def saliency(self) -> Tensor:
        """float32 [r, r] in [0, 1]."""
        return self.saliency_logits.sigmoid()
