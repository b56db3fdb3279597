"""Mirror states on which the pairs of a set do not agree: taken only where free matches support them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.maps.error_estimation import share_explained
from congeal.alignment.outcomes import OK
from congeal.alignment.poses.pose_consensus import Consensus, orient
from congeal.alignment.selection.flow_trial import FlowTrial, try_flow
from congeal.geometry.warps import with_flow


def select_mirror_states(
    images: SetBatch, consensus: Sequence[Consensus], seeds: Sequence[int], config: SolverConfig
) -> tuple[list[Consensus], FlowTrial | None]:
    """Each set's consensus, or its alternative, if that explains clearly more of its free matches.

    The matches took no part in the poses, and both are judged with the flow that they lead to.

    seeds: of each set, for the drawing of cycles.

    Returns:
        The choices, and the flows of the chosen that were computed for them.
    """
    doubtful = [one.alternative is not None and one.verdict.status == OK for one in consensus]
    if not any(doubtful):
        return list(consensus), None
    flags = torch.tensor(doubtful).to(images.device)
    others = [one.alternative or one for one in consensus]
    first, first_trial = _explained(images, consensus, flags, seeds, config)
    second, second_trial = _explained(images, others, flags, seeds, config)
    better = (second - first > config.mirror_selection.gain) & flags
    choices = zip(consensus, others, better.tolist(), strict=True)
    chosen = [other if gains else one for one, other, gains in choices]
    # What is not called "ok" is not judged again.
    judged = torch.tensor([one.verdict.status == OK for one in chosen]).to(images.device)
    owner = images.members.owner
    trials = [
        trial.of(sets & flags & judged, owner)
        for trial, sets in ((first_trial, ~better), (second_trial, better))
        if trial is not None
    ]
    return chosen, trials[0].joined(trials[1], owner) if len(trials) == 2 else next(iter(trials), None)


def _explained(
    images: SetBatch,
    consensus: Sequence[Consensus],
    asked: Tensor,
    seeds: Sequence[int],
    config: SolverConfig,
) -> tuple[Tensor, FlowTrial | None]:
    """Share of each set's free matches that its flow explains, float32 [s], and the flows; 0 if not asked.

    asked: bool [s].
    """
    oriented, warps = orient(images, consensus, config.flow.finest_cells)
    trial = try_flow(oriented, warps, asked, seeds, config)
    if trial is None:
        return torch.zeros(len(consensus), device=images.device), None
    bent = with_flow(warps, trial.displacement)
    return share_explained(bent, trial.cycles, config.errors), trial
