"""How freely a set's maps may bend: poses alone, a smooth flow, or matching that the flow guides.

Free matches between the images decide: they took no part in the poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.error_estimation import error_of_matching, error_of_warps, explained, travel
from congeal.alignment.maps.flow_registration import follow
from congeal.alignment.model import FLOW, GUIDED, OK, RIGID
from congeal.alignment.poses.pose_consensus import Settled
from congeal.geometry.segments import sums
from congeal.geometry.warps import Warps, recentred, with_flow

FLOW_GAIN = 0.01  # share of free matches that a flow must explain beyond those that the poses explain
GUIDED_GAIN = 0.15  # by how much more often than matching poses must go astray for matching to take over
FEW = 6.0  # matched tokens that two images have to share for their poses to be followed
SYMMETRIC = 0.15  # a set whose margin is less looks the same in a mirror


def deformed(
    warps: Warps, faced: Oriented, settled: Sequence[Settled], seeds: Sequence[int]
) -> tuple[Warps, list[str]]:
    """The warps with as much freedom as free matches between the images bear out: RIGID, FLOW or GUIDED.

    On a symmetric thing matches change sides and, every second time, come home nevertheless: there they are
    no measure of the warps, and following them would mix left with right. Where two images have next to
    nothing in common, their poses mean little: matches are all there is.
    """
    device, owner = faced.owner.device, faced.owner
    common = torch.tensor([one.verdict.status == OK for one in settled]).to(device)
    loose = [_loosely_posed(one) for one in settled]
    symmetric = torch.tensor([one.verdict.margin < SYMMETRIC for one in settled]).to(device)
    journeys = travel(replace(faced, weight=faced.weight * common[owner]), seeds)
    if journeys is None:
        return warps, [GUIDED if few else RIGID for few in loose]
    bent = recentred(follow(warps, faced), faced.weight, owner, len(settled))
    travelled = sums(journeys.weight, journeys.owner, len(settled)).sum(1) > 0
    bends = travelled & (explained(bent, journeys) >= explained(warps, journeys) + FLOW_GAIN)
    flow = torch.where(bends[owner].view(-1, 1, 1, 1), bent.displacement, warps.displacement)
    bent = with_flow(warps, flow)
    astray = error_of_warps(warps, journeys) > error_of_matching(warps, journeys) + GUIDED_GAIN
    several = sums((faced.weight > 0).float(), owner, len(settled)) > 2  # from two, matching cannot be judged
    astray = astray & travelled & several & ~symmetric | torch.tensor(loose).to(device)
    choices = zip(bends.tolist(), astray.tolist(), strict=True)
    return bent, [GUIDED if lost else FLOW if flows else RIGID for flows, lost in choices]


def _loosely_posed(settled: Settled) -> bool:
    """Whether the poses of two images rest on so few matches that they may as well be wrong.

    No third can tell; more than two are asked by journeys.
    """
    return int((settled.weight > 0).sum()) == 2 and settled.usual < FEW
