"""Facings on which the pairs of a set do not agree: taken only where free matches bear them out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.maps.error_estimation import explained, travel
from congeal.alignment.maps.flow_registration import follow
from congeal.alignment.model import OK
from congeal.alignment.poses.pose_consensus import Settled, placed

FACING_GAIN = 0.035  # share of free matches that facings must explain beyond those explained without them


def borne_out(images: Company, settled: Sequence[Settled], seeds: Sequence[int]) -> list[Settled]:
    """Each set as it is settled, or otherwise, if that explains clearly more of its free matches.

    The matches took no part in the poses, and both ways are judged with the flow that they lead to.

    seeds: of each set, for the drawing of journeys.
    """
    doubtful = [one.otherwise is not None and one.verdict.status == OK for one in settled]
    if not any(doubtful):
        return list(settled)
    flags = torch.tensor(doubtful).to(images.sound.device)
    rows = torch.nonzero(flags[images.members.owner])[:, 0]
    others = [one.otherwise or one for one in settled]
    gain = _explained(images, others, rows, seeds) - _explained(images, settled, rows, seeds)
    better = (gain > FACING_GAIN).tolist()
    choices = zip(settled, others, doubtful, better, strict=True)
    return [other if asked and gains else one for one, other, asked, gains in choices]


def _explained(images: Company, settled: Sequence[Settled], rows: Tensor, seeds: Sequence[int]) -> Tensor:
    """Share of each set's free matches that its flow explains, float32 [s]; 0 for sets not in rows."""
    everybody, poses = placed(images, settled)
    faced, warps = everybody[rows], poses[rows]
    journeys = travel(faced, seeds)
    if journeys is None:
        return torch.zeros(len(settled), device=images.sound.device)
    return explained(follow(warps, faced), journeys)
