"""Which pairs of images of a set are compared: all of a small set's, a sparse graph of a large one's.

Of n images, all pairs are n (n − 1) / 2, and most of them say what the others have said. A large set's images
are each compared with a few that look much like them, whose matches are many and exact, and with a few drawn
at random. The random ones are along closed paths through all images: so the graph is connected, any two
images are a few steps apart (random cycles make an expander), and no kind of image is left to itself. They
also stand for all pairs that are not compared, where a mean over all pairs is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config.poses import MatchingConfig
from congeal.alignment.inputs.tokens import Tokens
from congeal.geometry.segments import Membership

Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairPlan:
    """The p pairs of images that are compared, set by set.

    Attributes:
        first, second: int64 [p], the images of each pair, first < second.
        pairs: which set each pair is of.
        drawn: bool [p], pairs that were drawn at random, and stand for those of their images that are not
            compared; all other pairs stand for themselves.
    """

    first: Tensor
    second: Tensor
    pairs: Membership
    drawn: Tensor


def plan_pairs(
    tokens: Tokens, mirrored: Tokens, images: Membership, seeds: Sequence[int], config: MatchingConfig
) -> PairPlan:
    """The pairs of every set.

    Args:
        tokens, mirrored: of all images, as they are and mirrored.
        images: which set each is of.
        seeds: of each set, for the drawing of pairs.
        config: from how many images on a set's pairs are sparse, and how many an image then has.
    """
    parts = []
    for rows, seed in zip(images.slices, seeds, strict=True):
        n = rows.stop - rows.start
        if n <= config.all_pairs_up_to:
            first, second = torch.triu_indices(n, n, 1)
            drawn = torch.zeros(len(first), dtype=torch.bool)
        else:
            looks = appearance(tokens, mirrored, rows)
            found = sparse_pairs(looks, config.neighbours, config.drawn_pairs, seed)
            first, second, drawn = (torch.from_numpy(part) for part in found)
        parts.append((first + rows.start, second + rows.start, drawn))
    device = images.owner.device
    first, second, drawn = (torch.cat(part).to(device) for part in zip(*parts, strict=True))
    return PairPlan(first, second, Membership.of([len(part[0]) for part in parts], device), drawn)


def appearance(tokens: Tokens, mirrored: Tokens, rows: slice) -> npt.NDArray[np.float32]:
    """What images show, wherever and whichever way round they show it: unit length [n, c].

    It is the mean of the salient tokens of an image and its mirror image.
    """
    mean = sum(
        (part.features[rows] * part.weight[rows][..., None]).sum(1)
        / part.weight[rows].sum(1, keepdim=True).clamp_min(1e-9)
        for part in (tokens, mirrored)
    )
    found: npt.NDArray[np.float32] = torch.nn.functional.normalize(torch.as_tensor(mean), dim=1).cpu().numpy()
    return found


def sparse_pairs(
    looks: npt.NDArray[np.floating], neighbours: int, drawn: int, seed: int
) -> tuple[Whole, Whole, Flags]:
    """A connected graph of few edges between n images.

    Args:
        looks: [n, c], unit length.
        neighbours: pairs that an image has with those that look most like it, at most.
        drawn: pairs of an image that are drawn at random, at most and nearly as many; a whole number of
            closed paths through all images is drawn, one at least.
        seed: of the paths.

    Returns:
        first, second int64 [p] and whether a pair was drawn, bool [p]; ordered, first < second, none twice.
    """
    n = len(looks)
    near = _nearest(looks, neighbours)
    random, paths = np.random.default_rng([n, abs(seed)]), []
    for _ in range(max(1, drawn // 2)):
        path = random.permutation(n)
        paths.append(_coded(path, np.roll(path, 1), n))
    every = np.unique(np.concatenate([near, *paths]))
    return every // n, every % n, ~np.isin(every, near)


def _coded(first: Whole, second: Whole, n: int) -> Whole:
    """Pairs as one number each; those of an image with itself left out."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.asarray((low * n + high)[low < high], np.int64)


def _nearest(looks: npt.NDArray[np.floating], most: int) -> Whole:
    """Pairs that look alike, most alike first, as long as neither image has ``most`` of them."""
    n = len(looks)
    count = min(most, n - 1)
    if count < 1:
        return np.zeros(0, np.int64)
    candidates, alike = [], []
    for start in range(0, n, 1024):  # not all n² numbers at once
        cosine = looks[start : start + 1024] @ looks.T
        rows = np.arange(len(cosine))
        cosine[rows, rows + start] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
        candidates.append(_pair_codes(rows + start, order, n))
        alike.append(np.take_along_axis(cosine, order, 1).ravel())
    code, at = np.unique(np.concatenate(candidates), return_index=True)
    best_first = np.argsort(-np.concatenate(alike)[at], kind="stable")
    degree, taken = np.zeros(n, np.int64), []
    for pair in code[best_first].tolist():
        one, other = divmod(pair, n)
        if degree[one] < most and degree[other] < most:
            degree[one] += 1
            degree[other] += 1
            taken.append(pair)
    return np.array(taken, np.int64)


def _pair_codes(rows: Whole, others: Whole, n: int) -> Whole:
    return _coded(np.repeat(rows, others.shape[1]), others.ravel(), n)
