"""Mutual matches between the salient tokens of image pairs, and the similarity that explains most of them.

Positions are complex numbers x + iy in the frame, so that a similarity is z ↦ a·z + b with a = scale·e^{iθ}.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from congeal.alignment.config.poses import MatchingConfig
from congeal.alignment.inputs.tokens import Tokens
from congeal.geometry.chunking import windows
from congeal.geometry.complex_math import length, product, quotient

TOKEN_STEP = 32  # pairs are compared together whose images' numbers of tokens, divided by it, round up alike
TABLE_SHARE = 8  # the room for a window, over what tables that are made at once take: they fit a CPU's cache


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
    """The ``most`` best mutual nearest neighbours of the pairs (a[rows], b[columns]), best first.

    Tables are only as large as the tokens that count: pairs of images with about as many are compared at
    once, as many as there is room for.

    Args:
        a, b: tokens of the images on either side.
        rows, columns: int64 [p], which image of ``a`` meets which image of ``b``.
        most: how many matches to keep a pair.
    """
    device, p, m = rows.device, len(rows), min(most, a.weight.shape[1])
    found = Matches(
        torch.zeros((p, m), dtype=a.position.dtype, device=device),
        torch.zeros((p, m), dtype=a.position.dtype, device=device),
        torch.zeros((p, m), dtype=a.weight.dtype, device=device),
    )
    a, b = _counting(a), _counting(b)
    channels = a.features.shape[-1]
    for k, n, alike in _tables(a.weight, b.weight, rows, columns):
        for window in windows(len(alike), TABLE_SHARE * 4 * ((k + n) * channels + k * n), device):
            some = alike[window]
            part = _matched(_first(a, rows[some], k), _first(b, columns[some], n), m)
            kept = part.weight.shape[1]
            found.first[some, :kept], found.second[some, :kept] = part.first, part.second
            found.weight[some, :kept] = part.weight
    return found


def _tables(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Pairs whose tables are of one size: how many tokens on either side, and which pairs.

    An accelerator multiplies whole tables sooner than it tells the processor how large they need to be.
    """
    if rows.device.type != "cpu":
        yield a.shape[1], b.shape[1], torch.arange(len(rows), device=rows.device)
        return
    high, wide = _sizes(a)[rows], _sizes(b)[columns]
    for k, n in sorted(set(zip(high.tolist(), wide.tolist(), strict=True))):
        yield k, n, torch.nonzero((high == k) & (wide == n))[:, 0]


def _counting(tokens: Tokens) -> Tokens:
    """The same with zeros as the features of those that do not count."""
    return replace(tokens, features=tokens.features * (tokens.weight > 0)[..., None])


def _first(tokens: Tokens, rows: Tensor, count: int) -> Tokens:
    """The first tokens of some images."""
    return Tokens(
        tokens.index[:, :count][rows],
        tokens.position[:, :count][rows],
        tokens.weight[:, :count][rows],
        tokens.features[:, :count][rows],
    )


def _sizes(weight: Tensor) -> Tensor:
    """How many tokens of each image are to be looked at, int64 [n]: all that count are among the first."""
    k = weight.shape[1]
    last = ((weight > 0) * torch.arange(1, k + 1, device=weight.device)).amax(1)
    return (last.clamp_min(1).add(TOKEN_STEP - 1) // TOKEN_STEP * TOKEN_STEP).clamp_max(k)


def _matched(a: Tokens, b: Tokens, most: int) -> Matches:
    """The matches of p images with p others, whose tokens that do not count are like nothing."""
    similarity = torch.bmm(a.features, b.features.transpose(1, 2))
    mutual, forward, best = _mutual(similarity)
    weight = (a.weight * b.weight.gather(1, forward)).sqrt() * best * mutual
    weight, order = weight.topk(min(most, weight.shape[1]), dim=1)
    return Matches(a.position.gather(1, order), b.position.gather(1, forward.gather(1, order)), weight)


def _mutual(similarity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which rows of tables [p, k, n] are mutual with their best column, which that is, and how alike.

    All three are [p, k].
    """
    if similarity.device.type != "cpu":
        best, forward = similarity.max(2)
        return (best == similarity.amax(1).gather(1, forward)) & (best > 0), forward, best
    best, others = similarity.amax(2), similarity.amax(1)
    # The largest of a row is mutual if it is the largest of its column: then both lists have its number.
    # They are short, and sorted quickly; where the largest of each row lies is what takes long to find.
    ordered, order = others.sort(dim=1, stable=True)
    at = torch.searchsorted(ordered, best).clamp_max(others.shape[1] - 1)
    forward = order.gather(1, at)
    mutual = (ordered.gather(1, at) == best) & (best > 0)
    equal = mutual & (similarity.gather(2, forward[..., None])[..., 0] != best)
    if bool(equal.any()):  # two columns with one number
        again = torch.nonzero(equal.any(1))[:, 0]
        largest, forward[again] = similarity[again].max(2)
        mutual[again] = (largest == others[again].gather(1, forward[again])) & (largest > 0)
    return mutual, forward, best


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
    a, b = _hypotheses(matches, draws, config, tolerance, max_angle)
    planes = _planes(matches)
    start = _SimilarityPlanes(a.real, a.imag, b.real, b.imag)
    similarity = start
    for step in range(config.reweightings):
        width = tolerance * max(1.0, config.widest_kernel - step * config.kernel_step)
        weight = _explained(planes, similarity, width, config)
        similarity = _least_squares(planes, weight, similarity)
    # Matches that fit nothing are fitted best by drawing them all together in one point.
    square = similarity.ax**2 + similarity.ay**2
    sound = square.sqrt().clamp_min(1e-6).log().abs() <= config.largest_log_scale
    kept = (torch.where(sound, new, old) for new, old in zip(similarity, start, strict=True))
    similarity = _SimilarityPlanes(*kept)
    score = _explained(planes, similarity, tolerance, config).sum(-1)
    ax, ay, bx, by = (part[:, 0] for part in similarity)
    return Similarities(torch.complex(ax, ay), torch.complex(bx, by), score)


def _hypotheses(
    matches: Matches, draws: Tensor, config: MatchingConfig, tolerance: float, max_angle: float | None
) -> tuple[Tensor, Tensor]:
    """The best of those drawn, complex64 [p, 1] each; the identity where none is allowed."""
    p, m = matches.weight.shape
    cumulative = matches.weight.cumsum(1) / matches.weight.sum(1, keepdim=True).clamp_min(1e-9)
    pick = torch.searchsorted(cumulative, draws.flatten(1).contiguous()).clamp_max(m - 1)
    i, j = pick.view(p, draws.shape[1], 2).unbind(-1)
    start, image_start = matches.first.gather(1, i), matches.second.gather(1, i)
    base, image = matches.first.gather(1, j) - start, matches.second.gather(1, j) - image_start
    square = base.real**2 + base.imag**2
    far = square > (config.shortest_baseline * tolerance) ** 2
    a = quotient(product(image, base.conj()), torch.where(far, square, torch.ones_like(square)))
    b = image_start - product(a, start)
    allowed = far & (length(a).clamp_min(1e-6).log().abs() <= config.largest_log_scale)
    if max_angle is not None:
        allowed &= torch.atan2(a.imag, a.real).abs() <= max_angle
    score = torch.empty_like(a.real)
    for window in windows(p, TABLE_SHARE * 4 * m * draws.shape[1], a.device):
        score[window] = _hypothesis_support(matches[window], a[window], b[window], tolerance, config)
    score = score.masked_fill_(~allowed, -1.0)
    found, best = score.max(1, keepdim=True)
    a = torch.where(found >= 0, a.gather(1, best), torch.ones_like(a[:, :1]))
    return a, torch.where(found >= 0, b.gather(1, best), torch.zeros_like(b[:, :1]))


def _hypothesis_support(
    matches: Matches, a: Tensor, b: Tensor, tolerance: float, config: MatchingConfig
) -> Tensor:
    """What similarities a, b (complex64 [p, h]) explain, float32 [p, h].

    The squared residual |a·z + b − w|² is a sum of nine products, of what is known of the match and of the
    hypothesis: one matrix product a pair. It is exact to about 1e-4 of the kernel's width, which is enough
    to tell hypotheses apart.
    """
    z, w = matches.first, matches.second
    turned, shifted = product(w, z.conj()), product(a, b.conj())
    one = torch.ones_like(matches.weight)
    known = [z.real**2 + z.imag**2, one, w.real**2 + w.imag**2, z.real, z.imag, w.real, w.imag]
    of_match = torch.stack([*known, turned.real, turned.imag], 1)
    of_hypothesis = torch.stack(
        [
            a.real**2 + a.imag**2,
            b.real**2 + b.imag**2,
            torch.ones_like(a.real),
            2 * shifted.real,
            -2 * shifted.imag,
            -2 * b.real,
            -2 * b.imag,
            -2 * a.real,
            -2 * a.imag,
        ],
        1,
    )
    of_hypothesis /= (length(a).clamp(*config.size_range) * tolerance**2)[:, None]
    explained = torch.bmm(of_match.transpose(1, 2), of_hypothesis)
    explained.clamp_min_(0).add_(1).square_().reciprocal_()
    return torch.bmm(matches.weight[:, None], explained)[:, 0]


class _MatchPlanes(NamedTuple):
    """Matches of p pairs as real numbers, float32 [p, 1, m]: z = x + iy in the first image, u + iv in the
    other."""

    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor
    weight: Tensor


class _SimilarityPlanes(NamedTuple):
    """The real and imaginary parts of a and of b, float32 [p, 1] or of one shape with which planes go."""

    ax: Tensor
    ay: Tensor
    bx: Tensor
    by: Tensor


def _planes(matches: Matches) -> _MatchPlanes:
    z, w = matches.first, matches.second
    parts = (z.real, z.imag, w.real, w.imag, matches.weight)
    return _MatchPlanes(*(part.contiguous() for part in parts))


def _explained(
    planes: _MatchPlanes, similarity: _SimilarityPlanes, tolerance: float, config: MatchingConfig
) -> Tensor:
    """The weight of each match as far as a similarity explains it."""
    ax, ay, bx, by = similarity
    across = (ax * planes.x).sub_(ay * planes.y).add_(bx).sub_(planes.u)
    down = (ax * planes.y).add_(ay * planes.x).add_(by).sub_(planes.v)
    # An error of the same size on the object, whichever of the two images shows it larger.
    scale = tolerance**2 * (ax**2 + ay**2).sqrt().clamp(*config.size_range)
    off = across.square_().add_(down.square_()).div_(scale).add_(1).square_()
    return planes.weight / off


def agreeing(matches: Matches, a: Tensor, b: Tensor, tolerance: float, config: MatchingConfig) -> Tensor:
    """The weight of each match as far as the similarities a, b (complex64 [p, h]) explain it: [p, h, m]."""
    each = _MatchPlanes(*(part[:, None] for part in _planes(matches)))
    parts = _SimilarityPlanes(*(part[..., None] for part in (a.real, a.imag, b.real, b.imag)))
    return _explained(each, parts, tolerance, config)


def _least_squares(planes: _MatchPlanes, weight: Tensor, fallback: _SimilarityPlanes) -> _SimilarityPlanes:
    """The weighted least-squares similarity along the last axis, which is kept."""
    total = weight.sum(-1, keepdim=True).clamp_min(1e-9)
    mean_x, mean_y, mean_u, mean_v = ((weight * part).sum(-1, keepdim=True) / total for part in planes[:4])
    x, y, u, v = planes.x - mean_x, planes.y - mean_y, planes.u - mean_u, planes.v - mean_v
    weighted_x, weighted_y = weight * x, weight * y
    spread = (weighted_x * x).add_(weighted_y * y).sum(-1, keepdim=True)
    ax = (weighted_x * u).add_(weighted_y * v).sum(-1, keepdim=True) / spread.clamp_min(1e-9)
    ay = (weighted_x * v).sub_(weighted_y * u).sum(-1, keepdim=True) / spread.clamp_min(1e-9)
    good = (spread > 1e-6 * total) & ((ax**2 + ay**2).sqrt() > 1e-3)
    ax, ay = torch.where(good, ax, fallback.ax), torch.where(good, ay, fallback.ay)
    bx = torch.where(good, mean_u - (ax * mean_x - ay * mean_y), fallback.bx)
    by = torch.where(good, mean_v - (ax * mean_y + ay * mean_x), fallback.by)
    return _SimilarityPlanes(ax, ay, bx, by)
