"""From tensors in oriented frames to the results that users hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import ImageArrays, raw_oriented
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import (
    Figures,
    backward_likeness,
    lower_where_it_folds,
    probability,
)
from congeal.alignment.maps.guided_matching import DenseMaps
from congeal.alignment.maps.point_evidence import level_of
from congeal.alignment.model import SALIENT, Alignment, Atlas, Exemplars, Mixture, Verdict
from congeal.alignment.outcomes import MEANINGLESS
from congeal.geometry.chunking import windows
from congeal.geometry.complex_math import length
from congeal.geometry.interpolation import corners, weighted_rows
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps, flip, grid, sample, to_oriented
from congeal.transfer.forward_backward_error import forward_backward_error


@dataclass(frozen=True)
class AtlasSource:
    """What an atlas is made of: a set's arrays, and what was learned on them.

    Attributes:
        mixture, weighed: as of `congeal.alignment.selection.feature_selection.Choice`.
        least_contrast: of an image that is not blank.
    """

    arrays: ImageArrays
    basis: Basis
    discriminant: Discriminant
    least_contrast: float = 0.0
    mixture: Mixture = ()
    weighed: Mapping[Mixture, float] = field(default_factory=dict)


def build_atlas(
    source: AtlasSource,
    oriented: Oriented,
    warps: Warps,
    exemplars: Exemplars,
    resolution: int,
    background_weight: float,
) -> Atlas:
    """The weighted mean of a set's features in place, in the backbone's space, and of its saliency."""
    n, g = oriented.saliency.shape[:2]
    device, c = oriented.saliency.device, len(source.basis.mean)
    total = torch.zeros((resolution, resolution, c), device=device)
    saliency = torch.zeros((resolution, resolution), device=device)
    cells = grid(resolution, 1.0, device)
    # Raw features are wide, and in memory only for as long as they are looked at.
    for window in windows(n, 4 * 2 * c * g**2, device):
        some = oriented[window]
        places = to_oriented(warps[window], cells.expand(len(some.weight), -1, -1, -1))
        weight = some.weight.view(-1, 1, 1)
        shown = sample(some.saliency[..., None], places, some.extent, "zeros")[..., 0] * weight
        raw = raw_oriented(source.arrays, window, warps.mirrored[window]).flatten(0, 2)
        norms = torch.linalg.vector_norm(raw, dim=-1).clamp_min_(1e-12)
        index, share = corners(places, g, some.extent)
        index.add_(torch.arange(len(some), device=device).view(-1, 1, 1, 1) * g**2)
        share = share * (shown + background_weight * weight)[..., None] / norms[index]
        # All images' shares of a cell are one weighted sum.
        of_cell = (part.permute(1, 2, 0, 3).flatten(2) for part in (index, share))
        total += weighted_rows(raw, *of_cell)
        saliency += shown.sum(0)
    learned = source.discriminant
    return Atlas(
        features=torch.nn.functional.normalize(total, dim=-1).half().cpu().numpy(),
        saliency=(saliency / oriented.weight.sum().clamp_min(1e-6)).cpu().numpy(),
        mean=source.basis.mean.cpu().numpy(),
        projection=source.basis.projection.cpu().numpy(),
        discriminant=torch.cat([learned.direction, learned.offset[None]]).cpu().numpy(),
        exemplars=exemplars,
        least_contrast=source.least_contrast,
        mixture=source.mixture,
        weighed=source.weighed,
    )


def assemble(
    atlases: Sequence[Atlas],
    verdicts: Sequence[Verdict],
    members: Membership,
    warps: Warps,
    maps: DenseMaps,
    oriented: Oriented,
    figures: Figures,
    terms: Tensor,
    config: ConfidenceConfig,
) -> list[Alignment]:
    """Maps in plain frames, at the resolutions they have, with everything as numpy; a result a set.

    terms: float32 [n, s, s, 3], of `congeal.alignment.maps.point_evidence.PointEvidence`.
    """
    likeness, owner = figures.likeness, members.owner
    nothing = torch.tensor([verdict.status in MEANINGLESS for verdict in verdicts])
    likeness = torch.where(nothing.to(owner.device)[owner].view(-1, 1, 1), 0.0, likeness)
    level = torch.tensor([level_of(atlas, config) for atlas in atlases]).to(owner.device)
    added = level.float()[owner].view(-1, 1, 1)

    def confidence(of: Tensor, at: Tensor) -> Tensor:
        return probability(of, sample(terms, at), added, config)

    cells = grid(maps.forward.shape[1], 1.0, owner.device).expand(len(maps.forward), -1, -1, -1)
    back = backward_likeness(maps, likeness, oriented.saliency, oriented.extent, config)
    sure = confidence(back, maps.backward)
    onward = confidence(sample(likeness[..., None], cells)[..., 0], cells)
    forward = flip(maps.forward, warps.mirrored)
    # A mirrored image's rows run the other way in its oriented frame.
    turned = warps.mirrored.view(-1, 1, 1)
    sign = torch.where(warps.mirrored, -1.0, 1.0)
    per_image = {
        "mirrored": warps.mirrored,
        "rotation": torch.atan2(warps.a.imag.double(), warps.a.real.double()).float(),
        "scale": length(warps.a),
        "translation": torch.stack([warps.b.real * sign, warps.b.imag], -1),
        "forward": forward,
        "forward_confidence": lower_where_it_folds(onward, maps.forward, config.fold_factor),
        "backward": torch.where(turned[..., None], maps.backward.flip(2), maps.backward),
        "backward_confidence": torch.where(turned, sure.flip(2), sure),
        "residual": figures.residual,
        "fold_fraction": figures.fold_fraction,
        "coverage": figures.coverage,
    }
    arrays = {name: values.cpu() for name, values in per_image.items()}

    def of_set(rows: slice) -> dict[str, Any]:
        # Copies: a set's result must not keep the others' in memory.
        return {name: values[rows].clone().numpy() for name, values in arrays.items()}

    def cycle_error(atlas: Atlas, rows: slice) -> npt.NDArray[np.float32]:
        return forward_backward_error(
            arrays["forward"][rows].numpy(), arrays["backward"][rows].numpy(), atlas.saliency, SALIENT
        )

    return [
        Alignment(
            status=verdict.status,
            atlas=atlas,
            **of_set(rows),
            cycle_error=cycle_error(atlas, rows),
            support=verdict.support.cpu().numpy(),
            outlier=torch.tensor([reason is not None for reason in verdict.reasons]).numpy(),
            outlier_reason=verdict.reasons,
            margin=verdict.margin,
            medoid=verdict.medoid,
        )
        for atlas, verdict, rows in zip(atlases, verdicts, members.slices, strict=True)
    ]
