"""Some members of an atlas, kept token by token: newcomers find their pose by matching them.

The mean of many images blurs what each of them shows sharply, and inherits whatever they have in common by
their place in the frame. Single members do not: a newcomer's matches with several of them, each taken to the
atlas by that member's own map, locate it as precisely as the members were located among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.poses import MatchingConfig
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.tokens import Tokens
from congeal.alignment.model import Exemplars
from congeal.alignment.poses.pairwise_matching import (
    Matches,
    Similarities,
    mutual_matches,
    robust_similarities,
)
from congeal.alignment.poses.pose_estimation import fit_bytes
from congeal.geometry.chunking import in_windows
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps, to_atlas


@dataclass(frozen=True)
class ExemplarTokens:
    """The exemplars of several atlases: tokens at their places in their atlas, and which atlas each is of."""

    tokens: Tokens
    members: Membership


def select_exemplars(
    images: SetBatch, warps: Warps, weight: Tensor, orders: Sequence[Tensor], most: int
) -> tuple[list[Exemplars], list[Tensor]]:
    """The salient tokens of each set's first members that count in the atlas.

    Where none does, the first serves, so that there is something.

    Args:
        images: of all sets.
        warps: theirs.
        weight: float32 [n], of each image in the atlas.
        orders: of each set, its images counted from 0, best first, int64 [its size] on the CPU.
        most: exemplars of a set, at most.

    Returns:
        Each set's exemplars, and which of its images they are, int64 [e] on the CPU.
    """
    kept = []
    for rows, order in zip(images.members.slices, orders, strict=True):
        counted = order[weight[rows].cpu()[order] > 0]
        kept.append(counted[:most] if len(counted) else order[:1])
    starts = [rows.start for rows in images.members.slices]
    chosen = torch.cat([few + start for few, start in zip(kept, starts, strict=True)]).to(weight.device)
    tokens = images.oriented_tokens(warps.mirrored, chosen)
    there = torch.view_as_real(tokens.position)[:, :, None]
    places = to_atlas(warps[chosen], there)[:, :, 0].cpu().numpy()
    features, saliency = tokens.features.half().cpu().numpy(), tokens.weight.cpu().numpy()
    parts = Membership.of([len(few) for few in kept], "cpu").slices
    return [Exemplars(features[part], places[part], saliency[part]) for part in parts], kept


def exemplar_tokens(exemplars: Sequence[Exemplars], device: torch.device) -> ExemplarTokens:
    """The exemplars' tokens at their places in the atlas; as many tokens in all."""
    parts = []
    for few in exemplars:
        features = torch.as_tensor(few.features, device=device).float()
        places = torch.as_tensor(few.places, device=device).float().contiguous()
        weight = torch.as_tensor(few.weight, device=device).float()
        parts.append(Tokens(weight.long(), torch.view_as_complex(places), weight, features))
    return ExemplarTokens(Tokens.joined(parts), Membership.of([len(few.weight) for few in exemplars], device))


def pose_by_exemplars(
    known: ExemplarTokens,
    tokens: Tokens,
    images: Membership,
    seeds: Sequence[int],
    config: SolverConfig,
    without: Tensor | None = None,
) -> tuple[Similarities, Tensor]:
    """A robust similarity from its atlas to each of n images, and the weight of its matches [n].

    Scores and weights are those of an average exemplar.

    Args:
        known: the exemplars of s atlases.
        tokens: of n images.
        images: which atlas each of them goes with.
        seeds: of each atlas; every image sees the same draws: its answer must not depend on the others.
        config: of the solver.
        without: int64 [n], the exemplar (counted over all atlases) that an image must not be compared with,
            since it is it; -1: none.
    """
    device = tokens.weight.device
    matching = config.matching
    matches, weight = _all_matches(known, tokens, images.owner, without, matching)
    draws = torch.cat(
        [
            torch.rand((1, matching.hypotheses, 2), generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
    ).to(device)

    def found(window: slice) -> tuple[Tensor, ...]:
        some = Matches(matches.first[window], matches.second[window], matches.weight[window])
        drawn = draws[images.owner[window]]
        return robust_similarities(some, drawn, matching, tolerance=config.exemplars.tolerance).parts

    each = fit_bytes(matches.weight.shape[1], matching)
    return Similarities(*in_windows(len(images.owner), each, device, found)), weight


def _all_matches(
    known: ExemplarTokens, tokens: Tokens, owner: Tensor, without: Tensor | None, config: MatchingConfig
) -> tuple[Matches, Tensor]:
    """The matches of each of n images with all its exemplars, [n, e·m], and their weight in all [n]."""
    n, device = len(owner), owner.device
    most, m = max(known.members.sizes), min(config.most, known.tokens.weight.shape[1])
    image, exemplar = torch.nonzero(owner[:, None] == known.members.owner, as_tuple=True)
    starts = torch.tensor([rows.start for rows in known.members.slices], device=device)
    place = exemplar - starts[owner[image]]
    compared = torch.ones_like(image, dtype=torch.bool)
    if without is not None:
        compared = exemplar != without[image]
    others = torch.zeros(n, device=device).index_put_((image,), compared.float(), accumulate=True)
    first = torch.zeros((n, most, m), dtype=tokens.position.dtype, device=device)
    second, weight = torch.zeros_like(first), torch.zeros((n, most, m), device=device)
    found = mutual_matches(known.tokens, tokens, exemplar, image, config.most)
    share = compared / others[image].clamp_min(1)
    at = (image, place)
    first[at], second[at], weight[at] = found.first, found.second, found.weight * share[:, None]
    together = Matches(first.flatten(1), second.flatten(1), weight.flatten(1))
    return together, together.weight.sum(1)
