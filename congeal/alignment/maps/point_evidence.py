"""How far matches bear each place of a map out: what its confidence is made of.

Three measures that a map was not fitted to, each of a cell of the atlas in an image: the *support* of single
members (`congeal.alignment.maps.match_support`); how much of the match of the other images' atlas, looked for
in the whole image, lies *near* the place where the map puts the cell; and how far that match *spreads* around
the place. They rank the places of a set against what is usual in it: in the mean, they are much the same in
sets that are right and in sets that are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.inputs.oriented import Oriented, maybe_any
from congeal.alignment.maps.flow_registration import TemplateFor, match_bytes
from congeal.alignment.maps.match_scores import cosines
from congeal.alignment.maps.match_shares import likelihood, offsets, share_and_spread
from congeal.alignment.maps.match_support import FIELD
from congeal.alignment.model import GUIDED, SALIENT, Atlas
from congeal.geometry.chunking import in_windows
from congeal.geometry.complex_math import length
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps, grid, sample

LEAST_SHARE = 1e-3  # shares are taken to lie between this and its complement, so that log odds are finite
USUAL_TERMS = (1.9, -0.7, -1.0)  # the terms in the mean of the annotated sets
LEAST_SPREAD = 0.01  # atlas units; less is not told apart


@dataclass(frozen=True)
class PointEvidence:
    """What bears out the cells of n images' maps.

    Attributes:
        terms: float32 [n, 32, 32, 3] over the atlas: minus the logarithm of the spread in atlas units, and
            the log odds of the near share and of the support.
        salient: float32 [n, 32, 32], how much the atlas of the others shows the object there.
    """

    terms: Tensor
    salient: Tensor

    def usual(self, members: Membership, weight: Tensor) -> Tensor:
        """The mean terms of each of s sets where the object shows, [s, 3]; weight: float32 [n], of images."""
        counted = self.salient * (self.salient > SALIENT) * weight.view(-1, 1, 1)
        found = []
        for rows in members.slices:
            share = counted[rows][..., None]
            found.append((self.terms[rows] * share).sum((0, 1, 2)) / share.sum().clamp_min(1e-6))
        return torch.stack(found)


def cells_of_evidence(forward: Tensor) -> Tensor:
    """Where the cells of the evidence lie, [n, 32, 32, 2]; forward: [n, r, r, 2], in oriented frames."""
    cells = grid(FIELD, 1.0, forward.device)
    places: Tensor = sample(forward, cells.expand(len(forward), -1, -1, -1))
    return places


def point_evidence(
    template_for: TemplateFor,
    images: Oriented,
    warps: Warps,
    places: Tensor,
    support: Tensor,
    config: ConfidenceConfig,
) -> PointEvidence:
    """What bears out the maps of n images.

    Args:
        template_for: the atlas as each image sees it, of 32 cells a side.
        images: the images in their mirror states.
        warps: theirs; a map's scale is the unit of distances.
        places: of `cells_of_evidence`.
        support: float32 [n, 32, 32], of `congeal.alignment.maps.match_support.match_support`.
        config: how sharply matches are made, and how near is near.
    """
    g = images.saliency.shape[1]
    axis = grid(g, images.extent, places.device)[0, :, 0]
    scale = length(warps.a).clamp_min(1e-6)

    def spread_and_near(rows: slice) -> tuple[Tensor, ...]:
        template, some = template_for(rows), images[rows]
        n = len(some)
        unit = scale[rows].repeat_interleave(FIELD**2)[:, None]
        x, y = offsets(places[rows].reshape(-1, 2), axis, unit)
        score = cosines(template.features.flatten(1, 2), some).div_(config.temperature)
        likely = likelihood(score, g, 1 / config.temperature)
        padding = some.valid <= 0
        padding &= ~padding.all((1, 2), keepdim=True)  # of a blank image no token is better than another
        if maybe_any(padding):
            likely.view(n, -1, g, g).masked_fill_(padding[:, None], 0.0)
        near, spread = share_and_spread(likely, x, y, config.near_width, config.spread_width)
        return spread.view(n, -1), near.view(n, -1), template.saliency.expand(n, -1, -1).flatten(1)

    found = in_windows(len(places), 2 * match_bytes(images, FIELD), places.device, spread_and_near)
    spread, near, salient = (part.view(-1, FIELD, FIELD) for part in found)
    terms = (-spread.clamp_min(LEAST_SPREAD).log(), _log_odds(near), _log_odds(support))
    return PointEvidence(torch.stack(terms, -1), salient)


def levels(usual: Tensor, by_cell: Sequence[bool], config: ConfidenceConfig) -> list[float]:
    """What is added to the weighed terms of each of s sets, so that the usual place has the usual odds.

    usual: float32 [s, 3]. by_cell: whether their cells are matched one by one.
    """
    weighed = usual.cpu().double() @ torch.tensor(config.term_weights).double()
    chosen = [config.level_by_cell if each else config.level for each in by_cell]
    return [level - float(mean) for level, mean in zip(chosen, weighed, strict=True)]


def by_agreement(agreement: float | None, n: int, config: ConfidenceConfig) -> float:
    """What match agreement adds to the level of a set of n images; None: nothing.

    Of few images agreement says little: it has half its weight at `confidence.agreement_images`.
    """
    if agreement is None:
        return 0.0
    beyond = agreement - config.usual_agreement
    return config.agreement_weight * beyond * n / (n + config.agreement_images)


def usual_level(config: ConfidenceConfig, *, by_cell: bool = False) -> float:
    """The level of a set with the usual terms; by_cell: whether its cells are matched one by one."""
    level = config.level_by_cell if by_cell else config.level
    return level - sum(w * mean for w, mean in zip(config.term_weights, USUAL_TERMS, strict=True))


def level_of(atlas: Atlas, config: ConfidenceConfig) -> float:
    """The level of an atlas.

    One of an earlier version does not know its own: it is that of the usual set whose maps bend as its do and
    are as well borne out by matching.
    """
    if atlas.confidence_level is not None:
        return atlas.confidence_level
    agreed = by_agreement(atlas.match_agreement, len(atlas.exemplars.weight), config)
    return usual_level(config, by_cell=atlas.deformation == GUIDED) + agreed


def _log_odds(share: Tensor) -> Tensor:
    odds: Tensor = torch.logit(share.clamp(LEAST_SHARE, 1 - LEAST_SHARE))
    return odds
