"""How far the maps and plain matching can each be trusted, estimated from the set itself.

A 3-cycle of nearest-neighbour matches, from image to image to image and back to the first, returns to its
start only if none of the three is wrong: that gives the error rate of matching. How often maps and matches
agree then gives the error rate of the maps, if the two err independently (in metrology, the three-cornered
hat of Gray and Allan, 1974). The matches are free nearest neighbours over whole images. They took no part
in the flow, and they are judged coarsely, so that it gains nothing by imitating the tokens' grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.maps import ErrorsConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.geometry.argmax import row_peaks
from congeal.geometry.chunking import in_windows
from congeal.geometry.complex_math import length
from congeal.geometry.segments import Membership, sums
from congeal.geometry.warps import Warps, grid, to_atlas, to_oriented


@dataclass(frozen=True)
class Cycles:
    """3-cycles of nearest-neighbour matches (cycle-consistency samples), t triples of images.

    Attributes:
        images: int64 [t, 3]; of two images, the third is the first.
        start, met, end: float32 [t, k, 2], oriented frames of the first, the second and the first image.
        weight: float32 [t, k], saliency of the start; 0 marks padding.
        owner: int64 [t], the set of each triple.
        sets: how many sets there are; one of two images with weight has 2-cycles instead of triples, which
            tell what maps explain but not how far matching errs; one of fewer has none.
    """

    images: Tensor
    start: Tensor
    met: Tensor
    end: Tensor
    weight: Tensor
    owner: Tensor
    sets: int


def match_cycles(images: Oriented, seeds: Sequence[int], config: ErrorsConfig) -> Cycles | None:
    """Match tokens around random triples of the images that have weight in their set.

    None if no set has two such images.

    seeds: of each set, for the drawing of its triples.
    """
    device, k, d = images.features.device, images.saliency[0].numel(), images.features.shape[-1]
    triples, drawn = _triples(images, seeds, config.triples)
    if not len(triples):
        return None
    features = images.features.flatten(1, 2)
    places = grid(images.saliency.shape[1], images.extent, device).view(-1, 2)
    most = min(config.tokens, k)
    weight, chosen = images.saliency.flatten(1).topk(most, dim=1)
    off_image = (images.valid.flatten(1) <= 0).float() * -4.0

    def step(source: Tensor, tokens: Tensor, target: Tensor) -> Tensor:
        likeness = features[source[:, None], tokens] @ features[target].transpose(1, 2)
        return row_peaks(likeness.add_(off_image[target][:, None]))

    def matched(window: slice) -> tuple[Tensor, Tensor]:
        first, second, third = triples[window].unbind(1)
        there = step(first, chosen[first], second)
        return places[there], places[step(third, step(second, there, third), first)]

    met, end = in_windows(len(triples), 4 * (most * d + k * d + most * k), device, matched)
    start = triples[:, 0]
    weight = (weight * (weight > config.salient))[start]
    return Cycles(triples, places[chosen[start]], met, end, weight, drawn.owner, images.sets)


def _triples(images: Oriented, seeds: Sequence[int], count: int) -> tuple[Tensor, Membership]:
    """Triples int64 [t, 3] of images of one set that have weight; and the sets they are of."""
    counted, owner = (images.weight > 0).cpu(), images.owner.cpu()
    parts = []
    for number, seed in enumerate(seeds):
        members = torch.nonzero(counted & (owner == number))[:, 0]
        order = torch.rand((count, len(members)), generator=torch.Generator().manual_seed(seed)).argsort(1)
        parts.append(members[order[:, :3]] if len(members) >= 3 else _there_and_back(members))
    device = images.features.device
    return torch.cat(parts).to(device), Membership.of([len(part) for part in parts], device)


def _there_and_back(members: Tensor) -> Tensor:
    """Instead of triples, for two images; none for fewer."""
    return members[torch.tensor([[0, 1, 0], [1, 0, 1]])] if len(members) == 2 else members.new_zeros((0, 3))


def share_explained(warps: Warps, cycles: Cycles, config: ErrorsConfig) -> Tensor:
    """Share of each set's matches that the warps explain, float32 [s].

    It is the mean of those to within ``close_distance`` and to within ``error_distance``.
    """
    close = share_agreeing(warps, cycles, config.close_distance)
    return (close + share_agreeing(warps, cycles, config.error_distance)) / 2


def share_agreeing(warps: Warps, cycles: Cycles, tolerance: float) -> Tensor:
    """Share of each set's matches that warps explain to within a tolerance in atlas units, float32 [s]."""
    first, second = cycles.images[:, 0], cycles.images[:, 1]
    expected = to_oriented(warps[second], to_atlas(warps[first], cycles.start))
    return _share(cycles.met - expected, warps, second, cycles, tolerance)


def error_of_matching(warps: Warps, cycles: Cycles, config: ErrorsConfig) -> Tensor:
    """Share of a set's single matches that are wrong, from the share of cycles that return, float32 [s].

    Of the warps only the scales are used, to tell how large the object is in each image.
    """
    way = cycles.end - cycles.start
    returned: Tensor = _share(way, warps, cycles.images[:, 0], cycles, config.error_distance)
    return 1.0 - returned ** (1 / 3)


def error_of_warps(warps: Warps, cycles: Cycles, config: ErrorsConfig) -> Tensor:
    """Share of a set's points that the warps put wrong, float32 [s].

    It is 0 where agreement is even higher than matching explains.
    """
    right = (1.0 - error_of_matching(warps, cycles, config)).clamp_min(1e-6)
    return (1.0 - share_agreeing(warps, cycles, config.error_distance) / right).clamp_min(0.0)


def _share(offset: Tensor, warps: Warps, image: Tensor, cycles: Cycles, tolerance: float) -> Tensor:
    distance = offset.norm(dim=-1) / length(warps.a[image])[:, None].clamp_min(1e-6)
    counted, weight = (cycles.weight * (distance < tolerance)).sum(1), cycles.weight.sum(1)
    total = sums(weight, cycles.owner, cycles.sets).clamp_min(1e-9)
    return sums(counted, cycles.owner, cycles.sets) / total
