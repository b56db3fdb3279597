"""The losses of the published method, each a plain number before its coefficient.

Of the keys, of the saliency and of both rigidities only what the map leads into the image counts. The sums
are means over what counts, so that they depend neither on the resolution nor on the size of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from congeal.neural import grids
from congeal.neural.config import LossWeights

TERMS = (
    "keys_mse",
    "keys_cosine",
    "saliency",
    "scale",
    "magnitude",
    "local_rigidity",
    "global_rigidity",
    "centre",
    "saliency_sparsity",
    "keys_sparsity",
)
RIDGE = 1e-3  # on the diagonal of the metric, so that it can be inverted where a map collapses
SQUASHED = 5.0  # steepness of the smooth count of salient cells


@dataclass(frozen=True)
class Seen:
    """n images in their places in an r × r atlas.

    Attributes:
        keys: [n, c, r, r].
        saliency: [n, r, r].
        inside: [n, r, r], 1 where the map leads into the image, else 0; no gradient.
    """

    keys: Tensor
    saliency: Tensor
    inside: Tensor


@dataclass(frozen=True)
class Shown:
    """The same without the keys.

    Attributes:
        saliency: [n, r, r].
        inside: [n, r, r], 1 where the map leads into the image, else 0; no gradient.
    """

    saliency: Tensor
    inside: Tensor


Distances = tuple[Tensor, Tensor]  # see `key_distances`


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values [...] by weights of a shape that broadcasts to theirs; 0 where nothing counts."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


def key_distances(atlas: Tensor, keys: Tensor) -> Distances:
    """Mean squared difference over the channels, and 1 − cosine, of each cell: [n, r, r] each.

    atlas: [c, r, r] or [n, c, r, r]. keys: [n, c, r, r]. Both come from the same three inner products.
    """
    atlas = atlas.expand_as(keys)
    dot = (atlas * keys).sum(1)
    return distances_of(dot, (atlas * atlas).sum(1), (keys * keys).sum(1), keys.shape[1])


def distances_of(dot: Tensor, one: Tensor, two: Tensor, channels: int) -> Distances:
    """The same of the product of keys of so many channels, and of their squares, [...] each."""
    cosine = dot / (one * two).clamp_min(1e-12).sqrt()
    return (one + two - 2 * dot) / channels, 1 - cosine


def saliency_loss(atlas: Tensor, seen: Seen | Shown, huber: float) -> Tensor:
    """Huber's loss between the saliency of the atlas [r, r] and of the images."""
    distance = functional.huber_loss(
        seen.saliency, atlas.expand_as(seen.saliency), reduction="none", delta=huber
    )
    return weighted_mean(distance, seen.inside)


def scale_loss(poses: Tensor) -> Tensor:
    """Mean of (1 − s)²; poses: [n, 4]."""
    return (1 - grids.scale_of(poses)).square().mean()


def magnitude_loss(flow: Tensor, inside: Tensor) -> Tensor:
    """Mean squared length of the flow [n, r, r, 2], atlas units squared."""
    return weighted_mean(flow.square().sum(-1), inside)


def rigidity_loss(places: Tensor, weight: Tensor, offset: int) -> Tensor:
    """Mean of ‖JᵀJ‖ + ‖(JᵀJ)⁻¹‖ (Frobenius), least where a map is an isometry: 2√2, but for the ridge.

    places: [n, r, r, 2]. weight: [n, r, r]. offset: cells over which J is measured.
    """
    xx, xy, yy = grids.metric(places, offset)
    straight = (xx.square() + 2 * xy.square() + yy.square()).clamp_min(1e-12).sqrt()
    p, q = xx + RIDGE, yy + RIDGE
    inverse = (p.square() + 2 * xy.square() + q.square()).sqrt() / (p * q - xy.square()).clamp_min(1e-9)
    return weighted_mean(straight + inverse, weight[:, :-offset, :-offset])


def centre_loss(saliency: Tensor, inside: Tensor) -> Tensor:
    """Mean square of the coordinates of the atlas' salient middle. saliency, inside: [r, r]."""
    weight = saliency * inside
    places = grids.cells(len(saliency), saliency.device)
    middle = (places * weight[..., None]).sum((0, 1)) / weight.sum().clamp_min(1e-6)
    return middle.square().mean()


def saliency_sparsity(saliency: Tensor, weights: LossWeights) -> Tensor:
    """Mean saliency [r, r], and a smooth count of the salient cells, each with its share."""
    count = (torch.sigmoid(SQUASHED * saliency) - 0.5) * 2
    return weights.l1_share * saliency.abs().mean() + weights.l0_share * count.mean()


def keys_sparsity(keys: Tensor, saliency: Tensor) -> Tensor:
    """Mean L1 length of the keys [c, r, r] where the atlas [r, r] is not salient."""
    return weighted_mean(keys.abs().sum(0), 1 - saliency.detach())


def matching_losses(keys: Tensor, saliency: Tensor, seen: Seen, weights: LossWeights) -> dict[str, Tensor]:
    """How well atlas and images agree. keys: [c, r, r] or [n, c, r, r]; saliency: [r, r] or [n, r, r]."""
    return agreement_losses(key_distances(keys, seen.keys), saliency, seen, weights)


def agreement_losses(
    distances: Distances, saliency: Tensor, seen: Seen | Shown, weights: LossWeights
) -> dict[str, Tensor]:
    """The same with the distances of the keys, [n, r, r] each."""
    mse, cosine = distances
    counted = saliency.detach() * seen.inside
    return {
        "keys_mse": weighted_mean(mse, counted),
        "keys_cosine": weighted_mean(cosine, counted),
        "saliency": saliency_loss(saliency, seen, weights.huber),
    }


def mapping_losses(
    poses: Tensor, flow: Tensor | None, saliency: Tensor, inside: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    """What keeps maps from bending; how a flow bends tells the flow network alone, not the poses [n, 4].

    flow: [n, r, r, 2], or None while only similarities are trained.
    """
    found = {"scale": scale_loss(poses)}
    if flow is None:
        return found
    places = grids.composed(poses.detach(), flow)
    far = max(1, round(weights.global_offset * flow.shape[1]))
    return found | {
        "magnitude": magnitude_loss(flow, inside),
        "local_rigidity": rigidity_loss(places, saliency.detach() * inside, 1),
        "global_rigidity": rigidity_loss(places, inside, far),
    }


def atlas_losses(keys: Tensor, saliency: Tensor, inside: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """What keeps the atlas small and in the middle. inside: [r, r], where any image reaches."""
    return {
        "centre": centre_loss(saliency, inside),
        "saliency_sparsity": saliency_sparsity(saliency, weights),
        "keys_sparsity": keys_sparsity(keys, saliency),
    }


def total(losses: Mapping[str, Tensor], weights: LossWeights) -> Tensor:
    """The sum of losses by name, each a number [...], times its coefficient."""
    return torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()


def image_distances(keys: Tensor, saliency: Tensor, seen: Seen, weights: LossWeights) -> Tensor:
    """The keys' loss of every image alone, [n]: it decides on mirror states, and on who joins the atlas."""
    mse, cosine = key_distances(keys, seen.keys)
    counted = saliency * seen.inside
    values = weights.keys_mse * mse + weights.keys_cosine * cosine
    return (values * counted).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1e-6)
