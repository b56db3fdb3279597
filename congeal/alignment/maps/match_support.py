"""How far matching with single members bears a map out, place by place.

A smooth map is judged by the atlas that it was fitted to, which says little of single places: where the map
is wrong, the atlas is blurred accordingly, and alike everywhere. Tokens of single members are sharp. Each is
looked for in the whole image, without regard to the map, and what the image shows at the token's place is
looked for in the member. The share of either search that ends where the map says is evidence that the map has
not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.maps import MatchSupportConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.match_shares import SAFE, likelihood, near_share, offsets
from congeal.alignment.model import Exemplars
from congeal.geometry.complex_math import length
from congeal.geometry.row_products import row_products
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps, grid, sample

FIELD = 32  # cells along a side of the field of support: about as many as tokens
REGULARIZATION = 1e-3  # a token's weight, far from which support is the image's mean


@dataclass(frozen=True)
class _Tokens:
    """Tokens of e exemplars, and what is known of them before any image is looked at.

    Attributes:
        features: float32 [e·k, d].
        places: float32 [e·k, 2], in the atlas.
        counted: bool [e, k].
        near: float32 [e·k, e, k], how near tokens lie to each other, 0 to 1.
        spread: float32 [32·32, e·k], weight of a token at a cell of the field; 0 of those not counted.
    """

    features: Tensor
    places: Tensor
    counted: Tensor
    near: Tensor
    spread: Tensor


def match_support(
    exemplars: Sequence[Exemplars],
    kept: Sequence[Tensor] | None,
    asked: Sequence[bool],
    members: Membership,
    images: Oriented,
    warps: Warps,
    forward: Tensor,
    config: MatchSupportConfig,
) -> Tensor:
    """The share of matches with single members that agree with the maps of n images of s sets.

    Args:
        exemplars: of each set.
        kept: which of a set's images each exemplar is, int64 [e], so that none is matched with itself; None:
            they are others.
        asked: whether it is to be computed, for each set: not where maps mean nothing.
        members: which set each image is of.
        images: the images in their mirror states.
        warps: of the same images; a map's scale is the unit of distances.
        forward: float32 [n, r, r, 2], where the atlas' cells lie in the oriented frames.
        config: how sharply and how many tokens are matched.

    Returns:
        float32 [n, 32, 32] in [0, 1] over the atlas' cells: the geometric mean of the share of the matches of
        members' tokens in the image, and of the image's places in the members, that lie where the map has
        them. 1 throughout where an image has no other member to be matched with, or it was not asked for.
    """
    device = forward.device
    support = torch.ones((len(forward), FIELD, FIELD), device=device)
    scale = length(warps.a).clamp_min(1e-6)
    padded = (images.valid.flatten(1) <= 0).any(1).tolist()
    for number, rows in enumerate(members.slices):
        if not asked[number]:
            continue
        few = _drawn(exemplars[number], config, device)
        own = torch.full((len(few.counted),), -1) if kept is None else kept[number][: config.exemplars]
        for row in range(rows.start, rows.stop):
            others = (own != row - rows.start).to(device)
            if bool(few.counted[others].any()):
                at, size = forward[row], float(scale[row])
                agreed = _agreement(few, others, images, at, size, row, padded[row], config)
                support[row] = _field(few, others, agreed)
    return support


def _drawn(exemplars: Exemplars, config: MatchSupportConfig, device: torch.device) -> _Tokens:
    """The first exemplars, and some tokens of each, always the same.

    Drawn, because they lie row by row: every second or third of a wide object would be stripes of it.
    """
    e = min(len(exemplars.weight), config.exemplars)
    some = torch.randperm(exemplars.weight.shape[1], generator=torch.Generator().manual_seed(0))
    drawn = some[: config.tokens].numpy()
    features, places, weight = (
        torch.as_tensor(array[:e, drawn], device=device).float()
        for array in (exemplars.features, exemplars.places, exemplars.weight)
    )
    counted, flat = weight > 0, places.flatten(0, 1)
    near = torch.cdist(flat, flat).div_(config.radius).square_().mul_(-0.5).exp_()
    cells = grid(FIELD, 1.0, device).reshape(-1, 2)
    spread = torch.cdist(cells, flat).div_(config.spread).square_().mul_(-0.5).exp_()
    near = near.view(len(flat), *counted.shape)
    return _Tokens(features.flatten(0, 1), flat, counted, near, spread.mul_(counted.flatten()))


def _agreement(
    few: _Tokens,
    others: Tensor,
    images: Oriented,
    forward: Tensor,
    scale: float,
    row: int,
    padded: bool,
    config: MatchSupportConfig,
) -> Tensor:
    """For every token of all exemplars float32 [e·k], how far matching agrees with an image's map.

    others: bool [e], the exemplars that are others than the image. padded: whether it has padding.
    """
    e, k = few.counted.shape
    image, g = images.features[row], images.features.shape[1]
    at = sample(forward[None], few.places[None])[0]
    alike = row_products(few.features, image.reshape(g * g, -1))
    if padded:
        alike.masked_fill_(images.valid[row].reshape(-1) <= 0, -1.0)
    x, y = offsets(at, grid(g, images.extent, at.device)[0, :, 0], scale)
    likely = likelihood(alike.div_(config.temperature), g, 1 / config.temperature)
    into = near_share(likely, x, y, config.radius)
    shown = torch.nn.functional.normalize(sample(image[None], at[None], images.extent)[0], dim=-1)
    # Each place of the image is looked for in every exemplar by itself.
    alike = row_products(shown, few.features).view(e * k, e, k).masked_fill_(~few.counted, -1.0)
    back = (_shares(alike.div_(config.temperature), few.near, config) * others).sum(1) / others.sum()
    return (into * back).clamp_min(0).sqrt()


def _shares(score: Tensor, near: Tensor, config: MatchSupportConfig) -> Tensor:
    """The share of a softmax over the last axis that lies near; both [..., k]; ``score`` is written over."""
    if 1 / config.temperature > SAFE:
        score -= score.amax(-1, keepdim=True)
    likely = score.exp_()
    total = likely.sum(-1)
    return likely.mul_(near).sum(-1).div_(total)


def _field(few: _Tokens, others: Tensor, agreed: Tensor) -> Tensor:
    """Support at the cells of the atlas: the mean of that of the other exemplars' tokens nearby.

    agreed: float32 [e·k].
    """
    counted = (few.counted & others[:, None]).flatten().float()
    usual = (agreed * counted).sum() / counted.sum()
    weighed = few.spread @ torch.stack([agreed * counted, counted], 1)
    mean = (weighed[:, 0] + REGULARIZATION * usual) / (weighed[:, 1] + REGULARIZATION)
    return mean.view(FIELD, FIELD)
