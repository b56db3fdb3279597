"""The joint alignment of one set: from dense features to an atlas and maps, in closed-form steps.

1. Co-saliency: what the images have in common. 2. Mutual matches between all pairs, mirrored or not, each
explained by a robust similarity. 3. Synchronisation: one facing and one pose an image. 4. The atlas as the
weighted mean of the features in place, and a flow that grows finer as the atlas grows sharper; it is kept
only if it explains clearly more of the pairwise matches than the poses alone. 5. Confidence and quality.

The atlas in feature space is Neural Congealing's (Ofri-Amar et al., CVPR 2023, arXiv 2302.03956); the
synchronisation by eigenvectors is Singer's (2011) and Pachauri et al.'s (2013).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.assembly import Verdict, assemble, build_atlas
from congeal.atlas import NOTHING_IN_COMMON, OK, SINGLE, Alignment
from congeal.fitting import fit, usual_evidence
from congeal.imageset import ImageSet, prepare, read_inputs
from congeal.matching import grid_positions
from congeal.posing import (
    PairEvidence,
    centre_atlas,
    gather_evidence,
    matched_tokens,
    oriented_matches,
    solve_poses,
)
from congeal.quality import judge, measure
from congeal.registration import FINEST, Oriented, as_placed, follow, leave_one_out, pair_agreement
from congeal.warps import Warps, rigid

__all__ = ["align", "fit"]

Array = npt.NDArray[np.floating]

COMMON = 3.0  # matched tokens that two images of a set share at least; unrelated images come to about 1
AGREEMENT_TOLERANCE = 0.03  # frame units: half a token at 32 tokens a side


def align(
    features: Array,
    saliency: Array,
    *,
    mirrored_features: Array | None = None,
    mirrored_saliency: Array | None = None,
    position: Array | None = None,
    valid: Array | None = None,
    extent: float = 1.0,
    resolution: int = 64,
    map_resolution: int = 64,
    seed: int = 0,
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
        extent: half the side of the token grid in frame units (see `congeal.coordinates`).
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the maps from image to atlas.
        seed: fixes the drawing of hypotheses.
        device: where to compute.

    Returns:
        The alignment. An image without finite features is an outlier, a set of one its own atlas, a set with
        nothing in common is called that: none of them is an error.

    Raises:
        CongealError: if the arrays do not fit each other.
    """
    inputs = read_inputs(features, saliency, mirrored_features, mirrored_saliency, valid, extent, device)
    nuisance = None if position is None else torch.as_tensor(position, device=device).float()
    images = prepare(inputs, position=nuisance)
    if int(inputs.finite.sum()) < 2:
        return _alone(images, resolution, map_resolution)
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
    faced = images.facing(poses.mirrored, (good if status == OK else inputs.finite).float())
    cells = grid_positions(faced.saliency.shape[1], extent, faced.features.device)
    a, b = centre_atlas(poses.a, poses.b, faced.saliency.flatten(1), cells, faced.weight)
    warps = rigid(a, b, poses.mirrored, min(faced.saliency.shape[1], FINEST))
    if status == OK:
        warps = _refined(warps, faced, evidence, good)
    template, _ = leave_one_out(faced, warps)
    medoid = int((standing * (good + 1e-3)).argmax())
    verdict = Verdict(status, poses.support, reasons, margin, medoid)
    atlas = build_atlas(images, faced, warps, resolution)
    flexible = bool(warps.displacement.abs().max() > 0)
    atlas = replace(atlas, evidence=usual_evidence(atlas, images, good, seed), flexible=flexible)
    return assemble(atlas, warps, faced, measure(template, faced, warps), verdict, map_resolution)


def _refined(warps: Warps, faced: Oriented, evidence: PairEvidence, good: Tensor) -> Warps:
    """The warps with a flow, if the pairwise matches of the good images bear it out; else as they are."""
    matches = oriented_matches(evidence, warps.mirrored)
    keep = good[evidence.first] & good[evidence.second]
    matches = replace(
        matches, first=matches.first[keep], second=matches.second[keep], weight=matches.weight[keep]
    )
    first, second = evidence.first[keep], evidence.second[keep]
    bent = follow(warps, faced)
    before = pair_agreement(warps, first, second, matches, AGREEMENT_TOLERANCE)
    after = pair_agreement(bent, first, second, matches, AGREEMENT_TOLERANCE)
    # The better the poses alone explain the matches to within half a token, the more of what is left is the
    # tokens' own coarseness, and the more a flow must gain to be more than an imitation of that.
    return bent if after > (1.05 + 0.6 * before) * before else warps


def _alone(images: ImageSet, resolution: int, map_resolution: int) -> Alignment:
    """The answer for a set in which at most one image can be used: it is its own atlas."""
    inputs, device = images.inputs, images.features.device
    n = len(images)
    still = torch.zeros(n, dtype=torch.bool, device=device)
    faced = images.facing(still, inputs.finite.float())
    one = torch.ones(n, dtype=torch.complex64, device=device)
    cells = grid_positions(faced.saliency.shape[1], inputs.extent, device)
    a, b = centre_atlas(one, torch.zeros_like(one), faced.saliency.flatten(1), cells, faced.weight)
    warps = rigid(a, b, still, min(faced.saliency.shape[1], FINEST))
    atlas = build_atlas(images, faced, warps, resolution)
    # There are no others to judge it by: it is compared with itself.
    figures = measure(as_placed(faced, warps), faced, warps)
    support = torch.ones(n, device=device)
    reasons = judge(support, inputs.finite)
    medoid = int(inputs.finite.float().argmax())
    status = SINGLE if bool(inputs.finite.any()) else NOTHING_IN_COMMON
    verdict = Verdict(status, support, reasons, 0.0, medoid)
    return assemble(atlas, warps, faced, figures, verdict, map_resolution)
