"""How far the maps and plain matching can each be trusted, found from the set itself.

Three pairwise matches in a row, from image to image to image and back to the first, come home only if none of
them went astray: that gives the error rate of matching. How often maps and matches agree then gives the error
rate of the maps, if the two err independently (in metrology, the three-cornered hat of Gray and Allan, 1974).
The matches are free nearest neighbours over whole images. They took no part in the flow, and they are judged
coarsely, so that it earns nothing by imitating the tokens' grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented
from congeal.geometry.argmax import row_peaks
from congeal.geometry.chunking import in_windows
from congeal.geometry.complex_math import length
from congeal.geometry.segments import Membership, sums
from congeal.geometry.warps import Warps, grid, to_atlas, to_oriented

TRIPLES = 120
ASTRAY = 0.2  # atlas units, a tenth of the atlas' side: what is farther off is an error
CLOSE = 0.1
SALIENT = 0.4
TOKENS = 400  # salient tokens of an image that are followed


@dataclass(frozen=True)
class Journeys:
    """Salient tokens followed by nearest neighbours from image to image to image and home, t triples.

    Attributes:
        images: int64 [t, 3]; of two images, the third is the first.
        start, met, home: float32 [t, k, 2], oriented frames of the first, the second and the first image.
        weight: float32 [t, k], saliency of the start; 0 marks padding.
        owner: int64 [t], the set of each triple.
        sets: how many sets there are; one of two images with a say has journeys there and back instead of
            triples, which tell what maps explain but not how far matching errs; one of fewer has none.
    """

    images: Tensor
    start: Tensor
    met: Tensor
    home: Tensor
    weight: Tensor
    owner: Tensor
    sets: int


def travel(images: Oriented, seeds: Sequence[int]) -> Journeys | None:
    """Follow tokens around random triples of the images that have a say in their set.

    None if no set has two such images.

    seeds: of each set, for the drawing of its triples.
    """
    device, k, d = images.features.device, images.saliency[0].numel(), images.features.shape[-1]
    triples, drawn = _triples(images, seeds)
    if not len(triples):
        return None
    features = images.features.flatten(1, 2)
    places = grid(images.saliency.shape[1], images.extent, device).view(-1, 2)
    most = min(TOKENS, k)
    weight, chosen = images.saliency.flatten(1).topk(most, dim=1)
    away = (images.valid.flatten(1) <= 0).float() * -4.0

    def step(source: Tensor, tokens: Tensor, target: Tensor) -> Tensor:
        likeness = features[source[:, None], tokens] @ features[target].transpose(1, 2)
        return row_peaks(likeness.add_(away[target][:, None]))

    def journey(window: slice) -> tuple[Tensor, Tensor]:
        first, second, third = triples[window].unbind(1)
        there = step(first, chosen[first], second)
        return places[there], places[step(third, step(second, there, third), first)]

    met, home = in_windows(len(triples), 4 * (most * d + k * d + most * k), device, journey)
    start = triples[:, 0]
    weight = (weight * (weight > SALIENT))[start]
    return Journeys(triples, places[chosen[start]], met, home, weight, drawn.owner, images.sets)


def _triples(images: Oriented, seeds: Sequence[int]) -> tuple[Tensor, Membership]:
    """Triples int64 [t, 3] of images of one set that have a say; and the sets they are of."""
    heard, owner = (images.weight > 0).cpu(), images.owner.cpu()
    parts = []
    for number, seed in enumerate(seeds):
        members = torch.nonzero(heard & (owner == number))[:, 0]
        order = torch.rand((TRIPLES, len(members)), generator=torch.Generator().manual_seed(seed)).argsort(1)
        parts.append(members[order[:, :3]] if len(members) >= 3 else _there_and_back(members))
    device = images.features.device
    return torch.cat(parts).to(device), Membership.of([len(part) for part in parts], device)


def _there_and_back(members: Tensor) -> Tensor:
    """Instead of triples, for two images; none for fewer."""
    return members[torch.tensor([[0, 1, 0], [1, 0, 1]])] if len(members) == 2 else members.new_zeros((0, 3))


def explained(warps: Warps, journeys: Journeys) -> Tensor:
    """Share of each set's matches that the warps explain, float32 [s].

    It is the mean of those to within CLOSE and to within ASTRAY.
    """
    return (share_agreeing(warps, journeys, CLOSE) + share_agreeing(warps, journeys, ASTRAY)) / 2


def share_agreeing(warps: Warps, journeys: Journeys, tolerance: float = ASTRAY) -> Tensor:
    """Share of each set's matches that warps explain to within a tolerance in atlas units, float32 [s]."""
    first, second = journeys.images[:, 0], journeys.images[:, 1]
    expected = to_oriented(warps[second], to_atlas(warps[first], journeys.start))
    return _share(journeys.met - expected, warps, second, journeys, tolerance)


def error_of_matching(warps: Warps, journeys: Journeys) -> Tensor:
    """Share of a set's single matches that go astray, from the share of journeys that come home, float32 [s].

    Of the warps only the scales are used, to tell how large the thing is in each image.
    """
    way = journeys.home - journeys.start
    came_home: Tensor = _share(way, warps, journeys.images[:, 0], journeys, ASTRAY)
    return 1.0 - came_home ** (1 / 3)


def error_of_warps(warps: Warps, journeys: Journeys) -> Tensor:
    """Share of a set's points that the warps put astray, float32 [s].

    It is 0 where agreement is even higher than matching explains.
    """
    right = (1.0 - error_of_matching(warps, journeys)).clamp_min(1e-6)
    return (1.0 - share_agreeing(warps, journeys) / right).clamp_min(0.0)


def _share(offset: Tensor, warps: Warps, image: Tensor, journeys: Journeys, tolerance: float) -> Tensor:
    distance = offset.norm(dim=-1) / length(warps.a[image])[:, None].clamp_min(1e-6)
    counted, weight = (journeys.weight * (distance < tolerance)).sum(1), journeys.weight.sum(1)
    total = sums(weight, journeys.owner, journeys.sets).clamp_min(1e-9)
    return sums(counted, journeys.owner, journeys.sets) / total
