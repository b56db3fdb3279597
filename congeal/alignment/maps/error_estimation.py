"""How far the maps and plain matching can each be trusted, estimated from the set itself.

A 3-cycle of nearest-neighbour matches, from image to image to image and back to the first, returns to its
start only if none of the three is wrong: that gives the error rate of matching. How often maps and matches
agree then gives the error rate of the maps, if the two err independently (in metrology, the three-cornered
hat of Gray and Allan, 1974). The matches are free nearest neighbours over whole images. They took no part
in the flow, and they are judged coarsely, so that it gains nothing by imitating the tokens' grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from congeal.alignment.config.maps import ErrorsConfig
from congeal.alignment.inputs.oriented import Oriented, maybe_any
from congeal.geometry.argmax import row_peaks
from congeal.geometry.chunking import in_windows
from congeal.geometry.complex_math import length
from congeal.geometry.row_products import row_products
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

    def as_wide(self, k: int) -> Cycles:
        """The same with rows of k tokens, at least as many as there are."""
        more = k - self.weight.shape[1]
        start, met, end = (
            torch.nn.functional.pad(part, (0, 0, 0, more)) for part in (self.start, self.met, self.end)
        )
        weight = torch.nn.functional.pad(self.weight, (0, more))
        return replace(self, start=start, met=met, end=end, weight=weight)


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
    weight, chosen = _followed(images, drawn, seeds, config)
    most = chosen.shape[1]
    padding = images.valid.flatten(1) <= 0
    padded = maybe_any(padding)

    def step(source: Tensor, tokens: Tensor, target: Tensor) -> Tensor:
        likeness = _alike(features, source, tokens, target)
        if padded:
            likeness.masked_fill_(padding[target][:, None], -4.0)
        return row_peaks(likeness)

    def matched(window: slice) -> tuple[Tensor, Tensor]:
        first, second, third = triples[window].unbind(1)
        there = step(first, chosen[first], second)
        return places[there], places[step(third, step(second, there, third), first)]

    met, end = in_windows(len(triples), 4 * (most * d + k * d + most * k), device, matched)
    start = triples[:, 0]
    return Cycles(triples, places[chosen[start]], met, end, weight[start], drawn.owner, images.sets)


def _alike(features: Tensor, source: Tensor, tokens: Tensor, target: Tensor) -> Tensor:
    """Cosines float32 [w, m, k] of some tokens of images with all of others.

    features: float32 [n, k, d]. source, target: int64 [w], images. tokens: int64 [w, m], of the
    former.
    """
    if features.device.type != "cpu":
        return features[source[:, None], tokens] @ features[target].transpose(1, 2)
    found = features.new_empty((*tokens.shape, features.shape[1]))
    # One by one: else the features of every target would be copied first.
    for likeness, one, some, other in zip(found, source.tolist(), tokens, target.tolist(), strict=True):
        likeness.copy_(row_products(features[one][some], features[other]))
    return found


def _followed(
    images: Oriented, drawn: Membership, seeds: Sequence[int], config: ErrorsConfig
) -> tuple[Tensor, Tensor]:
    """Weight [n, k] and place, int64 [n, k], of the tokens of each image that are followed.

    They are drawn from its most salient ones; as many as make up ``config.matches`` over a set's triples.
    The rest of a set's row, if another's is longer, has no weight.
    """
    device = images.features.device
    weight, chosen = images.saliency.flatten(1).topk(min(config.tokens, images.saliency[0].numel()), dim=1)
    weight = weight * (weight > config.salient)
    each = [max(1, min(weight.shape[1], config.matches // size)) if size else 0 for size in drawn.sizes]
    luck = torch.stack(
        [torch.rand(weight.shape[1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    drawn_first = torch.where(weight > 0, luck.to(device)[images.owner], -1.0)
    order = drawn_first.topk(max(each), dim=1).indices
    within = torch.arange(max(each), device=device) < torch.tensor(each).to(device)[images.owner][:, None]
    return weight.gather(1, order) * within, chosen.gather(1, order)


def _triples(images: Oriented, seeds: Sequence[int], count: int) -> tuple[Tensor, Membership]:
    """Triples int64 [t, 3] of images of one set that have weight; and the sets they are of.

    ``count`` random ones of a set, or all there are, if these are no more.
    """
    counted, owner = (images.weight > 0).cpu(), images.owner.cpu()
    parts = []
    for number, seed in enumerate(seeds):
        members = torch.nonzero(counted & (owner == number))[:, 0]
        n = len(members)
        if n < 3:
            parts.append(_there_and_back(members))
        elif n * (n - 1) * (n - 2) <= count:
            parts.append(members[torch.tensor(list(itertools.permutations(range(n), 3)))])
        else:
            order = torch.rand((count, n), generator=torch.Generator().manual_seed(seed)).argsort(1)
            parts.append(members[order[:, :3]])
    device = images.features.device
    return torch.cat(parts).to(device), Membership.of([len(part) for part in parts], device)


def _there_and_back(members: Tensor) -> Tensor:
    """Instead of triples, for two images; none for fewer."""
    return members[torch.tensor([[0, 1, 0], [1, 0, 1]])] if len(members) == 2 else members.new_zeros((0, 3))


@dataclass(frozen=True)
class Agreement:
    """How well warps agree with free matches, a number a set; float32 [s].

    Attributes:
        close, near: share of the matches that the warps explain to within ``errors.close_distance``, and to
            within ``errors.error_distance``.
    """

    close: Tensor
    near: Tensor

    @property
    def explained(self) -> Tensor:
        """The mean of both shares: at one tolerance alone any flow explains more."""
        return (self.close + self.near) / 2

    def error(self, matching: Tensor) -> Tensor:
        """Share of a set's points that the warps put wrong, if matching errs that often.

        It is 0 where agreement is even higher than matching explains.
        """
        return (1.0 - self.near / (1.0 - matching).clamp_min(1e-6)).clamp_min(0.0)


def agreement(warps: Warps, cycles: Cycles, config: ErrorsConfig) -> Agreement:
    """How well the warps of n images explain the matches of each set."""
    first, second = cycles.images[:, 0], cycles.images[:, 1]
    expected = to_oriented(warps[second], to_atlas(warps[first], cycles.start))
    distance = _distance(cycles.met - expected, warps, second)
    close, near = (
        _share(distance, cycles, tolerance) for tolerance in (config.close_distance, config.error_distance)
    )
    return Agreement(close, near)


def share_explained(warps: Warps, cycles: Cycles, config: ErrorsConfig) -> Tensor:
    """Share of each set's matches that the warps explain, float32 [s]; see `Agreement.explained`."""
    return agreement(warps, cycles, config).explained


def error_of_matching(warps: Warps, cycles: Cycles, config: ErrorsConfig) -> Tensor:
    """Share of a set's single matches that are wrong, from the share of cycles that return, float32 [s].

    Of the warps only the scales are used, to tell how large the object is in each image.
    """
    distance = _distance(cycles.end - cycles.start, warps, cycles.images[:, 0])
    return 1.0 - _share(distance, cycles, config.error_distance) ** (1 / 3)


def _distance(offset: Tensor, warps: Warps, image: Tensor) -> Tensor:
    """Lengths [t, k] of offsets [t, k, 2] in atlas units; image: int64 [t], in whose frame each row is."""
    squared = (offset**2).sum(-1)
    return squared.sqrt() / length(warps.a[image])[:, None].clamp_min(1e-6)


def _share(distance: Tensor, cycles: Cycles, tolerance: float) -> Tensor:
    counted, weight = (cycles.weight * (distance < tolerance)).sum(1), cycles.weight.sum(1)
    total = sums(weight, cycles.owner, cycles.sets).clamp_min(1e-9)
    return sums(counted, cycles.owner, cycles.sets) / total
