"""What a set's maps have beyond a pose: nothing, a smooth flow, or matching that the flow guides.

Free matches between the images decide: they took no part in the poses.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.error_estimation import agreement, error_of_matching
from congeal.alignment.model import FLOW, GUIDED, RIGID
from congeal.alignment.outcomes import OK
from congeal.alignment.poses.pose_consensus import Consensus
from congeal.alignment.selection.flow_trial import FlowTrial, try_flow
from congeal.geometry.segments import sums
from congeal.geometry.warps import Warps, recentred, with_flow


def select_deformation(
    warps: Warps,
    oriented: Oriented,
    consensus: Sequence[Consensus],
    seeds: Sequence[int],
    config: SolverConfig,
    known: FlowTrial | None = None,
) -> tuple[Warps, list[str]]:
    """The warps, with a flow where free matches support one, and each set's RIGID, FLOW or GUIDED.

    On mirror-symmetric objects cycle consistency is uninformative: half of left/right swaps cancel. So these
    are never matched cell by cell. Where two images have next to nothing in common, their poses mean little,
    and matches are all there is.

    known: flows of some of the sets on top of these warps, from
    `congeal.alignment.selection.mirror_selection`.
    """
    asked, sets = config.deformation, len(consensus)
    few = [_few_matches(one, asked.few_matches) for one in consensus]
    if asked.most == RIGID:
        return warps, [RIGID] * sets
    device, owner = oriented.owner.device, oriented.owner
    common = torch.tensor([one.verdict.status == OK for one in consensus]).to(device)
    symmetric = torch.tensor([one.verdict.margin < asked.symmetric_margin for one in consensus]).to(device)
    trial = try_flow(oriented, warps, common, seeds, config, known)
    if trial is None:
        return warps, [GUIDED if lost and asked.most == GUIDED else RIGID for lost in few]
    cycles, bent = trial.cycles, with_flow(warps, trial.displacement)
    if asked.mean_shape:
        bent = recentred(bent, oriented.weight, owner, sets)
    judged = sums(cycles.weight, cycles.owner, sets).sum(1) > 0
    posed, flowing = agreement(warps, cycles, config.errors), agreement(bent, cycles, config.errors)
    bends = judged & (flowing.explained >= posed.explained + asked.flow_gain)
    if asked.least == FLOW:
        bends = judged
    flow = torch.where(bends[owner].view(-1, 1, 1, 1), bent.displacement, warps.displacement)
    bent = with_flow(warps, flow)
    matching = error_of_matching(warps, cycles, config.errors)
    wrong = posed.error(matching) > matching + asked.guided_gain
    several = sums((oriented.weight > 0).float(), owner, sets) > 2  # from two, matching cannot be judged
    by_cell = wrong & judged & several & ~symmetric | torch.tensor(few).to(device)
    if asked.least == GUIDED:
        by_cell |= judged
    if asked.most == FLOW:
        by_cell &= False
    choices = zip(bends.tolist(), by_cell.tolist(), strict=True)
    return bent, [GUIDED if lost else FLOW if flows else RIGID for flows, lost in choices]


def _few_matches(consensus: Consensus, least: float) -> bool:
    """Whether the poses of two images rest on so few matches that they may as well be wrong.

    No third can tell; of more than two, cycles of matches tell.
    """
    return int((consensus.weight > 0).sum()) == 2 and consensus.shared < least
