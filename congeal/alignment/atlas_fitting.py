"""Images fitted to an atlas that stays as it is: newcomers, and what a set has beyond its atlas' members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import Arrays, ImageSet, prepare, read_inputs
from congeal.alignment.inputs.oriented import FINEST
from congeal.alignment.inputs.rotated_views import TURNS, Turned, Whole, plain
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.maps.flow_registration import Template, always, follow
from congeal.alignment.maps.map_batches import map_out
from congeal.alignment.maps.postprocess import assemble
from congeal.alignment.model import GUIDED, MEANINGLESS, OK, RIGID, Alignment, Atlas, Exemplars, Verdict
from congeal.alignment.poses.exemplars import as_known, posed
from congeal.alignment.poses.outliers import judge
from congeal.alignment.poses.pairwise_matching import Similarities
from congeal.alignment.poses.pose_estimation import FACING_PRIOR
from congeal.geometry.frames import check_cells
from congeal.geometry.warps import grid, rigid, sample

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
        atlas: of an earlier `congeal.alignment.solver.align`.
        features, saliency, mirrored_features, mirrored_saliency, valid, turned: as of
            `congeal.alignment.solver.align`.
        extent, map_resolution, device: as of `congeal.alignment.solver.align`.
        seed: fixes the drawing of hypotheses.

    Returns:
        An alignment with the same atlas.

    Raises:
        CongealError: if the arrays do not fit each other.
    """
    check_cells(map_resolution, "map_resolution")
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
    return prepare(
        inputs, basis, Discriminant(learned[:-1], learned[-1]), least_contrast=atlas.least_contrast
    )


def _best_turns(
    atlas: Atlas, upright: Arrays, turned: Turned, extent: float, seed: int, device: str | torch.device
) -> Whole:
    """By how many eighths each image has to be turned to look most like the atlas' exemplars, int64 [n]."""
    scores = []
    for turn in range(TURNS):
        arrays = turned.chosen(upright, np.full(len(upright.features), turn), extent)
        company = Company.of(_into(atlas, arrays, extent, device))
        found = _faced_poses([atlas.exemplars], company, [seed])
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
    prepared = _into(atlas, arrays, extent, device)
    template = _template(atlas, prepared.basis, min(prepared.inputs.valid.shape[1], FINEST))
    images = Company.of(prepared)
    found = _faced_poses([atlas.exemplars], images, [seed])
    mirrored, support = found.mirrored, found.pose.score / found.total.clamp_min(1e-9)
    standing = found.pose.score / atlas.evidence if atlas.evidence > 0 else torch.ones_like(support)
    reasons = judge(standing, images.sound, images.blank)
    if atlas.status in MEANINGLESS:
        reasons = [reason or MEANINGLESS[atlas.status] for reason in reasons]
    faced = images.facing(mirrored, images.sound.float())
    warps = rigid(found.pose.a, found.pose.b, mirrored, template.features.shape[1])
    if atlas.deformation != RIGID:
        warps = follow(warps, faced, template)
    one_by_one = torch.full_like(images.sound, atlas.deformation == GUIDED)
    resolution = atlas.saliency.shape[0]
    maps, figures = map_out(always(template), faced, warps, one_by_one, resolution, map_resolution)
    score, other = found.pose.score.sum(), found.other.sum()
    margin = float((score - other) / (score + other).clamp_min(1e-9))
    status = atlas.status if atlas.status in MEANINGLESS else OK
    verdict = Verdict(status, support, reasons, margin, int((support * images.sound).argmax()))
    return assemble([atlas], [verdict], images.members, warps, maps, faced, figures)[0]


def usual_evidence(
    exemplars: Sequence[Exemplars],
    kept: Sequence[Tensor],
    images: Company,
    good: Tensor,
    seeds: Sequence[int],
) -> list[float]:
    """What the good images' matches with an exemplar come to in each set, in tokens: the median.

    Args:
        exemplars: of each set.
        kept: which images of their set they are, int64 [e] on the CPU.
        images: of all sets.
        good: bool [n].
        seeds: of each set.
    """
    without = torch.full((len(good),), -1)
    count = 0
    for members, rows in zip(kept, images.members.slices, strict=True):
        without[rows.start + members] = torch.arange(count, count + len(members))
        count += len(members)
    score = _faced_poses(exemplars, images, seeds, without.to(good.device)).pose.score.cpu()
    found, heard = [], good.cpu()
    for members, rows in zip(kept, images.members.slices, strict=True):
        usual = score[rows][heard[rows]]
        found.append(float(usual.median()) if len(usual) and len(members) > 1 else 0.0)
    return found


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


def _faced_poses(
    exemplars: Sequence[Exemplars], images: Company, seeds: Sequence[int], without: Tensor | None = None
) -> _Found:
    known = as_known(exemplars, images.sound.device)
    plain, plain_total = posed(known, images.tokens, images.members, seeds, without)
    turned, turned_total = posed(known, images.mirrored_tokens, images.members, seeds, without)
    mirrored = turned.score * (1 - FACING_PRIOR) > plain.score * (1 + FACING_PRIOR)
    pose = Similarities(
        torch.where(mirrored, turned.a, plain.a),
        torch.where(mirrored, turned.b, plain.b),
        torch.where(mirrored, turned.score, plain.score),
    )
    other = torch.where(mirrored, plain.score, turned.score)
    return _Found(mirrored, pose, other, torch.where(mirrored, turned_total, plain_total))
