"""How far the maps and plain matching can each be trusted, found from the set itself.

Three pairwise matches in a row, from image to image to image and back to the first, come home only if none of
them went astray: that gives the error rate of matching. How often maps and matches agree then gives the error
rate of the maps, if the two err independently (in metrology, the three-cornered hat of Gray and Allan, 1974).
The matches are free nearest neighbours over whole images. They took no part in the flow, and they are judged
coarsely, so that it earns nothing by imitating the tokens' grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.registration import Oriented
from congeal.warps import Warps, grid, to_atlas, to_oriented

TRIPLES = 120
ASTRAY = 0.2  # atlas units, a tenth of the atlas' side: what is farther off is an error
CLOSE = 0.1
SALIENT = 0.4
TOKENS = 400  # salient tokens of an image that are followed


@dataclass(frozen=True)
class Journeys:
    """Salient tokens followed by nearest neighbours from image to image to image and home, t triples.

    Attributes:
        images: int64 [t, 3].
        start, met, home: float32 [t, k, 2], oriented frames of the first, the second and the first image.
        weight: float32 [t, k], saliency of the start; 0 marks padding.
    """

    images: Tensor
    start: Tensor
    met: Tensor
    home: Tensor
    weight: Tensor


def travel(images: Oriented, generator: torch.Generator) -> Journeys | None:
    """Follow tokens around random triples of the images that have a say; None if there are no three."""
    members = torch.nonzero(images.weight > 0)[:, 0]
    if len(members) < 3:
        return None
    device = images.features.device
    order = torch.rand((TRIPLES, len(members)), generator=generator).argsort(1)[:, :3].to(device)
    triples = members[order]
    features = images.features.flatten(1, 2)
    places = grid(images.saliency.shape[1], images.extent, device).view(-1, 2)
    weight, chosen = images.saliency.flatten(1).topk(min(TOKENS, len(places)), dim=1)
    away = (images.valid.flatten(1) <= 0).float() * -4.0

    def step(source: int, tokens: Tensor, target: int) -> Tensor:
        return (features[source, tokens] @ features[target].T + away[target]).argmax(1)

    met, home = [], []
    for first, second, third in triples.tolist():
        there = step(first, chosen[first], second)
        met.append(places[there])
        home.append(places[step(third, step(second, there, third), first)])
    weight = weight * (weight > SALIENT)
    start = triples[:, 0]
    return Journeys(triples, places[chosen[start]], torch.stack(met), torch.stack(home), weight[start])


def explained(warps: Warps, journeys: Journeys) -> float:
    """Share of the matches that the warps explain: the mean of those to within CLOSE and within ASTRAY."""
    return (share_agreeing(warps, journeys, CLOSE) + share_agreeing(warps, journeys, ASTRAY)) / 2


def share_agreeing(warps: Warps, journeys: Journeys, tolerance: float = ASTRAY) -> float:
    """Share of the matches that the warps explain to within a tolerance in atlas units."""
    first, second = journeys.images[:, 0], journeys.images[:, 1]
    expected = to_oriented(warps[second], to_atlas(warps[first], journeys.start))
    return _share(journeys.met - expected, warps, second, journeys.weight, tolerance)


def error_of_matching(warps: Warps, journeys: Journeys) -> float:
    """Share of single matches that go astray, from the share of journeys that come home.

    Of the warps only the scales are used, to tell how large the thing is in each image.
    """
    way = journeys.home - journeys.start
    came_home = _share(way, warps, journeys.images[:, 0], journeys.weight, ASTRAY)
    return 1.0 - float(came_home ** (1 / 3))


def error_of_warps(warps: Warps, journeys: Journeys) -> float:
    """Share of points that the warps put astray; 0 where agreement is even higher than matching explains."""
    right = max(1.0 - error_of_matching(warps, journeys), 1e-6)
    return max(0.0, 1.0 - share_agreeing(warps, journeys) / right)


def _share(offset: Tensor, warps: Warps, image: Tensor, weight: Tensor, tolerance: float) -> float:
    distance = offset.norm(dim=-1) / warps.a[image].abs()[:, None].clamp_min(1e-6)
    return float((weight * (distance < tolerance)).sum() / weight.sum().clamp_min(1e-9))
