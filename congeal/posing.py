"""Poses of a set from all-pairs evidence: which images face the other way, and one similarity for each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.matching import Matches, Similarities, Tokens, mutual_matches, robust_similarities, select_tokens
from congeal.synchronization import Poses, consistency, synchronize_facings, synchronize_poses

TOKENS = 400  # salient tokens of an image that take part
MATCHES = 128  # mutual matches of a pair that take part
HYPOTHESES = 128
TOLERANCE = 0.08  # frame units: a little more than a token at 32 tokens a side
FACING_PRIOR = 0.1  # an image counts as it is unless the evidence for its mirror image is a fifth stronger
CONSISTENT = 0.85  # what the pairs' agreement on facings must reach, or all images count as they are
PAIRS_AT_ONCE = 64


@dataclass(frozen=True)
class PairEvidence:
    """What every pair of a set says, for n images and p = n(n−1)/2 pairs.

    Attributes:
        first, second: int64 [p], the images of each pair.
        same, opposite: the similarity of the pair as it is, and with the second image mirrored.
        matches: the mutual matches of the pair as it is.
        mirrored_matches: the same with the second image mirrored.
        chance: float32 [p], the support that the same matches give by chance, their partners shuffled.
    """

    first: Tensor
    second: Tensor
    same: Similarities
    opposite: Similarities
    matches: Matches
    mirrored_matches: Matches
    chance: Tensor


def _concatenate(parts: list[Matches]) -> Matches:
    return Matches(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("first", "second", "weight"))
    )


def _matched(a: Tokens, b: Tokens, rows: Tensor, columns: Tensor) -> Matches:
    starts = range(0, len(rows), PAIRS_AT_ONCE)
    windows = [slice(start, start + PAIRS_AT_ONCE) for start in starts]
    return _concatenate([mutual_matches(a, b, rows[w], columns[w], MATCHES) for w in windows])


def _fitted(matches: Matches, generator: torch.Generator, max_angle: float | None = None) -> Similarities:
    parts = []
    for start in range(0, len(matches.weight), PAIRS_AT_ONCE):
        window = slice(start, start + PAIRS_AT_ONCE)
        chunk = Matches(matches.first[window], matches.second[window], matches.weight[window])
        parts.append(
            robust_similarities(
                chunk,
                tolerance=TOLERANCE,
                hypotheses=HYPOTHESES,
                generator=generator,
                max_angle=max_angle,
            )
        )
    return Similarities(*(torch.cat([getattr(part, name) for part in parts]) for name in ("a", "b", "score")))


def pair_support(
    a: Tokens, b: Tokens, rows: Tensor, columns: Tensor, generator: torch.Generator, *, max_angle: float
) -> Tensor:
    """What the best similarity of the pairs (a[rows], b[columns]) explains, in tokens, float32 [p].

    max_angle: radians that it may turn by.
    """
    return _fitted(_matched(a, b, rows, columns), generator, max_angle).score


def gather_evidence(
    features: Tensor,
    mirrored_features: Tensor,
    saliency: Tensor,
    mirrored_saliency: Tensor,
    extent: float,
    generator: torch.Generator,
) -> PairEvidence:
    """Match all pairs of a set ([n, g, g, c] features, [n, g, g] saliency, both as they are and mirrored)."""
    n = features.shape[0]
    tokens = select_tokens(features, saliency, extent, TOKENS)
    mirrored = select_tokens(mirrored_features, mirrored_saliency, extent, TOKENS)
    first, second = torch.triu_indices(n, n, 1, device=features.device)
    matches = _matched(tokens, tokens, first, second)
    mirrored_matches = _matched(tokens, mirrored, first, second)
    order = torch.rand(matches.second.shape, generator=generator).argsort(1).to(features.device)
    shuffled = Matches(matches.first, matches.second.gather(1, order), matches.weight)
    return PairEvidence(
        first,
        second,
        _fitted(matches, generator),
        _fitted(mirrored_matches, generator),
        matches,
        mirrored_matches,
        _fitted(shuffled, generator).score,
    )


def square_matrix(n: int, evidence: PairEvidence, values: Tensor) -> Tensor:
    """Values of pairs [p] as a symmetric matrix [n, n] with zero diagonal."""
    matrix = torch.zeros((n, n), dtype=values.dtype, device=values.device)
    matrix[evidence.first, evidence.second] = values
    matrix[evidence.second, evidence.first] = values
    return matrix


def _relation(evidence: PairEvidence, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs that face opposite ways, and pairs measured in the mirror image of the frames chosen."""
    first, second = mirrored[evidence.first], mirrored[evidence.second]
    crossed = first != second
    return crossed, torch.where(crossed, ~second, first)


def solve_poses(n: int, evidence: PairEvidence) -> tuple[Poses, float]:
    """Facings, then poses, then the margin of the facings over their opposites (−1 to 1)."""
    same = square_matrix(n, evidence, evidence.same.score)
    opposite = square_matrix(n, evidence, evidence.opposite.score)
    mirrored, facing_margin = synchronize_facings(same * (1 + FACING_PRIOR), opposite * (1 - FACING_PRIOR))
    if consistency(same, opposite, mirrored) < CONSISTENT:
        # A symmetric thing, seen a little from either side, fits its mirror image now better and now worse.
        mirrored = torch.zeros_like(mirrored)
    crossed, turned = _relation(evidence, mirrored)
    a = torch.where(crossed, evidence.opposite.a, evidence.same.a)
    b = torch.where(crossed, evidence.opposite.b, evidence.same.b)
    a, b = torch.where(turned, a.conj(), a), torch.where(turned, -b.conj(), b)
    score = torch.where(crossed, evidence.opposite.score, evidence.same.score)
    other = torch.where(crossed, evidence.same.score, evidence.opposite.score)
    pair_a = torch.eye(n, dtype=a.dtype, device=a.device)
    pair_b = torch.zeros_like(pair_a)
    pair_a[evidence.first, evidence.second], pair_a[evidence.second, evidence.first] = a, 1 / a
    pair_b[evidence.first, evidence.second], pair_b[evidence.second, evidence.first] = b, -b / a
    weight = square_matrix(n, evidence, (score - evidence.chance).clamp_min(0) + 1e-3 * score)
    weight = weight / weight.mean().clamp_min(1e-9)
    pose_a, pose_b, support = synchronize_poses(pair_a, pair_b, weight, tolerance=0.2)
    margin = float((score - other).sum() / (score + other).sum().clamp_min(1e-9))
    return Poses(mirrored, pose_a, pose_b, support, facing_margin), margin


def matched_tokens(n: int, evidence: PairEvidence) -> Tensor:
    """Tokens' worth of matches that an image shares with another on average, in the better facing: [n]."""
    best = torch.maximum(evidence.same.score, evidence.opposite.score)
    return square_matrix(n, evidence, best).sum(1) / max(n - 1, 1)


def centre_atlas(
    a: Tensor, b: Tensor, saliency: Tensor, positions: Tensor, weight: Tensor, fill: float = 0.85
) -> tuple[Tensor, Tensor]:
    """Poses for an atlas square in whose middle the common object lies, filling ``fill`` of it.

    Args:
        a, b: complex64 [n], poses in any common gauge.
        saliency: float32 [n, k] of the tokens at ``positions`` complex64 [k] in the oriented frames.
        weight: float32 [n], 0 for images that must not have a say.
        fill: share of the square's side that the object's bounding box takes.
    """
    places = (positions[None] - b[:, None]) / a[:, None]
    share = saliency / saliency.sum(1, keepdim=True).clamp_min(1e-6) * weight[:, None]
    low_x, high_x = _quantiles(places.real, share)
    low_y, high_y = _quantiles(places.imag, share)
    centre = torch.complex((low_x + high_x) / 2, (low_y + high_y) / 2)
    half = torch.maximum(high_x - low_x, high_y - low_y) / 2 / fill
    half = half if math.isfinite(float(half)) and float(half) > 1e-3 else torch.ones_like(half)
    return a * half, a * centre + b


def _quantiles(values: Tensor, weight: Tensor, tail: float = 0.02) -> tuple[Tensor, Tensor]:
    """Weighted quantiles ``tail`` and 1 − ``tail``."""
    flat, order = values.flatten().sort()
    mass = weight.flatten()[order].cumsum(0)
    levels = torch.tensor([tail, 1 - tail], device=values.device) * mass[-1]
    index = torch.searchsorted(mass, levels).clamp_max(len(flat) - 1)
    return flat[index[0]], flat[index[1]]
