"""Where the probability of a match lies on a grid of tokens: how much near a place, how spread around it.

A Gaussian around a place is a product of one along either axis. So a table of matches is gone through once,
in one multiplication, and no table of distances is made.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-37  # of what is divided by
SAFE = 30.0  # of scores: products of two exponentials, and sums of them, are within float32's range


def likelihood(score: Tensor, g: int, largest: float | None = None) -> Tensor:
    """Softmax of scores [..., g·g] but for its sum: [m, g, g]; ``score`` is written over.

    largest: what no score is larger than in amount; of more than `SAFE`, or None, each row's largest is taken
    off first, as exponentials of float32 ask for.
    """
    if largest is None or largest > SAFE:
        score -= score.amax(-1, keepdim=True)
    return score.exp_().reshape(-1, g, g)


def offsets(places: Tensor, axis: Tensor, scale: Tensor | float) -> tuple[Tensor, Tensor]:
    """Squared offsets along x and y of places [m, 2] from columns and rows at axis [g], [m, g] each.

    scale: what is one unit of them; of each place, [m, 1], or one for all.
    """
    off = ((places[..., None] - axis) / (scale[:, None] if isinstance(scale, Tensor) else scale)).square_()
    return off[:, 0], off[:, 1]


def near_share(likely: Tensor, x: Tensor, y: Tensor, width: float) -> Tensor:
    """The share of a match, [m, g, g] of `likelihood`, near places; [m].

    x, y: of `offsets`. width: standard deviation of what is near.
    """
    columns = torch.stack([torch.exp(x / (-2 * width**2)), torch.ones_like(x)], -1)
    summed = likely @ columns
    near = (summed[..., 0] * torch.exp(y / (-2 * width**2))).sum(1)
    return near / summed[..., 1].sum(1)


def share_and_spread(
    likely: Tensor, x: Tensor, y: Tensor, near_width: float, spread_width: float
) -> tuple[Tensor, Tensor]:
    """`near_share`, and the root mean square distance of the match from places, near them; [m] each.

    spread_width: standard deviation of the prior with which the distance is weighed. Scores that differ by
    over 80 are too much for float32: those of cosines over a temperature of 0.05 differ by 40.
    """
    # The prior of the nearest token is taken for 1: only ratios count, and far away all would vanish.
    prior_x = torch.exp((x - x.amin(1, keepdim=True)) / (-2 * spread_width**2))
    prior_y = torch.exp((y - y.amin(1, keepdim=True)) / (-2 * spread_width**2))
    near_x, near_y = (torch.exp(part / (-2 * near_width**2)) for part in (x, y))
    summed = likely @ torch.stack([near_x, torch.ones_like(x), prior_x, prior_x * x], -1)
    near = (summed[..., 0] * near_y).sum(1) / summed[..., 1].sum(1)
    mass = (summed[..., 2] * prior_y).sum(1).clamp_min(_LEAST)
    square = (summed[..., 3] * prior_y + summed[..., 2] * prior_y * y).sum(1) / mass
    return near, square.clamp_min(0).sqrt()
