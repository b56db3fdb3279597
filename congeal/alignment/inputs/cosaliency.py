"""Co-saliency: which tokens show what the images of a set have in common.

The attention of a ViT's class token is sharp but thin: it lights up heads and edges. Here it only *seeds* a
linear discriminant that is learned on the features of the whole set, so that the same tissue, feather or
chrome is salient in every image of the set. No mask, prompt or training is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.inputs import CosaliencyConfig
from congeal.alignment.inputs.feature_basis import flatten_grid

QUANTILE_SAMPLE = 2**22  # torch.quantile takes no more


def scaled_attention(attention: Tensor, valid: Tensor, config: CosaliencyConfig) -> Tensor:
    """Attention [n, g, g] as a soft object indicator in [0, 1]: smoothed, scaled by each image's own peak."""
    smooth = torch.nn.functional.avg_pool2d(
        attention[:, None], kernel_size=3, stride=1, padding=1, count_include_pad=False
    )[:, 0]
    flat = (smooth * valid).flatten(1)
    peak = flat.quantile(config.attention_peak, dim=1, keepdim=True).clamp_min(1e-9)
    return (flat / peak).clamp(0, 1).view_as(attention)


@dataclass(frozen=True)
class Discriminant:
    """What tells a set's common object from the rest: saliency = σ(features · direction + offset).

    Attributes:
        direction: float32 [d], in the space of compared features.
        offset: float32 [].
    """

    direction: Tensor
    offset: Tensor

    def __call__(self, features: Tensor, valid: Tensor) -> Tensor:
        """Compared features [n, g, g, d] to saliency [n, g, g] in [0, 1]; 0 on padding."""
        return torch.sigmoid(features @ self.direction + self.offset) * valid


def learn_saliency(
    features: Tensor, attention: Tensor, valid: Tensor, config: CosaliencyConfig
) -> Discriminant:
    """Learn what is salient in a set from the attention of its images.

    Args:
        features: float32 [n, g, g, d], one set's compared features.
        attention: float32 [n, g, g], class-token attention or any other non-negative prior.
        valid: float32 [n, g, g], 1 where a token lies on the image, 0 on its padding.
        config: how.

    Returns:
        The discriminant. Where the attention says nothing (a constant map) or there is nothing to learn from,
        everything valid is salient.
    """
    target = scaled_attention(attention.clamp_min(0), valid, config)
    return learn_from(features, target, valid, config, rounds=config.rounds)


def learn_from(
    features: Tensor,
    target: Tensor,
    valid: Tensor,
    config: CosaliencyConfig,
    *,
    rounds: int,
    within: Tensor | None = None,
) -> Discriminant:
    """Learn what is salient in a set from a first guess at it.

    Args:
        features, valid, config: as of `learn_saliency`.
        target: float32 [n, g, g], the guess, 0 to 1.
        rounds: how often the discriminant is refitted to its own answer.
        within: float32 [n, g, g], 0 to 1: how far the answer may count in its refitting; absent, everywhere.

    Returns:
        The discriminant; where the guess says nothing, everything valid is salient.
    """
    tokens, weight = flatten_grid(features), valid.flatten(1)
    target = target.flatten(1)
    allowed = torch.ones_like(target) if within is None else within.flatten(1)
    everything = Discriminant(torch.zeros_like(tokens[0, 0]), torch.full_like(tokens[0, 0, 0], 20.0))
    on_image = weight > 0
    if not bool(on_image.any()) or float(target[on_image].amax() - target[on_image].amin()) < 1e-6:
        return everything
    flat = tokens.flatten(0, 1)
    share = (weight / weight.sum()).flatten()
    goal, allowed, counted = target.flatten(), allowed.flatten(), on_image.flatten()
    mean = share @ flat
    gram = (flat * share[:, None]).T @ flat - mean[:, None] * mean
    scale = float(gram.diagonal().mean())
    if scale < 1e-12:
        return everything
    gram = gram + config.ridge * scale * torch.eye(len(gram), device=gram.device)
    everywhere = bool(counted.all())
    found = everything
    for _ in range(rounds):
        say = share * (goal - share @ goal)
        slope = torch.linalg.solve(gram, say @ flat - say.sum() * mean)
        score = flat @ slope - mean @ slope
        threshold, span = _threshold(score if everywhere else score[counted], config)
        steepness = 1 / (config.softness * span)
        found = Discriminant(slope * steepness, -(mean @ slope + threshold) * steepness)
        goal = torch.sigmoid((score - threshold) * steepness) * allowed
    return found


def _threshold(values: Tensor, config: CosaliencyConfig) -> tuple[Tensor, Tensor]:
    """The best two-class threshold of values [k] (Otsu 1979), and the span they cover."""
    # skimage.filters.threshold_otsu gave the same 14 thresholds of four real sets, and 3,000 random ones. It
    # would bring four packages and 29 MB, a quarter of a second of imports, and take 1.7 times as long.
    values = values[:: 1 + len(values) // QUANTILE_SAMPLE]
    tail, bins = config.threshold_tail, config.threshold_bins
    low, high = values.quantile(values.new_tensor([tail, 1 - tail])).unbind()
    span = (high - low).clamp_min(1e-9)
    histogram = torch.histc(values, bins=bins, min=float(low), max=float(high))
    centres = torch.linspace(0.5, bins - 0.5, bins, device=values.device) / bins
    mass = histogram.cumsum(0)
    first = (histogram * centres).cumsum(0)
    total, moment = mass[-1], first[-1]
    between = (moment * mass - first * total) ** 2 / (mass * (total - mass)).clamp_min(1e-9)
    return low + span * centres[int(between[:-1].argmax())], span
