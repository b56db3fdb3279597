"""The salient cells of an atlas: those that the flow is matched at, since the others have no say in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented
from congeal.geometry.segments import sums
from congeal.geometry.warps import sample

BLOCK = 16  # how many cells there are is a multiple of it


@dataclass(frozen=True)
class Cells:
    """Some cells of the atlases of s sets, k a set; where a set has fewer, the rest stand for none.

    Attributes:
        index: int64 [s, k], flat into the atlas' r·r cells; 0 for none.
        there: bool [s, k], whether there is such a cell.
    """

    index: Tensor
    there: Tensor

    @classmethod
    def salient(cls, saliency: Tensor, least: float) -> Cells:
        """Those that are salient.

        saliency: float32 [s, r, r]. least: saliency of a cell against the highest of its atlas.
        """
        s, flat = len(saliency), saliency.flatten(1)
        chosen = flat > least * flat.amax(1, keepdim=True)
        k = max(1, -(-int(chosen.sum(1).max()) // BLOCK)) * BLOCK
        index = torch.zeros((s, k), dtype=torch.int64, device=saliency.device)
        there = torch.zeros((s, k), dtype=torch.bool, device=saliency.device)
        owner, cell = torch.nonzero(chosen, as_tuple=True)
        at = (owner, (chosen.long().cumsum(1) - 1)[owner, cell])
        index[at], there[at] = cell, torch.ones_like(cell, dtype=torch.bool)
        return cls(index, there)

    def of(self, values: Tensor, owner: Tensor, elsewhere: float = 0.0) -> Tensor:
        """Values [n, r, r, ...] of n images at their atlas' cells, [n, k, ...]; ``elsewhere`` for none.

        owner: int64 [n], the set of each image.
        """
        flat, index, there = values.flatten(1, 2), self.index[owner], self.there[owner]
        rows = torch.arange(len(flat), device=index.device)[:, None].expand_as(index)
        return flat[rows, index].where(_like(there, flat), flat.new_tensor(elsewhere))

    def laid_out(self, values: Tensor, owner: Tensor, r: int) -> Tensor:
        """Values [n, k, ...] of the cells in their places on the atlas' grid, [n, r, r, ...]; 0 elsewhere."""
        index, there = self.index[owner], self.there[owner]
        whole = values.new_zeros((len(values), r * r, *values.shape[2:]))
        whole.scatter_add_(1, _like(index, values).expand_as(values), values * _like(there, values))
        return whole.view(len(values), r, r, *values.shape[2:])


def _like(flags: Tensor, values: Tensor) -> Tensor:
    """[n, k] as it broadcasts with [n, k, ...]."""
    return flags.view(*flags.shape, *(1,) * (values.ndim - 2))


@dataclass(frozen=True)
class CellTemplate:
    """An atlas at some of its cells, as each image sees it.

    Attributes:
        features: float32 [n or 1, k, c], unit length.
        saliency: float32 [n or 1, k]; 0 where there is no cell.
    """

    features: Tensor
    saliency: Tensor

    def __getitem__(self, rows: slice) -> CellTemplate:
        """As some of the images see it."""
        if len(self.saliency) == 1:
            return self
        return CellTemplate(self.features[rows], self.saliency[rows])


def others_at_cells(images: Oriented, places: Tensor, least: float) -> tuple[Cells, CellTemplate]:
    """The salient cells of each set, and there the atlas of the others of its set, for every image.

    Args:
        images: n images of s sets.
        places: float32 [n, r, r, 2], where the warps put the atlas' cells, oriented frames.
        least: as of `Cells.salient`.
    """
    owner, say = images.owner, images.weight.view(-1, 1, 1)
    shown = sample(images.saliency[..., None], places, images.extent, "zeros")[..., 0] * say
    total = sums(shown, owner, images.sets)
    cells = Cells.salient(total, least)
    weight = cells.of(shown, owner)
    own = sample(images.features, cells.of(places, owner), images.extent) * weight[..., None]
    rest = torch.nn.functional.normalize(sums(own, owner, images.sets)[owner].sub_(own), dim=-1)
    others = (sums(images.weight, owner, images.sets)[owner] - images.weight).clamp_min(1e-6)
    return cells, CellTemplate(rest, (cells.of(total[owner], owner) - weight) / others[:, None])
