"""The flow that poses lead to, and the free matches by which both are judged; for every set once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.error_estimation import Cycles, match_cycles
from congeal.alignment.maps.flow_registration import register
from congeal.geometry.segments import sums
from congeal.geometry.warps import Warps


@dataclass(frozen=True)
class FlowTrial:
    """Flows of the images of some of a batch's sets, and these sets' cycles of free matches.

    Attributes:
        tried: bool [s], the sets.
        displacement: float32 [n, r, r, 2], the flow of all images of the batch; 0 for those of other sets.
        cycles: of the sets.
    """

    tried: Tensor
    displacement: Tensor
    cycles: Cycles

    def of(self, sets: Tensor, owner: Tensor) -> FlowTrial:
        """That of some of the sets, bool [s]; owner: int64 [n], the set of each image."""
        rows = _rows(sets[self.cycles.owner])
        flow = torch.where(sets[owner].view(-1, 1, 1, 1), self.displacement, 0.0)
        return FlowTrial(self.tried & sets, flow, _some(self.cycles, rows))

    def joined(self, other: FlowTrial, owner: Tensor) -> FlowTrial:
        """That of both, which are of different sets; owner: int64 [n], the set of each image."""
        k = max(part.cycles.weight.shape[1] for part in (self, other))
        both = [part.cycles.as_wide(k) for part in (self, other)]
        values = {
            field.name: torch.cat([getattr(part, field.name) for part in both])
            for field in fields(Cycles)
            if field.name != "sets"
        }
        cycles = Cycles(**values, sets=self.cycles.sets)
        mine = self.tried[owner].view(-1, 1, 1, 1)
        flow = torch.where(mine, self.displacement, other.displacement)
        return FlowTrial(self.tried | other.tried, flow, cycles)


def try_flow(
    oriented: Oriented,
    warps: Warps,
    counted: Tensor,
    seeds: Sequence[int],
    config: SolverConfig,
    known: FlowTrial | None = None,
) -> FlowTrial | None:
    """The flows of the sets that can be judged; None if there is none.

    Args:
        oriented: n images of s sets.
        warps: their poses.
        counted: bool [s], the sets that are asked.
        seeds: of each set, for the drawing of cycles.
        config: of the solver.
        known: of some of the sets, with the same poses and saliency.
    """
    owner = oriented.owner
    asked = counted if known is None else counted & ~known.tried
    cycles = match_cycles(replace(oriented, weight=oriented.weight * asked[owner]), seeds, config.errors)
    if cycles is None:
        return known
    tried = sums(torch.ones_like(cycles.owner), cycles.owner, oriented.sets) > 0
    rows = _rows(tried[owner])
    flow = torch.zeros_like(warps.displacement)
    flow[rows] = register(warps[rows], oriented[rows], config.flow).displacement
    found = FlowTrial(tried, flow, cycles)
    return found if known is None else known.joined(found, owner)


def _rows(flags: Tensor) -> Tensor:
    return torch.nonzero(flags)[:, 0]


def _some(cycles: Cycles, rows: Tensor) -> Cycles:
    values = {
        field.name: getattr(cycles, field.name)[rows] for field in fields(Cycles) if field.name != "sets"
    }
    return Cycles(**values, sets=cycles.sets)
