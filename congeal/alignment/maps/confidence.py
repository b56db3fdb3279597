"""What an alignment is worth: the likeness of every cell, its confidence, and the figures of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.flow_registration import Template, match_field
from congeal.alignment.maps.guided_matching import DenseMaps
from congeal.alignment.maps.match_scores import MatchTable
from congeal.alignment.model import SALIENT, Floats
from congeal.geometry.complex_math import length
from congeal.geometry.frames import reach
from congeal.geometry.warps import Warps, grid, jacobian_determinants, sample, to_oriented


@dataclass(frozen=True)
class Figures:
    """Quality of n images; see `congeal.alignment.model.Alignment` for the meaning of each.

    Attributes:
        likeness: float32 [n, r, r] in [0, 1], over the atlas' cells.
        residual, fold_fraction, coverage: float32 [n].
    """

    likeness: Tensor
    residual: Tensor
    fold_fraction: Tensor
    coverage: Tensor


def measure(
    template: Template,
    images: Oriented,
    warps: Warps,
    config: SolverConfig,
    places: Tensor | None = None,
    matched: Tensor | None = None,
    table: MatchTable | None = None,
) -> Figures:
    """Judge warps by the atlas of the other images.

    Likeness is how well image and atlas agree around a cell, times how far both show the object there.

    Args:
        template: the atlas as each image sees it, at the warps' resolution.
        images: the set in its mirror states.
        warps: the maps to judge.
        config: of the solver.
        places: float32 [n, r, r, 2], where the atlas' cells lie in the oriented frames; absent, where the
            warps put them.
        matched: the same before they were averaged with neighbours', which matching is asked to agree with;
            absent, places.
        table: of template and images, if it is known.
    """
    n, r = len(images.features), template.features.shape[1]
    if places is None:
        places = to_oriented(warps, grid(r, 1.0, images.features.device).expand(n, -1, -1, -1))
    inputs = torch.stack([_rimmed(images.saliency), images.valid], -1)
    shown, valid = sample(inputs, places, images.extent, "zeros").unbind(-1)
    there = torch.nn.functional.normalize(sample(images.features, places, images.extent), dim=-1)
    alike = (there * template.features).sum(-1).clamp_min(0)
    asked = config.confidence
    nearby = match_field(template, images, places, asked.search_radius, config.flow, table)
    off = nearby.target - (places if matched is None else matched)
    drift = off.norm(dim=-1) / length(warps.a).view(-1, 1, 1).clamp_min(1e-6)
    agreement = 1 / (1 + (drift / asked.agreement_distance) ** 2)
    salient = template.saliency.expand(n, -1, -1)
    seen = (_rimmed(salient) / SALIENT).clamp(0, 1) * (shown / SALIENT).clamp(0, 1) * valid
    likeness = _smooth(alike.sqrt() * agreement) * _smooth(seen)
    weight = salient * (salient > SALIENT) * valid
    total = weight.sum((1, 2)).clamp_min(1e-6)
    folds = where_it_folds(places).float()
    return Figures(
        likeness=likeness,
        residual=((1 - alike) * weight).sum((1, 2)) / total,
        fold_fraction=(folds * weight).sum((1, 2)) / total,
        coverage=(weight * (likeness > asked.covered)).sum((1, 2))
        / (salient * (salient > SALIENT)).sum((1, 2)).clamp_min(1e-6),
    )


def probability(likeness: Tensor, terms: Tensor, level: Tensor, config: ConfidenceConfig) -> Tensor:
    """P(error ≤ 0.1 of the object) of a point that is carried between two such places, [...]; 0 stays 0.

    A point is right if both maps are: the square of the probability of one. The confidence of a carried point
    is the geometric mean of its two places', which is the product of their probabilities.

    Args:
        likeness: [...] in [0, 1]; whether the object shows at all.
        terms: [..., 3], of `congeal.alignment.maps.point_evidence.PointEvidence`.
        level: [...], what is added to the weighed terms.
        config: of the weights.
    """
    weighed = terms @ torch.tensor(config.term_weights, dtype=terms.dtype, device=terms.device)
    shows = 1 - (1 - likeness.clamp(0, 1)) ** config.steepness
    return torch.sigmoid(weighed + level) ** 2 * shows


def shifted(confidence: Floats, by: float) -> Floats:
    """Confidence [...] as `probability` gives it had its level been higher; 0 and 1 stay."""
    one = np.sqrt(np.clip(confidence.astype(np.float64), 0, 1))
    odds = one * np.exp(by)
    return np.asarray((odds / (1 - one + odds)) ** 2, np.float32)


def _rimmed(saliency: Tensor) -> Tensor:
    """Saliency [n, s, s] that reaches a cell beyond the object: its tips and edges fill none."""
    return torch.nn.functional.max_pool2d(saliency[:, None], 3, 1, 1)[:, 0]


def _smooth(field: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(field[:, None], 3, 1, 1, count_include_pad=False)[:, 0]


def where_it_folds(places: Tensor) -> Tensor:
    """Cells at which a map turns over, bool [n, r, r]; places: float32 [n, r, r, 2], oriented frame.

    There neighbouring cells change order, so that none of them is sure of its place.
    """
    return jacobian_determinants(places) <= 0


def lower_where_it_folds(confidence: Tensor, places: Tensor, factor: float) -> Tensor:
    """Confidence [n, r, r] of a map over its places [n, r, r, 2] in oriented frames, less where it folds."""
    return torch.where(where_it_folds(places), factor * confidence, confidence)


def backward_likeness(
    maps: DenseMaps, likeness: Tensor, saliency: Tensor, extent: float, config: ConfidenceConfig
) -> Tensor:
    """Likeness float32 [n, m, m] of the maps from oriented frames to the atlas.

    It is that of the place in the atlas, if the object shows in the image and the way back leads there.

    Args:
        maps: dense maps; backward over the whole frame.
        likeness: float32 [n, r, r] over the atlas.
        saliency: float32 [n, g, g] of the oriented frames, over ±extent.
        config: how near the way back must lead.
    """
    n, m = maps.backward.shape[:2]
    cells = grid(m, 1.0, likeness.device).expand(n, -1, -1, -1)
    lands = sample(likeness[..., None], maps.backward)[..., 0]
    off = (sample(maps.forward, maps.backward) - cells).norm(dim=-1)
    shown = sample(_rimmed(saliency)[..., None], cells, extent, "zeros")[..., 0]
    inside = (maps.backward.abs() <= reach(likeness.shape[1])).all(-1)
    found: Tensor = lands * (shown / SALIENT).clamp(0, 1) * inside / (1 + (off / config.return_distance) ** 2)
    return found
