"""Mirror states on which the pairs of a set do not agree: taken only where free matches support them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.maps.error_estimation import match_cycles, share_explained
from congeal.alignment.maps.flow_registration import register
from congeal.alignment.model import OK
from congeal.alignment.poses.pose_consensus import Consensus, orient


def select_mirror_states(
    images: SetBatch, consensus: Sequence[Consensus], seeds: Sequence[int], config: SolverConfig
) -> list[Consensus]:
    """Each set's consensus, or its alternative, if that explains clearly more of its free matches.

    The matches took no part in the poses, and both are judged with the flow that they lead to.

    seeds: of each set, for the drawing of cycles.
    """
    doubtful = [one.alternative is not None and one.verdict.status == OK for one in consensus]
    if not any(doubtful):
        return list(consensus)
    flags = torch.tensor(doubtful).to(images.device)
    rows = torch.nonzero(flags[images.members.owner])[:, 0]
    others = [one.alternative or one for one in consensus]
    gain = _explained(images, others, rows, seeds, config) - _explained(
        images, consensus, rows, seeds, config
    )
    better = (gain > config.mirror_selection.gain).tolist()
    choices = zip(consensus, others, doubtful, better, strict=True)
    return [other if asked and gains else one for one, other, asked, gains in choices]


def _explained(
    images: SetBatch, consensus: Sequence[Consensus], rows: Tensor, seeds: Sequence[int], config: SolverConfig
) -> Tensor:
    """Share of each set's free matches that its flow explains, float32 [s]; 0 for sets not in rows."""
    everybody, poses = orient(images, consensus, config.flow.finest_cells)
    oriented, warps = everybody[rows], poses[rows]
    cycles = match_cycles(oriented, seeds, config.errors)
    if cycles is None:
        return torch.zeros(len(consensus), device=images.device)
    return share_explained(register(warps, oriented, config.flow), cycles, config.errors)
