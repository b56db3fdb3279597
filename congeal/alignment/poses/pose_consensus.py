"""Pose synchronisation and outlier decision for one set (CPU)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.poses import AtlasConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.tokens import grid_positions
from congeal.alignment.model import Anchor, Verdict
from congeal.alignment.outcomes import MEANINGLESS, NOTHING_IN_COMMON, OK, SINGLE
from congeal.alignment.poses.common_object import BatchPoses
from congeal.alignment.poses.frame_anchoring import anchored
from congeal.alignment.poses.outliers import outlier_reasons
from congeal.alignment.poses.pose_estimation import (
    PairEvidence,
    PairMatches,
    centre_atlas,
    gather_evidence,
    matched_tokens,
    solve_poses,
)
from congeal.alignment.poses.pose_synchronization import Poses
from congeal.geometry.warps import Warps, rigid


@dataclass(frozen=True)
class SetSaliency:
    """What is salient in a set's images; on the CPU.

    Attributes:
        saliency, mirrored: float32 [n, g, g], of the images and of their mirror images.
        sound: bool [n], the images that can be used.
        blank: bool [n], of the others those that show nothing.
        extent: half the side of the token grid in frame units.
    """

    saliency: Tensor
    mirrored: Tensor
    sound: Tensor
    blank: Tensor
    extent: float


@dataclass(frozen=True)
class Consensus:
    """What the pairs of a set of n images agree on; on the CPU.

    Attributes:
        poses: in the frame of the atlas.
        weight: float32 [n], of each image in the atlas.
        evidence: float32 [n], matches that agree with the image's pose, as a share of the set's usual.
        good: bool [n], who is no outlier by itself.
        shared: matches, in tokens, that two of its images usually share.
        verdict: the set's status and margin, each image's support and fault.
        alternative: the same with mirror states on which the pairs do not agree
            (`congeal.alignment.selection.mirror_selection`); None: they agree.
    """

    poses: Poses
    weight: Tensor
    evidence: Tensor
    good: Tensor
    shared: float
    verdict: Verdict
    alternative: Consensus | None = None

    @property
    def order(self) -> Tensor:
        """The images, most evidence first, int64 [n]."""
        return self.evidence.argsort(descending=True, stable=True)


def solve_sets(
    images: SetBatch,
    matches: PairMatches,
    seeds: Sequence[int],
    config: SolverConfig,
    anchors: Sequence[Anchor | None] | None = None,
) -> list[Consensus]:
    """What the pairs of every set agree on.

    matches: of the images' pairs. seeds: of each set, for the drawing of hypotheses. anchors: of each set;
    None: none has one.
    """
    evidence = gather_evidence(matches, images.members, seeds, config.matching)
    held = anchors or [None] * len(seeds)
    return [solve_set(*one, config) for one in zip(evidence, saliency_of(images), held, strict=True)]


def saliency_of(images: SetBatch) -> list[SetSaliency]:
    """What is salient in each set."""
    saliency, mirrored = images.saliency.cpu(), images.mirrored_saliency.cpu()
    sound, blank = images.sound.cpu(), images.blank.cpu()
    return [
        SetSaliency(saliency[rows], mirrored[rows], sound[rows], blank[rows], images.extent)
        for rows in images.members.slices
    ]


def solve_set(
    evidence: PairEvidence, salient: SetSaliency, anchor: Anchor | None, config: SolverConfig
) -> Consensus:
    """Poses from the evidence of the pairs that were compared, and who is an outlier."""
    n = len(salient.sound)
    if int(salient.sound.sum()) < 2:
        return _single(salient, anchor, config)
    shared = matched_tokens(n, evidence)
    first, *others = (
        _judged(poses, margin, shared, salient, anchor, config)
        for poses, margin in solve_poses(n, evidence, config.poses, config.deformation.symmetric_margin)
    )
    return replace(first, alternative=next(iter(others), None))


def _judged(
    poses: Poses,
    margin: float,
    matches: Tensor,
    salient: SetSaliency,
    anchor: Anchor | None,
    config: SolverConfig,
) -> Consensus:
    """Who belongs, by these poses; matches: float32 [n], the matched tokens of each image."""
    sound = salient.sound
    shared = float(matches[sound].median())
    evidence = matches * poses.support / max(shared, 1e-6)
    reasons = outlier_reasons(evidence, sound, salient.blank, config.outliers)
    status = OK
    if shared < config.outliers.least_shared_tokens or sum(reason is None for reason in reasons) < 2:
        status = NOTHING_IN_COMMON
        reasons = [
            MEANINGLESS[status] if used else reason
            for reason, used in zip(reasons, sound.tolist(), strict=True)
        ]
    good = torch.tensor([reason is None for reason in reasons])
    weight = (good if status == OK else sound).float()
    medoid = int((evidence * (good + 1e-3)).argmax())
    verdict = Verdict(status, poses.support, reasons, margin, medoid)
    framed = _framed(poses, salient, weight, anchor, config.atlas)
    return Consensus(framed, weight, evidence, good, shared, verdict)


def reframed(
    consensus: Consensus, salient: SetSaliency, anchor: Anchor | None, config: AtlasConfig
) -> Consensus:
    """The same with the atlas about what is found salient now.

    Where the common object is small, faint traces of saliency all over the images would outweigh it: they do
    not count.
    """
    saliency, mirrored = (
        part * (part > config.core_saliency) for part in (salient.saliency, salient.mirrored)
    )
    core = replace(salient, saliency=saliency, mirrored=mirrored)
    return replace(consensus, poses=_framed(consensus.poses, core, consensus.weight, anchor, config))


def batch_poses(consensus: Sequence[Consensus], device: torch.device) -> BatchPoses:
    """The poses of the images of all sets."""
    poses = [one.poses for one in consensus]
    return BatchPoses(
        torch.cat([pose.mirrored for pose in poses]).to(device),
        torch.cat([pose.a for pose in poses]).to(device),
        torch.cat([pose.b for pose in poses]).to(device),
        torch.cat([one.weight for one in consensus]).to(device),
    )


def orient(images: SetBatch, consensus: Sequence[Consensus], finest_cells: int) -> tuple[Oriented, Warps]:
    """The images in their mirror states, and warps that amount to their poses.

    finest_cells: of the warps' grid, at most.
    """
    poses = batch_poses(consensus, images.device)
    oriented = images.oriented(poses.mirrored, poses.weight)
    resolution = min(oriented.saliency.shape[1], finest_cells)
    return oriented, rigid(poses.a, poses.b, poses.mirrored, resolution)


def _single(salient: SetSaliency, anchor: Anchor | None, config: SolverConfig) -> Consensus:
    """The answer for a set in which at most one image can be used: it is its own atlas."""
    sound, n = salient.sound, len(salient.sound)
    one, support = torch.ones(n, dtype=torch.complex64), torch.ones(n)
    poses = Poses(torch.zeros(n, dtype=torch.bool), one, torch.zeros_like(one), support)
    weight = sound.float()
    status = SINGLE if bool(sound.any()) else NOTHING_IN_COMMON
    reasons = outlier_reasons(support, sound, salient.blank, config.outliers)
    verdict = Verdict(status, support, reasons, 0.0, int(weight.argmax()))
    framed = _framed(poses, salient, weight, anchor, config.atlas)
    return Consensus(framed, weight, weight, sound, 0.0, verdict)


def _framed(
    poses: Poses, salient: SetSaliency, weight: Tensor, anchor: Anchor | None, config: AtlasConfig
) -> Poses:
    """Poses for an atlas that lies as the anchor says, or else about what the images have in common."""
    held = None if anchor is None else anchored(poses, anchor, weight * poses.support, config)
    if held is not None:
        return held
    flag = poses.mirrored.view(-1, 1, 1)
    saliency = torch.where(flag, salient.mirrored, salient.saliency)
    cells = grid_positions(saliency.shape[1], salient.extent, saliency.device)
    a, b = centre_atlas(poses.a, poses.b, saliency.flatten(1), cells, weight, config)
    return replace(poses, a=a, b=b)
