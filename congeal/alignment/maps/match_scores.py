"""How likely each match of an atlas' cells with an image's tokens is, before and with a prior of its place.

The score of a match is the exponential of its weighted cosine, times a Gaussian around the expected place
that has a floor, so that no place is ruled out. Largest values, and shares among neighbours, are those of
weighted cosine plus log prior; but the exponentials are computed once for all priors, without a logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented, maybe_any
from congeal.geometry.row_products import batched_row_products

NOTHING = 1e-12  # of a prior's height


def cosines(features: Tensor, images: Oriented) -> Tensor:
    """Cells of the atlas, float32 [n or 1, k, c], against all tokens of each image, float32 [n, k, g·g]."""
    return batched_row_products(features, images.features.flatten(1, 2))


@dataclass(frozen=True)
class MatchTable:
    """Cells of an atlas against all tokens of n images.

    Attributes:
        cosine: float32 [n, k, g·g].
        score: float32 [n, k, g·g], exp(weight · cosine).
        weight: of the cosine.
    """

    cosine: Tensor
    score: Tensor
    weight: float

    @classmethod
    def of(cls, features: Tensor, images: Oriented, weight: float) -> MatchTable:
        """features: float32 [n or 1, k, c], of the cells."""
        cosine = cosines(features, images)
        return cls(cosine, torch.mul(cosine, weight).exp_(), weight)

    def weighted(self, weight: float) -> MatchTable:
        """The same with another weight."""
        if weight == self.weight:
            return self
        return MatchTable(self.cosine, torch.mul(self.cosine, weight).exp_(), weight)

    def on_image(self, images: Oriented) -> Tensor:
        """The scores [n, k, g·g], less by a cosine of 1 where tokens lie on padding."""
        padding = images.valid.flatten(1) <= 0
        if not maybe_any(padding):
            return self.score
        return self.score * torch.exp(-self.weight * padding.float())[:, None]


def near_places(score: Tensor, places: Tensor, axis: Tensor, width: float | Tensor, floor: float) -> Tensor:
    """Scores times the prior of tokens at places [n, k, 2], but for a factor; float32 [n, k, g·g].

    The Gaussian is a product of one along either axis: g values a place each instead of g².

    Args:
        score: float32 [n, k, g·g], of `MatchTable`.
        places: float32 [n, k, 2].
        axis: float32 [g], where columns, and rows, lie.
        width: standard deviation of the Gaussian; of each image, float32 [n].
        floor: of the prior, which is 1 at its place.
    """
    if isinstance(width, Tensor):
        width = width.view(-1, 1, 1, 1)
    along = _gaussian((places[..., None] - axis).square_().mul_(-1 / (2 * width**2)))
    g = len(axis)
    table = score.view(*score.shape[:2], g, g)
    near = table * along[..., 0, None, :]
    # floor + prior, over the floor: a factor that all share is left out.
    down = along[..., 1, :, None].mul_(1 / floor)
    return torch.addcmul(table, near, down, out=near).flatten(2)


def columns_near_places(score: Tensor, places: Tensor, axis: Tensor, width: float, floor: float) -> Tensor:
    """`near_places` of a table on its side: of its columns' places, float32 [n, m, 2], [n, k·k, m].

    Args:
        score: float32 [n, k·k, m].
        places: float32 [n, m, 2].
        axis: float32 [k], where columns, and rows, of the k·k cells lie.
        width, floor: as of `near_places`.
    """
    off = places.transpose(1, 2).contiguous()[:, :, None] - axis[:, None]
    along = _gaussian(off.square_().mul_(-1 / (2 * width**2)))
    k = len(axis)
    table = score.view(len(score), k, k, -1)
    near = table * along[:, 0, None]
    return torch.addcmul(table, near, along[:, 1, :, None].mul_(1 / floor), out=near).flatten(1, 2)


def _gaussian(exponent: Tensor) -> Tensor:
    """Exponentials, ``exponent`` written over; none so small that products with it take a processor long."""
    return exponent.exp_().clamp_min_(NOTHING)


def shares(score: Tensor, index: Tensor, dim: int) -> Tensor:
    """The scores [n, k, m] at ``index``, as many axes, along ``dim``: as shares of their sum along it."""
    found = score.gather(dim, index)
    return found.div_(found.sum(dim, keepdim=True).clamp_min_(1e-37))
