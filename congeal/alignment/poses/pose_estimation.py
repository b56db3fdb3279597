"""Poses of a set from all-pairs evidence: which images face the other way, and one similarity for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.tokens import Tokens
from congeal.alignment.poses.pairwise_matching import (
    Similarities,
    mutual_matches,
    robust_similarities,
    shuffled,
)
from congeal.alignment.poses.pose_synchronization import (
    Poses,
    consistency,
    synchronize_facings,
    synchronize_poses,
)
from congeal.geometry.chunking import in_windows
from congeal.geometry.segments import Membership

MATCHES = 128  # mutual matches of a pair that take part
HYPOTHESES = 128
TOLERANCE = 0.08  # frame units: a little more than a token at 32 tokens a side
FACING_PRIOR = 0.1  # an image counts as it is unless the evidence for its mirror image is a fifth stronger
LONE_FACING_PRIOR = 0.25  # or two thirds stronger, if a single pair says so
CONSISTENT = 0.85  # agreement of the pairs on facings, from which they need no further proof


@dataclass(frozen=True)
class PairEvidence:
    """What every pair of images of one set, or of several, says; p pairs.

    Attributes:
        first, second: int64 [p], the images of each pair.
        same, opposite: the similarity of the pair as it is, and with the second image mirrored.
        chance: float32 [p], the support that the same matches give by chance, their partners shuffled.
    """

    first: Tensor
    second: Tensor
    same: Similarities
    opposite: Similarities
    chance: Tensor

    def divided(self, images: Membership, pairs: Membership) -> list[PairEvidence]:
        """The evidence of each set, its images counted from 0, on the CPU."""
        first, second, chance = self.first.cpu(), self.second.cpu(), self.chance.cpu()
        same, opposite = self.same.cpu(), self.opposite.cpu()
        return [
            PairEvidence(
                first[part] - rows.start, second[part] - rows.start, same[part], opposite[part], chance[part]
            )
            for rows, part in zip(images.slices, pairs.slices, strict=True)
        ]


def pair_bytes(tokens: Tokens) -> int:
    """What matching a pair takes: either side's features, the table of similarities and its mask."""
    k, d = tokens.features.shape[1:]
    return 4 * (2 * k * d + 2 * k * k)


def fit_bytes(matches: int) -> int:
    """What the hypotheses for one pair take: a few complex numbers for each and each match."""
    return 32 * HYPOTHESES * matches


def pair_support(
    a: Tokens, b: Tokens, rows: Tensor, columns: Tensor, generator: torch.Generator, *, max_angle: float
) -> Tensor:
    """What the best similarity of the pairs (a[rows], b[columns]) explains, in tokens, float32 [p].

    max_angle: radians that it may turn by.
    """
    device = rows.device
    draws = torch.rand((len(rows), HYPOTHESES, 2), generator=generator)

    def supported(window: slice) -> tuple[Tensor]:
        matches = mutual_matches(a, b, rows[window], columns[window], MATCHES)
        drawn = draws[window].to(device)
        return (robust_similarities(matches, drawn, tolerance=TOLERANCE, max_angle=max_angle).score,)

    return in_windows(len(rows), pair_bytes(a) + fit_bytes(MATCHES), device, supported)[0]


@dataclass(frozen=True)
class _Draws:
    """Chance for p pairs, on the CPU, so that every device draws the same.

    Attributes:
        order: float32 [p, m], what the matches are shuffled by.
        same, opposite, shuffled: float32 [p, h, 2], for `robust_similarities`.
    """

    order: Tensor
    same: Tensor
    opposite: Tensor
    shuffled: Tensor


def _drawn(pairs: Membership, seeds: Sequence[int], matches: int) -> _Draws:
    """Each set's by its own seed: they do not depend on its company."""
    parts = []
    for count, seed in zip(pairs.sizes, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        order = torch.rand((count, matches), generator=generator)
        parts.append((order, *(torch.rand((count, HYPOTHESES, 2), generator=generator) for _ in range(3))))
    return _Draws(*(torch.cat(column) for column in zip(*parts, strict=True)))


def gather_evidence(
    tokens: Tokens, mirrored: Tokens, images: Membership, seeds: Sequence[int]
) -> list[PairEvidence]:
    """Match all pairs of images within every set; the evidence of each set, on the CPU.

    tokens, mirrored: of all images, as they are and mirrored.
    images: which set each is of.
    seeds: of each set, for the drawing of hypotheses.
    """
    device = tokens.weight.device
    first, second, pairs = images.pairs()
    most = min(MATCHES, tokens.weight.shape[1])
    draws = _drawn(pairs, seeds, most)

    def found(window: slice) -> tuple[Tensor, ...]:
        rows, columns = first[window], second[window]
        same = mutual_matches(tokens, tokens, rows, columns, most)
        opposite = mutual_matches(tokens, mirrored, rows, columns, most)
        strangers = shuffled(same, draws.order[window].to(device))
        alike = robust_similarities(same, draws.same[window].to(device), tolerance=TOLERANCE)
        facing = robust_similarities(opposite, draws.opposite[window].to(device), tolerance=TOLERANCE)
        by_chance = robust_similarities(strangers, draws.shuffled[window].to(device), tolerance=TOLERANCE)
        return *alike.parts, *facing.parts, by_chance.score

    values = in_windows(len(first), pair_bytes(tokens) + fit_bytes(most), device, found)
    evidence = PairEvidence(first, second, Similarities(*values[:3]), Similarities(*values[3:6]), values[6])
    return evidence.divided(images, pairs)


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


def solve_poses(n: int, evidence: PairEvidence) -> list[tuple[Poses, float]]:
    """Facings, then poses, and the margin of the facings over their opposites (−1 to 1).

    Two solutions if the pairs do not agree on who faces which way: that in which all images are as they are,
    then that with the facings that fit them best. A symmetric thing, seen a little from either side, fits its
    mirror image now better and now worse; but a cup whose handle is hidden in some images does so, too.
    """
    same = square_matrix(n, evidence, evidence.same.score)
    opposite = square_matrix(n, evidence, evidence.opposite.score)
    # A pair of symmetric things prefers one facing by chance; more pairs are less easily wrong together.
    prior = max(FACING_PRIOR, LONE_FACING_PRIOR / math.sqrt(max(n - 1, 1)))
    mirrored, _ = synchronize_facings(same * (1 + prior), opposite * (1 - prior))
    solved = [_posed(n, evidence, mirrored)]
    if bool(mirrored.any()) and consistency(same, opposite, mirrored) < CONSISTENT:
        solved.insert(0, _posed(n, evidence, torch.zeros_like(mirrored)))
    return solved


def _posed(n: int, evidence: PairEvidence, mirrored: Tensor) -> tuple[Poses, float]:
    """Poses of images that face as they are said to, and the margin of that."""
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
    return Poses(mirrored, pose_a, pose_b, support), margin


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
