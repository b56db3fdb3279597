"""Poses of a set from the evidence of its pairs: which images are mirrored, and one similarity for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.poses import AtlasConfig, MatchingConfig, PosesConfig
from congeal.alignment.inputs.tokens import Tokens
from congeal.alignment.poses.pair_plan import plan_pairs
from congeal.alignment.poses.pairwise_matching import (
    Matches,
    Similarities,
    mutual_matches,
    robust_similarities,
    shuffled,
)
from congeal.alignment.poses.pose_synchronization import (
    Poses,
    consistency,
    synchronize_mirroring,
    synchronize_poses,
)
from congeal.geometry.chunking import in_windows
from congeal.geometry.segments import Membership


@dataclass(frozen=True)
class PairEvidence:
    """What the pairs of images of one set, or of several, say; p pairs.

    Attributes:
        first, second: int64 [p], the images of each pair.
        same, opposite: the similarity of the pair as it is, and with the second image mirrored.
        chance: float32 [p], the support that the same matches give by chance, their partners shuffled.
        drawn: bool [p], pairs that stand for those that are not compared, see
            `congeal.alignment.poses.pair_plan.PairPlan`.
    """

    first: Tensor
    second: Tensor
    same: Similarities
    opposite: Similarities
    chance: Tensor
    drawn: Tensor

    def divided(self, images: Membership, pairs: Membership) -> list[PairEvidence]:
        """The evidence of each set, its images counted from 0, on the CPU."""
        first, second, chance = self.first.cpu(), self.second.cpu(), self.chance.cpu()
        same, opposite, drawn = self.same.cpu(), self.opposite.cpu(), self.drawn.cpu()
        return [
            PairEvidence(
                first[part] - rows.start,
                second[part] - rows.start,
                same[part],
                opposite[part],
                chance[part],
                drawn[part],
            )
            for rows, part in zip(images.slices, pairs.slices, strict=True)
        ]


def fit_bytes(matches: int, config: MatchingConfig) -> int:
    """What the similarity of one pair takes, beside the table of its hypotheses: a few numbers for each of
    these and each match."""
    return 64 * (config.hypotheses + matches)


def pair_support(
    a: Tokens,
    b: Tokens,
    rows: Tensor,
    columns: Tensor,
    generator: torch.Generator,
    config: MatchingConfig,
    *,
    max_angle: float,
) -> Tensor:
    """What the best similarity of the pairs (a[rows], b[columns]) explains, in tokens, float32 [p].

    max_angle: radians that it may turn by.
    """
    device = rows.device
    draws = torch.rand((len(rows), config.hypotheses, 2), generator=generator)

    matches = mutual_matches(a, b, rows, columns, config.most)

    def supported(window: slice) -> tuple[Tensor]:
        found = robust_similarities(
            matches[window],
            draws[window].to(device),
            config,
            tolerance=config.tolerance,
            max_angle=max_angle,
        )
        return (found.score,)

    return in_windows(len(rows), fit_bytes(config.most, config), device, supported)[0]


@dataclass(frozen=True)
class PairMatches:
    """The mutual matches of the pairs that are compared of every set, found once and kept; p pairs.

    They take about as much as the draws for the same pairs: 40 bytes a match.

    Attributes:
        first, second: int64 [p], the images of each pair, first < second.
        pairs: which set each pair is of.
        same, opposite: the matches of the pair as it is, and with the second image mirrored.
        drawn: bool [p], as of `congeal.alignment.poses.pair_plan.PairPlan`.
    """

    first: Tensor
    second: Tensor
    pairs: Membership
    same: Matches
    opposite: Matches
    drawn: Tensor


def match_pairs(
    tokens: Tokens,
    mirrored: Tokens,
    images: Membership,
    seeds: Sequence[int],
    config: MatchingConfig,
) -> PairMatches:
    """Match pairs of images within every set: all, or of a large set those of a sparse graph.

    tokens, mirrored: of all images, as they are and mirrored.
    images: which set each is of.
    seeds: of each set, for the drawing of pairs.
    config: of the pairs and their matches.
    """
    plan = plan_pairs(tokens, mirrored, images, seeds, config)
    most = min(config.most, tokens.weight.shape[1])
    same = mutual_matches(tokens, tokens, plan.first, plan.second, most)
    opposite = mutual_matches(tokens, mirrored, plan.first, plan.second, most)
    return PairMatches(plan.first, plan.second, plan.pairs, same, opposite, plan.drawn)


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


def _drawn(pairs: Membership, seeds: Sequence[int], matches: int, hypotheses: int) -> _Draws:
    """Each set's by its own seed: they do not depend on the other sets."""
    parts = []
    for count, seed in zip(pairs.sizes, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        order = torch.rand((count, matches), generator=generator)
        parts.append((order, *(torch.rand((count, hypotheses, 2), generator=generator) for _ in range(3))))
    return _Draws(*(torch.cat(column) for column in zip(*parts, strict=True)))


def gather_evidence(
    matches: PairMatches, images: Membership, seeds: Sequence[int], config: MatchingConfig
) -> list[PairEvidence]:
    """The similarities that explain the matches of the pairs compared; the evidence of each set, on the CPU.

    images: which set each is of.
    seeds: of each set, for the drawing of hypotheses.
    config: of the similarities.
    """
    device, most = matches.first.device, matches.same.weight.shape[1]
    draws = _drawn(matches.pairs, seeds, most, config.hypotheses)

    def fitted(some: Matches, drawn: Tensor) -> Similarities:
        return robust_similarities(some, drawn.to(device), config, tolerance=config.tolerance)

    def found(window: slice) -> tuple[Tensor, ...]:
        same, opposite = matches.same[window], matches.opposite[window]
        by_chance = fitted(shuffled(same, draws.order[window].to(device)), draws.shuffled[window]).score
        return (
            *fitted(same, draws.same[window]).parts,
            *fitted(opposite, draws.opposite[window]).parts,
            by_chance,
        )

    values = in_windows(len(matches.first), fit_bytes(most, config), device, found)
    same, opposite = Similarities(*values[:3]), Similarities(*values[3:6])
    evidence = PairEvidence(matches.first, matches.second, same, opposite, values[6], matches.drawn)
    return evidence.divided(images, matches.pairs)


def square_matrix(n: int, evidence: PairEvidence, values: Tensor) -> Tensor:
    """Values of pairs [p] as a symmetric matrix [n, n] with zero diagonal."""
    matrix = torch.zeros((n, n), dtype=values.dtype, device=values.device)
    matrix[evidence.first, evidence.second] = values
    matrix[evidence.second, evidence.first] = values
    return matrix


def _relation(evidence: PairEvidence, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs in opposite mirror states, and pairs measured in the mirror image of the frames chosen."""
    first, second = mirrored[evidence.first], mirrored[evidence.second]
    crossed = first != second
    return crossed, torch.where(crossed, ~second, first)


def solve_poses(
    n: int, evidence: PairEvidence, config: PosesConfig, symmetric_margin: float
) -> list[tuple[Poses, float]]:
    """Mirror states, then poses, and the margin of the mirror states over their opposites (−1 to 1).

    Two solutions if the pairs do not agree on the mirror states: that in which all images are as they are,
    then that with the mirror states that fit them best. A symmetric object, seen a little from either side,
    fits its mirror image now better and now worse; but a cup whose handle is hidden in some images does so,
    too. Mirror states whose margin is less than ``symmetric_margin`` are those of an object that looks the
    same in a mirror: they fit by chance, free matches cannot judge them, and all images stay as they are.
    """
    same = square_matrix(n, evidence, evidence.same.score)
    opposite = square_matrix(n, evidence, evidence.opposite.score)
    # A pair of symmetric objects prefers a mirror state by chance; more pairs are less easily wrong together.
    degree = max(2 * len(evidence.first) / n, 1.0)
    share = degree / max(n - 1, 1)
    prior = max(config.mirror_prior, config.mirror_prior_single_pair / math.sqrt(degree))
    mirrored = synchronize_mirroring(same * (1 + prior), opposite * (1 - prior), config, share)
    solved = [_posed(n, evidence, mirrored, config)]
    if not bool(mirrored.any()):
        return solved
    symmetric = solved[0][1] < symmetric_margin
    agreed = consistency(same, opposite, mirrored, config, share)
    if symmetric or agreed < config.mirror_consistency:
        solved.insert(0, _posed(n, evidence, torch.zeros_like(mirrored), config))
    return solved[:1] if symmetric else solved


def _posed(n: int, evidence: PairEvidence, mirrored: Tensor, config: PosesConfig) -> tuple[Poses, float]:
    """Poses of images in these mirror states, and the margin of these."""
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
    beyond = (score - evidence.chance).clamp_min(0)
    weight = square_matrix(n, evidence, beyond + config.chance_share * score)
    weight = weight / weight.mean().clamp_min(1e-9)
    pose_a, pose_b, support = synchronize_poses(pair_a, pair_b, weight, config)
    margin = float((score - other).sum() / (score + other).sum().clamp_min(1e-9))
    return Poses(mirrored, pose_a, pose_b, support), margin


def matched_tokens(n: int, evidence: PairEvidence) -> Tensor:
    """Matches, in tokens, that an image shares with another on average, in the better mirror state: [n].

    Pairs that were drawn stand for all that were not compared, too: those that look alike share more.
    """
    best = torch.maximum(evidence.same.score, evidence.opposite.score)
    if not bool(evidence.drawn.any()):
        return square_matrix(n, evidence, best).sum(1) / max(n - 1, 1)

    def per_image(values: Tensor) -> Tensor:
        return square_matrix(n, evidence, values.float()).sum(1)

    near, count = per_image(best * ~evidence.drawn), per_image(~evidence.drawn)
    drawn, drawn_count = per_image(best * evidence.drawn), per_image(evidence.drawn)
    return (near + (n - 1 - count) * drawn / drawn_count.clamp_min(1)) / (n - 1)


def centre_atlas(
    a: Tensor,
    b: Tensor,
    saliency: Tensor,
    positions: Tensor,
    weight: Tensor,
    config: AtlasConfig,
    fill: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Poses for an atlas square in whose middle the common object lies, filling ``fill`` of it.

    Args:
        a, b: complex64 [n], poses in any common gauge.
        saliency: float32 [n, k] of the tokens at ``positions`` complex64 [k] in the oriented frames.
        weight: float32 [n], 0 for images that do not count.
        config: of the object's bounding box.
        fill: share of the square's side that it takes; None: as configured.
    """
    places = (positions[None] - b[:, None]) / a[:, None]
    share = saliency / saliency.sum(1, keepdim=True).clamp_min(1e-6) * weight[:, None]
    low_x, high_x = _quantiles(places.real, share, config.tail)
    low_y, high_y = _quantiles(places.imag, share, config.tail)
    centre = torch.complex((low_x + high_x) / 2, (low_y + high_y) / 2)
    half = torch.maximum(high_x - low_x, high_y - low_y) / 2 / (config.fill if fill is None else fill)
    half = half if math.isfinite(float(half)) and float(half) > 1e-3 else torch.ones_like(half)
    return a * half, a * centre + b


def _quantiles(values: Tensor, weight: Tensor, tail: float) -> tuple[Tensor, Tensor]:
    """Weighted quantiles ``tail`` and 1 − ``tail``."""
    flat, order = values.flatten().sort()
    mass = weight.flatten()[order].cumsum(0)
    levels = torch.tensor([tail, 1 - tail], device=values.device) * mass[-1]
    index = torch.searchsorted(mass, levels).clamp_max(len(flat) - 1)
    return flat[index[0]], flat[index[1]]
