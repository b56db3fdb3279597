"""What the pairs of one set's images settle: who belongs, and where everybody stands; on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import FINEST, Oriented
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.inputs.tokens import grid_positions
from congeal.alignment.model import MEANINGLESS, NOTHING_IN_COMMON, OK, SINGLE, Anchor, Verdict
from congeal.alignment.poses.common_object import Standing
from congeal.alignment.poses.frame_anchoring import hold
from congeal.alignment.poses.outliers import judge
from congeal.alignment.poses.pose_estimation import (
    PairEvidence,
    centre_atlas,
    gather_evidence,
    matched_tokens,
    solve_poses,
)
from congeal.alignment.poses.pose_synchronization import Poses
from congeal.geometry.warps import Warps, rigid

SURELY = 0.5  # saliency from which a token bears on where the atlas lies
COMMON = 3.0  # matched tokens that two images of a set share at least; unrelated images come to about 1


@dataclass(frozen=True)
class Shown:
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
class Settled:
    """What is settled about a set of n images; on the CPU.

    Attributes:
        poses: in the frame of the atlas.
        weight: float32 [n], each image's say in the atlas.
        standing: float32 [n], matches that agree with the image's pose, as a share of the set's usual.
        good: bool [n], who is no outlier by itself.
        usual: tokens' worth of matches that two of its images share.
        verdict: what users are told.
        otherwise: the same with facings on which pairs do not agree
            (`congeal.alignment.selection.mirror_selection`); None: they agree.
    """

    poses: Poses
    weight: Tensor
    standing: Tensor
    good: Tensor
    usual: float
    verdict: Verdict
    otherwise: Settled | None = None

    @property
    def order(self) -> Tensor:
        """The images, best standing first, int64 [n]."""
        return self.standing.argsort(descending=True, stable=True)


def settle_all(
    images: Company, seeds: Sequence[int], anchors: Sequence[Anchor | None] | None = None
) -> list[Settled]:
    """What the pairs of every set settle.

    seeds: of each set, for the drawing of hypotheses. anchors: of each; None: none has one.
    """
    evidence = gather_evidence(images.tokens, images.mirrored_tokens, images.members, seeds)
    held = anchors or [None] * len(seeds)
    return [settle(*given) for given in zip(evidence, shown_in(images), held, strict=True)]


def shown_in(images: Company) -> list[Shown]:
    """What is salient in each set."""
    saliency, mirrored = images.saliency.cpu(), images.mirrored_saliency.cpu()
    sound, blank = images.sound.cpu(), images.blank.cpu()
    return [
        Shown(saliency[rows], mirrored[rows], sound[rows], blank[rows], images.extent)
        for rows in images.members.slices
    ]


def settle(evidence: PairEvidence, shown: Shown, anchor: Anchor | None) -> Settled:
    """Poses from the evidence of all pairs, and who is an outlier."""
    n = len(shown.sound)
    if int(shown.sound.sum()) < 2:
        return _alone(shown, anchor)
    shared = matched_tokens(n, evidence)
    first, *others = (
        _judged(poses, margin, shared, shown, anchor) for poses, margin in solve_poses(n, evidence)
    )
    return replace(first, otherwise=next(iter(others), None))


def _judged(poses: Poses, margin: float, shared: Tensor, shown: Shown, anchor: Anchor | None) -> Settled:
    """Who belongs, by these poses; shared: float32 [n], the matched tokens of each image."""
    sound = shown.sound
    usual = float(shared[sound].median())
    standing = shared * poses.support / max(usual, 1e-6)
    reasons = judge(standing, sound, shown.blank)
    status = OK
    if usual < COMMON or sum(reason is None for reason in reasons) < 2:
        status = NOTHING_IN_COMMON
        reasons = [
            MEANINGLESS[status] if used else reason
            for reason, used in zip(reasons, sound.tolist(), strict=True)
        ]
    good = torch.tensor([reason is None for reason in reasons])
    weight = (good if status == OK else sound).float()
    medoid = int((standing * (good + 1e-3)).argmax())
    verdict = Verdict(status, poses.support, reasons, margin, medoid)
    return Settled(_placed(poses, shown, weight, anchor), weight, standing, good, usual, verdict)


def settle_anew(settled: Settled, shown: Shown, anchor: Anchor | None) -> Settled:
    """The same when less is found salient: the atlas lies about that.

    Where the thing is small, faint traces of saliency all over the images would outweigh it: they do not
    count.
    """
    saliency, mirrored = (part * (part > SURELY) for part in (shown.saliency, shown.mirrored))
    sure = replace(shown, saliency=saliency, mirrored=mirrored)
    return replace(settled, poses=_placed(settled.poses, sure, settled.weight, anchor))


def standing_of(settled: Sequence[Settled], device: torch.device) -> Standing:
    """Where the images of all sets stand."""
    poses = [one.poses for one in settled]
    return Standing(
        torch.cat([pose.mirrored for pose in poses]).to(device),
        torch.cat([pose.a for pose in poses]).to(device),
        torch.cat([pose.b for pose in poses]).to(device),
        torch.cat([one.weight for one in settled]).to(device),
    )


def placed(images: Company, settled: Sequence[Settled]) -> tuple[Oriented, Warps]:
    """The images in their facings, and warps that amount to their poses."""
    standing = standing_of(settled, images.sound.device)
    faced = images.facing(standing.mirrored, standing.weight)
    resolution = min(faced.saliency.shape[1], FINEST)
    return faced, rigid(standing.a, standing.b, standing.mirrored, resolution)


def _alone(shown: Shown, anchor: Anchor | None) -> Settled:
    """The answer for a set in which at most one image can be used: it is its own atlas."""
    sound, n = shown.sound, len(shown.sound)
    one, support = torch.ones(n, dtype=torch.complex64), torch.ones(n)
    still = torch.zeros(n, dtype=torch.bool)
    poses = Poses(still, one, torch.zeros_like(one), support)
    weight = sound.float()
    status = SINGLE if bool(sound.any()) else NOTHING_IN_COMMON
    verdict = Verdict(status, support, judge(support, sound, shown.blank), 0.0, int(weight.argmax()))
    return Settled(_placed(poses, shown, weight, anchor), weight, weight, sound, 0.0, verdict)


def _placed(poses: Poses, shown: Shown, weight: Tensor, anchor: Anchor | None) -> Poses:
    """Poses for an atlas that lies as the anchor says, or else about what the images have in common."""
    held = None if anchor is None else hold(poses, anchor, weight * poses.support)
    if held is not None:
        return held
    flag = poses.mirrored.view(-1, 1, 1)
    saliency = torch.where(flag, shown.mirrored, shown.saliency)
    cells = grid_positions(saliency.shape[1], shown.extent, saliency.device)
    a, b = centre_atlas(poses.a, poses.b, saliency.flatten(1), cells, weight)
    return replace(poses, a=a, b=b)
