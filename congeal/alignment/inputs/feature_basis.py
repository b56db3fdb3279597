"""Dense features of a set, made ready for comparison: unit length, common mean removed, fewer channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.inputs import FeaturesConfig
from congeal.geometry.eigenvectors import signed


def flatten_grid(features: Tensor) -> Tensor:
    """[n, g, g, c] to [n, g*g, c]."""
    return features.flatten(1, 2)


@dataclass(frozen=True)
class Basis:
    """What takes raw features to compared features: x ↦ normalise(normalise(x) − mean) · projection.

    Attributes:
        mean: float32 [c], the set's common direction.
        projection: float32 [c, d], its leading principal components.
    """

    mean: Tensor
    projection: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Raw [..., c] to compared float32 [..., d], unit length."""
        return self.compared(torch.nn.functional.normalize(features.float(), dim=-1))

    def compared(self, unit: Tensor) -> Tensor:
        """The same of features float32 [..., c] that have unit length already."""
        return self.centred(unit @ self.projection)

    def centred(self, projected: Tensor, out: Tensor | None = None) -> Tensor:
        """The same of features float32 [..., d] that are projected already, but not centred."""
        found = torch.sub(projected, self.mean @ self.projection, out=out)
        return found.div_(torch.linalg.vector_norm(found, dim=-1, keepdim=True).clamp_min_(1e-12))

    def contrast(self, features: Tensor, valid: Tensor, projected: Tensor | None = None) -> Tensor:
        """How much the places of an image differ in what is compared, float32 [n] in [0, 1]: 0 if in nothing.

        It is the variance of the tokens within the image, of which what is compared has length 1 before the
        projection.

        Args:
            features: float32 [n, g, g, c], unit length.
            valid: [n, g, g], 1 on the image, 0 on its padding.
            projected: float32 [n, g, g, d], features · projection, if it is known.
        """
        weight = valid.flatten(1)
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1)
        compared = (features @ self.projection if projected is None else projected).flatten(1, 2)
        mean = torch.einsum("nk,nkd->nd", weight, compared)
        squared = (weight * torch.linalg.vector_norm(compared, dim=-1) ** 2).sum(1)
        spread = (squared - (mean**2).sum(1)).clamp_min(0)
        used = (self.projection != 0).any(1)
        length = weight
        if not bool(used.all()):
            length = weight * torch.linalg.vector_norm(features.flatten(1, 2) * used, dim=-1) ** 2
        found: Tensor = spread / length.sum(1).clamp_min(1e-9)
        return found


def fit_basis(
    features: Tensor,
    valid: Tensor,
    config: FeaturesConfig,
    position: Tensor | None = None,
    within: Tensor | None = None,
) -> Basis:
    """Principal components of a set's features.

    Args:
        features: float32 [n, g, g, c], unit length.
        valid: [n, g, g], 1 on the image, 0 on its padding.
        config: how many components to keep at most.
        position: float32 [k, c], orthonormal directions that tell where a token lies rather than what it
            shows (see `congeal.backbones.position_bias`); they are taken out first. None: nothing is.
        within: bool [c], the channels that are compared; None: all are. There are as many components either
            way: those for which there is nothing left are zero.

    Returns:
        The basis; deterministic, with each component's largest entry positive.
    """
    channels = config.channels
    weight = (valid / valid.sum().clamp_min(1)).flatten()
    flat = features.flatten(0, 2)
    mean = weight @ flat
    # Σ weight · (x − mean)(x − mean)ᵀ, without the centred features themselves.
    scatter = (flat * weight[:, None]).T @ flat - mean[:, None] * mean
    if position is not None:
        scatter = scatter - (scatter @ position.T) @ position
        scatter = scatter - position.T @ (position @ scatter)
        channels = min(channels, features.shape[-1] - len(position))
    if within is not None:
        scatter = scatter * within * within[:, None]
    values, vectors = torch.linalg.eigh((scatter + scatter.T) / 2)
    projection = vectors.flip(1)[:, :channels]
    if within is not None:
        left = values.flip(0)[:channels] > config.least_variance * values[-1]
        projection = projection * left * within[:, None]
    return Basis(mean, signed(projection))
