"""From tensors in oriented frames to the result that users hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.atlas import GUIDED, NOTHING_IN_COMMON, Alignment, Atlas, Exemplars
from congeal.dense import DenseMaps
from congeal.imageset import ImageSet
from congeal.quality import Figures, backward_likeness, probability
from congeal.registration import Oriented
from congeal.warps import Warps, flip, grid, sample, to_oriented


@dataclass(frozen=True)
class Verdict:
    """What was decided about a set: its status, each image's support [n] and fault, margin and medoid."""

    status: str
    support: Tensor
    reasons: list[str | None]
    margin: float
    medoid: int


def build_atlas(
    images: ImageSet, faced: Oriented, warps: Warps, exemplars: Exemplars, resolution: int
) -> Atlas:
    """The weighted mean of the members' features in place, in the backbone's space, and of their saliency."""
    n = len(images)
    places = to_oriented(warps, grid(resolution, 1.0, faced.features.device).expand(n, -1, -1, -1))
    shown = sample(faced.saliency[..., None], places, faced.extent, "zeros") * faced.weight.view(-1, 1, 1, 1)
    raw = images.raw_facing(warps.mirrored)
    total = torch.zeros((resolution, resolution, raw.shape[-1]), device=raw.device)
    weight = shown + 1e-3 * faced.weight.view(-1, 1, 1, 1)
    for image in range(n):  # one at a time: the raw features of a large set would not fit twice
        one = slice(image, image + 1)
        total += (sample(raw[one], places[one], faced.extent) * weight[one])[0]
    return Atlas(
        features=torch.nn.functional.normalize(total, dim=-1).half().cpu().numpy(),
        saliency=(shown.sum(0)[..., 0] / faced.weight.sum().clamp_min(1e-6)).cpu().numpy(),
        mean=images.basis.mean.cpu().numpy(),
        projection=images.basis.projection.cpu().numpy(),
        discriminant=torch.cat([images.discriminant.direction, images.discriminant.offset[None]])
        .cpu()
        .numpy(),
        exemplars=exemplars,
    )


def assemble(
    atlas: Atlas,
    warps: Warps,
    maps: DenseMaps,
    faced: Oriented,
    figures: Figures,
    verdict: Verdict,
) -> Alignment:
    """Maps in plain frames, at the resolutions they have, with everything as numpy."""
    likeness = figures.likeness
    if verdict.status == NOTHING_IN_COMMON:
        likeness = torch.zeros_like(likeness)
    smooth = atlas.deformation != GUIDED
    sure = probability(backward_likeness(maps, likeness, faced.saliency, faced.extent), smooth=smooth)
    forward = flip(maps.forward, warps.mirrored)
    cells = grid(forward.shape[1], 1.0, forward.device).expand(len(forward), -1, -1, -1)
    # A mirrored image's rows run the other way in its oriented frame.
    turned = warps.mirrored.view(-1, 1, 1)
    backward = torch.where(turned[..., None], maps.backward.flip(2), maps.backward)
    sure = torch.where(turned, sure.flip(2), sure)
    sign = torch.where(warps.mirrored, -1.0, 1.0)
    return Alignment(
        status=verdict.status,
        atlas=atlas,
        mirrored=warps.mirrored.cpu().numpy(),
        rotation=warps.a.angle().cpu().numpy(),
        scale=warps.a.abs().cpu().numpy(),
        translation=torch.stack([warps.b.real * sign, warps.b.imag], -1).cpu().numpy(),
        forward=forward.cpu().numpy(),
        forward_confidence=probability(sample(likeness[..., None], cells)[..., 0], smooth=smooth)
        .cpu()
        .numpy(),
        backward=backward.cpu().numpy(),
        backward_confidence=sure.cpu().numpy(),
        residual=figures.residual.cpu().numpy(),
        cycle_error=figures.cycle_error.cpu().numpy(),
        fold_fraction=figures.fold_fraction.cpu().numpy(),
        coverage=figures.coverage.cpu().numpy(),
        support=verdict.support.cpu().numpy(),
        outlier=torch.tensor([reason is not None for reason in verdict.reasons]).numpy(),
        outlier_reason=verdict.reasons,
        margin=verdict.margin,
        medoid=verdict.medoid,
    )
