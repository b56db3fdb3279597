"""Images fitted to an atlas that stays as it is: newcomers, and what a set has beyond its atlas' members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.assembly import Verdict, assemble
from congeal.atlas import GUIDED, OK, RIGID, Alignment, Atlas, Exemplars
from congeal.dense import guided, resampled, warped
from congeal.exemplars import as_tokens, posed
from congeal.features import Basis
from congeal.imageset import Arrays, ImageSet, prepare, read_inputs
from congeal.matching import Similarities, select_tokens
from congeal.posing import FACING_PRIOR, TOKENS
from congeal.quality import judge, measure
from congeal.registration import FINEST, Template, follow
from congeal.saliency import Discriminant
from congeal.turns import TURNS, Turned, Whole, plain
from congeal.warps import grid, rigid, sample

Array = npt.NDArray[np.floating]


def fit(
    atlas: Atlas,
    features: Array,
    saliency: Array,
    *,
    mirrored_features: Array | None = None,
    mirrored_saliency: Array | None = None,
    valid: Array | None = None,
    turned: Turned | None = None,
    extent: float = 1.0,
    map_resolution: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Alignment:
    """Fit images to a finished atlas; each is fitted on its own, so the order and the company do not matter.

    Args:
        atlas: of an earlier `congeal.solver.align`.
        features, saliency, mirrored_features, mirrored_saliency, valid, turned, extent, map_resolution,
            device: as of `congeal.solver.align`.
        seed: fixes the drawing of hypotheses.

    Returns:
        An alignment with the same atlas.

    Raises:
        CongealError: if the arrays do not fit each other.
    """
    arrays = Arrays(features, saliency, mirrored_features, mirrored_saliency, valid)
    if turned is not None:
        turns = _best_turns(atlas, arrays, turned, extent, seed, device)
        arrays = turned.chosen(arrays, turns, extent)
        return plain(_fitted(atlas, arrays, extent, map_resolution, seed, device), turns)
    return _fitted(atlas, arrays, extent, map_resolution, seed, device)


def _into(atlas: Atlas, arrays: Arrays, extent: float, device: str | torch.device) -> ImageSet:
    """Images in the atlas' basis, with what is salient by its lights."""
    inputs = read_inputs(arrays, extent, device)
    basis = Basis(
        torch.as_tensor(atlas.mean, device=device), torch.as_tensor(atlas.projection, device=device)
    )
    learned = torch.as_tensor(atlas.discriminant, device=device)
    return prepare(inputs, basis, Discriminant(learned[:-1], learned[-1]))


def _best_turns(
    atlas: Atlas, upright: Arrays, turned: Turned, extent: float, seed: int, device: str | torch.device
) -> Whole:
    """By how many eighths each image has to be turned to look most like the atlas' exemplars, int64 [n]."""
    scores = []
    for turn in range(TURNS):
        arrays = turned.chosen(upright, np.full(len(upright.features), turn), extent)
        found = _faced_poses(atlas.exemplars, _into(atlas, arrays, extent, device), seed)
        scores.append(found.pose.score)
    best: Whole = torch.stack(scores).argmax(0).cpu().numpy()
    return best


def _fitted(
    atlas: Atlas,
    arrays: Arrays,
    extent: float,
    map_resolution: int,
    seed: int,
    device: str | torch.device,
) -> Alignment:
    images = _into(atlas, arrays, extent, device)
    inputs = images.inputs
    template = _template(atlas, images.basis, min(inputs.valid.shape[1], FINEST))
    found = _faced_poses(atlas.exemplars, images, seed)
    mirrored, support = found.mirrored, found.pose.score / found.total.clamp_min(1e-9)
    standing = found.pose.score / atlas.evidence if atlas.evidence > 0 else torch.ones_like(support)
    reasons = judge(standing, inputs.finite)
    faced = images.facing(mirrored, inputs.finite.float())
    warps = rigid(found.pose.a, found.pose.b, mirrored, template.features.shape[1])
    if atlas.deformation != RIGID:
        warps = follow(warps, faced, template)
    if atlas.deformation == GUIDED:
        matched = guided(template, faced, warps)
        figures = measure(template, faced, warps, matched.forward)
        maps = resampled(matched, extent, atlas.saliency.shape[0], map_resolution)
    else:
        figures = measure(template, faced, warps)
        maps = warped(warps, atlas.saliency.shape[0], map_resolution)
    score, other = found.pose.score.sum(), found.other.sum()
    margin = float((score - other) / (score + other).clamp_min(1e-9))
    verdict = Verdict(OK, support, reasons, margin, int((support * inputs.finite).argmax()))
    return assemble(atlas, warps, maps, faced, figures, verdict)


def usual_evidence(exemplars: Exemplars, members: Tensor, images: ImageSet, good: Tensor, seed: int) -> float:
    """What the good images' matches with an exemplar come to, in tokens: the median.

    members: int64 [e], which images the exemplars are.
    """
    if not bool(good.any()) or len(members) < 2:
        return 0.0
    without = torch.full((len(images),), -1, device=members.device)
    without[members] = torch.arange(len(members), device=members.device)
    found = _faced_poses(exemplars, images, seed, without)
    return float(found.pose.score[good].median())


def _template(atlas: Atlas, basis: Basis, resolution: int) -> Template:
    device = basis.mean.device
    cells = grid(resolution, 1.0, device)[None]
    features = basis(torch.as_tensor(atlas.features, device=device))[None]
    saliency = torch.as_tensor(atlas.saliency, device=device)[None, ..., None]
    unit = torch.nn.functional.normalize(sample(features, cells), dim=-1)
    return Template(unit, sample(saliency, cells)[..., 0])


@dataclass(frozen=True)
class _Found:
    """n images in their better facing: pose, the other facing's score [n], the weight of all matches [n]."""

    mirrored: Tensor
    pose: Similarities
    other: Tensor
    total: Tensor


def _faced_poses(exemplars: Exemplars, images: ImageSet, seed: int, without: Tensor | None = None) -> _Found:
    extent = images.inputs.extent
    known = as_tokens(exemplars, images.features.device)
    plain, plain_total = posed(
        known, select_tokens(images.features, images.saliency, extent, TOKENS), seed, without
    )
    turned, turned_total = posed(
        known, select_tokens(images.mirrored, images.mirrored_saliency, extent, TOKENS), seed, without
    )
    mirrored = turned.score * (1 - FACING_PRIOR) > plain.score * (1 + FACING_PRIOR)
    pose = Similarities(
        torch.where(mirrored, turned.a, plain.a),
        torch.where(mirrored, turned.b, plain.b),
        torch.where(mirrored, turned.score, plain.score),
    )
    other = torch.where(mirrored, plain.score, turned.score)
    return _Found(mirrored, pose, other, torch.where(mirrored, turned_total, plain_total))
