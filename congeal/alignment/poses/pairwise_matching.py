"""Mutual matches between the salient tokens of image pairs, and the similarity that explains most of them.

Positions are complex numbers x + iy in the frame, so that a similarity is z ↦ a·z + b with a = scale·e^{iθ}.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.poses import MatchingConfig
from congeal.alignment.inputs.tokens import Tokens
from congeal.geometry.complex_math import length, product, quotient


@dataclass(frozen=True)
class Matches:
    """Mutual nearest neighbours of P image pairs, padded to one length.

    Attributes:
        first, second: complex64 [p, m], positions in either image.
        weight: float32 [p, m], saliency × similarity; 0 marks padding.
    """

    first: Tensor
    second: Tensor
    weight: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Matches:
        """Those of some of the pairs."""
        return Matches(self.first[rows], self.second[rows], self.weight[rows])


def mutual_matches(a: Tokens, b: Tokens, rows: Tensor, columns: Tensor, most: int) -> Matches:
    """The ``most`` best mutual nearest neighbours of the pairs (a[rows], b[columns]).

    Args:
        a, b: tokens of the images on either side.
        rows, columns: int64 [p], which image of ``a`` meets which image of ``b``.
        most: how many matches to keep a pair.
    """
    similarity = torch.bmm(a.features[rows], b.features[columns].transpose(1, 2))
    weight_a, weight_b = a.weight[rows], b.weight[columns]
    similarity.masked_fill_((weight_b <= 0)[:, None, :], -2.0)
    similarity.masked_fill_((weight_a <= 0)[:, :, None], -2.0)
    best, forward = similarity.max(2)
    mutual = best == similarity.amax(1).gather(1, forward)
    weight_second = weight_b.gather(1, forward)
    weight = (weight_a * weight_second).sqrt() * best.clamp_min(0) * mutual * (weight_a > 0)
    weight, order = weight.topk(min(most, weight.shape[1]), dim=1)
    first = a.position[rows].gather(1, order)
    second = b.position[columns].gather(1, forward.gather(1, order))
    return Matches(first, second, weight)


def shuffled(matches: Matches, order: Tensor) -> Matches:
    """Every match with the partner of another of its pair.

    order: float32 [p, m] in [0, 1), by which they are shuffled. Padding keeps out of it: its partners all lie
    in one place, which a similarity would explain well.
    """
    padding = matches.weight <= 0  # it comes last, since matches are sorted by weight
    partners = matches.second.gather(1, (order + padding.float()).argsort(1))
    return Matches(matches.first, partners, matches.weight)


@dataclass(frozen=True)
class Similarities:
    """One similarity a pair: second ≈ a·first + b.

    Attributes:
        a, b: complex64 [p].
        score: float32 [p], the weight of the matches it explains (soft count, in tokens).
    """

    a: Tensor
    b: Tensor
    score: Tensor

    def __getitem__(self, index: slice | Tensor) -> Similarities:
        """Those of some of the pairs."""
        return Similarities(self.a[index], self.b[index], self.score[index])

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """a, b and score."""
        return self.a, self.b, self.score

    def cpu(self) -> Similarities:
        """The same on the CPU."""
        return Similarities(*(part.cpu() for part in self.parts))


def robust_similarities(
    matches: Matches,
    draws: Tensor,
    config: MatchingConfig,
    *,
    tolerance: float,
    max_angle: float | None = None,
) -> Similarities:
    """Two-point hypotheses scored by a Geman–McClure kernel, the best polished by reweighted least squares.

    Args:
        matches: the evidence of p pairs.
        draws: float32 [p, h, 2], uniform in [0, 1): which two matches each of h hypotheses is made of.
        config: of the hypotheses and their polishing.
        tolerance: the kernel's width in frame units.
        max_angle: hypotheses turned by more than this many radians are not considered; None allows all.
    """
    p, m = matches.weight.shape
    hypotheses = draws.shape[1]
    cumulative = matches.weight.cumsum(1) / matches.weight.sum(1, keepdim=True).clamp_min(1e-9)
    pick = torch.searchsorted(cumulative, draws.flatten(1).contiguous()).clamp_max(m - 1)
    i, j = pick.view(p, hypotheses, 2).unbind(-1)
    base = matches.first.gather(1, j) - matches.first.gather(1, i)
    image = matches.second.gather(1, j) - matches.second.gather(1, i)
    far = base.abs() > config.shortest_baseline * tolerance
    a = torch.where(far, image, torch.ones_like(image)) / torch.where(far, base, torch.ones_like(base))
    b = matches.second.gather(1, i) - a * matches.first.gather(1, i)
    allowed = far & (a.abs().clamp_min(1e-6).log().abs() <= config.largest_log_scale)
    if max_angle is not None:
        allowed &= a.angle().abs() <= max_angle
    score = _support(matches, a, b, tolerance, config).masked_fill(~allowed, -1.0)
    found, best = score.max(1, keepdim=True)
    a = torch.where(found >= 0, a.gather(1, best), torch.ones_like(a[:, :1]))
    b = torch.where(found >= 0, b.gather(1, best), torch.zeros_like(b[:, :1]))
    drawn_a, drawn_b = a, b
    for step in range(config.reweightings):
        width = tolerance * max(1.0, config.widest_kernel - step * config.kernel_step)
        a, b = _polish(matches, a, b, width, config)
    # Matches that fit nothing are fitted best by drawing them all together in one point.
    sound = length(a).clamp_min(1e-6).log().abs() <= config.largest_log_scale
    a, b = torch.where(sound, a, drawn_a), torch.where(sound, b, drawn_b)
    return Similarities(a[:, 0], b[:, 0], _support(matches, a, b, tolerance, config)[:, 0])


def _kernel(matches: Matches, a: Tensor, b: Tensor, tolerance: float, config: MatchingConfig) -> Tensor:
    """Squared residual over tolerance², measured half in either image, [p, h, m]."""
    residual = a[..., None] * matches.first[:, None] + b[..., None] - matches.second[:, None]
    squared = residual.real**2 + residual.imag**2
    # An error of the same size on the object, whichever of the two images shows it larger.
    return squared / (tolerance**2 * length(a)[..., None].clamp(*config.size_range))


def agreeing(matches: Matches, a: Tensor, b: Tensor, tolerance: float, config: MatchingConfig) -> Tensor:
    """The weight of each match as far as the similarities a, b (complex64 [p, h]) explain it: [p, h, m]."""
    return matches.weight[:, None] / (1 + _kernel(matches, a, b, tolerance, config)) ** 2


def _support(matches: Matches, a: Tensor, b: Tensor, tolerance: float, config: MatchingConfig) -> Tensor:
    return agreeing(matches, a, b, tolerance, config).sum(-1)


def _polish(
    matches: Matches, a: Tensor, b: Tensor, tolerance: float, config: MatchingConfig
) -> tuple[Tensor, Tensor]:
    w = agreeing(matches, a, b, tolerance, config)
    return weighted_similarity(matches.first[:, None], matches.second[:, None], w, fallback=(a, b))


def weighted_similarity(
    first: Tensor, second: Tensor, weight: Tensor, fallback: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Closed-form weighted least-squares similarity second ≈ a·first + b along the last axis.

    Args:
        first, second: complex64 [..., k].
        weight: float32 [..., k].
        fallback: a and b, complex64 [...], where too little speaks for any.
    """
    total = weight.sum(-1).clamp_min(1e-9)
    mean_first = quotient((weight * first).sum(-1), total)
    mean_second = quotient((weight * second).sum(-1), total)
    u, v = first - mean_first[..., None], second - mean_second[..., None]
    spread = (weight * (u.real**2 + u.imag**2)).sum(-1)
    a = quotient((weight * u.conj() * v).sum(-1), spread.clamp_min(1e-9))
    good = (spread > 1e-6 * total) & (length(a) > 1e-3)
    a = torch.where(good, a, fallback[0])
    return a, torch.where(good, mean_second - product(a, mean_first), fallback[1])
