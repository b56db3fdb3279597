"""The joint alignment of one set: from dense features to an atlas and maps, in closed-form steps.

1. Co-saliency: what the images have in common. 2. Mutual matches between all pairs, mirrored or not, each
explained by a robust similarity. 3. Synchronisation: one facing and one pose an image. 4. The atlas as the
weighted mean of the features in place, and a flow that grows finer as the atlas grows sharper. 5. As much
freedom as free matches between the images bear out: poses alone, the flow, or matching guided by it.
6. Confidence and quality.

The atlas in feature space is Neural Congealing's (Ofri-Amar et al., CVPR 2023, arXiv 2302.03956); the
synchronisation by eigenvectors is Singer's (2011) and Pachauri et al.'s (2013).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.anchoring import Anchor, hold
from congeal.assembly import Verdict, assemble, build_atlas
from congeal.atlas import FLOW, GUIDED, NOTHING_IN_COMMON, OK, RIGID, SINGLE, Alignment
from congeal.dense import guided, resampled, warped
from congeal.exemplars import keep
from congeal.fitting import fit, usual_evidence
from congeal.imageset import Arrays, ImageSet, prepare, read_inputs
from congeal.matching import grid_positions
from congeal.posing import (
    centre_atlas,
    gather_evidence,
    matched_tokens,
    solve_poses,
)
from congeal.quality import judge, measure
from congeal.registration import FINEST, Oriented, as_placed, follow, leave_one_out
from congeal.reliability import error_of_matching, error_of_warps, explained, travel
from congeal.synchronization import Poses
from congeal.turning import find_turns
from congeal.turns import Turned, plain, turned_anchor
from congeal.warps import Warps, rigid

__all__ = ["align", "fit"]

Array = npt.NDArray[np.floating]

COMMON = 3.0  # matched tokens that two images of a set share at least; unrelated images come to about 1
FLOW_GAIN = 0.01  # share of free matches that a flow must explain beyond those that the poses explain
GUIDED_GAIN = 0.1  # by how much more often than matching warps must go astray for matching to take over
SYMMETRIC = 0.15  # a set whose margin is less looks the same in a mirror


def align(
    features: Array,
    saliency: Array,
    *,
    mirrored_features: Array | None = None,
    mirrored_saliency: Array | None = None,
    position: Array | None = None,
    valid: Array | None = None,
    turned: Turned | None = None,
    extent: float = 1.0,
    resolution: int = 64,
    map_resolution: int = 64,
    seed: int = 0,
    anchor: Anchor | None = None,
    device: str | torch.device = "cpu",
) -> Alignment:
    """Align a set of images, given their dense features.

    Args:
        features: [n, g, g, c], float16 or float32, of the images as they are.
        saliency: [n, g, g], non-negative: class-token attention or any other prior; a constant says nothing.
        mirrored_features: the same of the images mirrored left to right; absent, the maps are mirrored
            instead, which is a little less exact.
        mirrored_saliency: the same for the saliency.
        position: float32 [k, c] from `congeal.position.position_directions`; absent, nothing is taken out.
        valid: [n, g, g], 1 where a token lies on the image, 0 on its padding; absent, all are valid.
        turned: the features of the same images at seven other angles; given, things are found at any angle;
            absent, at up to about 45° from each other.
        extent: half the side of the token grid in frame units (see `congeal.coordinates`).
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the maps from image to atlas.
        seed: fixes the drawing of hypotheses.
        anchor: poses in an older solution: the atlas then lies as it did there, so that its places keep their
            meaning; absent, what the images have in common lies in its middle and fills it.
        device: where to compute.

    Returns:
        The alignment. An image without finite features is an outlier, a set of one its own atlas, a set with
        nothing in common is called that: none of them is an error.

    Raises:
        CongealError: if the arrays do not fit each other, or the anchor has another number of images.
    """
    arrays = Arrays(features, saliency, mirrored_features, mirrored_saliency, valid)
    nuisance = None if position is None else torch.as_tensor(position, device=device).float()
    turns = None
    if turned is not None:
        turns = find_turns(arrays, turned, position=nuisance, extent=extent, seed=seed, device=device)
        arrays = turned.chosen(arrays, turns, extent)
        anchor = None if anchor is None else turned_anchor(anchor, turns)
    images = prepare(read_inputs(arrays, extent, device), position=nuisance)
    aligned = _aligned(images, resolution, map_resolution, seed, anchor)
    return aligned if turns is None else plain(aligned, turns)


def _aligned(
    images: ImageSet, resolution: int, map_resolution: int, seed: int, anchor: Anchor | None
) -> Alignment:
    inputs, extent = images.inputs, images.inputs.extent
    if int(inputs.finite.sum()) < 2:
        return _alone(images, resolution, map_resolution, anchor)
    n = len(images)
    evidence = gather_evidence(
        images.features,
        images.mirrored,
        images.saliency,
        images.mirrored_saliency,
        extent,
        torch.Generator().manual_seed(seed),
    )
    poses, margin = solve_poses(n, evidence)
    shared = matched_tokens(n, evidence)
    usual = float(shared[inputs.finite].median())
    standing = shared * poses.support / max(usual, 1e-6)
    reasons = judge(standing, inputs.finite)
    status = OK
    if usual < COMMON or sum(reason is None for reason in reasons) < 2:
        status = NOTHING_IN_COMMON
        reasons = [reason or "the set has nothing in common that could be found" for reason in reasons]
    good = torch.tensor([reason is None for reason in reasons], device=inputs.features.device)
    poses, faced = _placed(poses, images, (good if status == OK else inputs.finite).float(), anchor)
    warps = rigid(poses.a, poses.b, poses.mirrored, min(faced.saliency.shape[1], FINEST))
    deformation = RIGID
    if status == OK:
        warps, deformation = _deformed(warps, faced, seed, symmetric=margin < SYMMETRIC)
    template, _ = leave_one_out(faced, warps)
    if deformation == GUIDED:
        matched = guided(template, faced, warps)
        figures = measure(template, faced, warps, matched.forward)
        maps = resampled(matched, extent, resolution, map_resolution)
    else:
        figures = measure(template, faced, warps)
        maps = warped(warps, resolution, map_resolution)
    medoid = int((standing * (good + 1e-3)).argmax())
    verdict = Verdict(status, poses.support, reasons, margin, medoid)
    exemplars, kept = keep(faced, warps, standing.argsort(descending=True, stable=True))
    evidence_of_members = usual_evidence(exemplars, kept, images, good, seed)
    atlas = build_atlas(images, faced, warps, exemplars, resolution)
    atlas = replace(atlas, evidence=evidence_of_members, deformation=deformation)
    return assemble(atlas, warps, maps, faced, figures, verdict)


def _placed(poses: Poses, images: ImageSet, weight: Tensor, anchor: Anchor | None) -> tuple[Poses, Oriented]:
    """Poses for an atlas that lies as the anchor says, or else about what the images have in common.

    weight: float32 [n], each image's say in the atlas.
    """
    held = None if anchor is None else hold(poses, anchor, weight * poses.support)
    if held is not None:
        return held, images.facing(held.mirrored, weight)
    faced = images.facing(poses.mirrored, weight)
    cells = grid_positions(faced.saliency.shape[1], faced.extent, faced.features.device)
    a, b = centre_atlas(poses.a, poses.b, faced.saliency.flatten(1), cells, weight)
    return replace(poses, a=a, b=b), faced


def _deformed(warps: Warps, faced: Oriented, seed: int, *, symmetric: bool) -> tuple[Warps, str]:
    """The warps with as much freedom as free matches between the images bear out: RIGID, FLOW or GUIDED.

    On a symmetric thing matches change sides and, every second time, come home nevertheless: there they are
    no measure of the warps, and following them would mix left with right.
    """
    bent = follow(warps, faced)
    journeys = travel(faced, torch.Generator().manual_seed(seed))
    if journeys is None:
        return warps, RIGID
    deformation = FLOW
    if explained(bent, journeys) < explained(warps, journeys) + FLOW_GAIN:
        bent, deformation = warps, RIGID
    if not symmetric and error_of_warps(bent, journeys) > error_of_matching(bent, journeys) + GUIDED_GAIN:
        deformation = GUIDED
    return bent, deformation


def _alone(images: ImageSet, resolution: int, map_resolution: int, anchor: Anchor | None) -> Alignment:
    """The answer for a set in which at most one image can be used: it is its own atlas."""
    inputs, device = images.inputs, images.features.device
    n = len(images)
    still = torch.zeros(n, dtype=torch.bool, device=device)
    one = torch.ones(n, dtype=torch.complex64, device=device)
    support = torch.ones(n, device=device)
    poses = Poses(still, one, torch.zeros_like(one), support, torch.zeros_like(support))
    poses, faced = _placed(poses, images, inputs.finite.float(), anchor)
    warps = rigid(poses.a, poses.b, poses.mirrored, min(faced.saliency.shape[1], FINEST))
    exemplars, _ = keep(faced, warps, inputs.finite.float().argsort(descending=True, stable=True))
    atlas = build_atlas(images, faced, warps, exemplars, resolution)
    # There are no others to judge it by: it is compared with itself.
    figures = measure(as_placed(faced, warps), faced, warps)
    reasons = judge(support, inputs.finite)
    medoid = int(inputs.finite.float().argmax())
    status = SINGLE if bool(inputs.finite.any()) else NOTHING_IN_COMMON
    verdict = Verdict(status, support, reasons, 0.0, medoid)
    maps = warped(warps, resolution, map_resolution)
    return assemble(atlas, warps, maps, faced, figures, verdict)
