"""Networks fitted to maps that are known: the fast start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from congeal.neural import grids
from congeal.neural.config import Schedule
from congeal.neural.networks import MappingNetworks
from congeal.neural.optimisation import Optimiser, Watch

TURN, STRETCH, SHIFT = (
    math.radians(20),
    0.25,
    0.2,
)  # most that a view is moved: radians, log scale, frame units
FLOOR = 0.02  # weight of a cell that is not salient
LAST_PLAIN = 0.3  # share of the steps at the end in which no view is moved
FLOW_LOSS = 2.0
SHARED_BY = 10  # images; with more there are as many more steps of the flow network alone, with fewer no less
FLOW_RATE = 0.5  # learning rate of the steps of the flow network alone, as a share of the fit's


@dataclass(frozen=True)
class KnownMaps:
    """Maps of n images in their orientations.

    Attributes:
        poses: [n, 4], see `congeal.neural.grids`.
        flow: [n, r, r, 2], atlas units.
        weight: [n, r, r], how much a cell counts.
    """

    poses: Tensor
    flow: Tensor
    weight: Tensor


class MapFitting:
    """Networks that learn known maps, from the images as they are and from moved views of them.

    A view moved by a similarity T shows at p what the image shows at T(p), so that its map is T⁻¹ after the
    image's: so networks learn poses that no image of the set has. Poses are exact long before flows are: in
    the last part the flow network goes on alone, from the images where the similarity network puts them.
    `state` and `restore` go on with the same bits.
    """

    def __init__(
        self,
        networks: MappingNetworks,
        images: Tensor,
        maps: KnownMaps,
        schedule: Schedule,
        seed: int,
        pace: float = 1.0,
    ) -> None:
        """images: [n, inputs, h, w], in their orientations. pace: share of the learning rate."""
        self.networks, self.images, self.maps = networks, images, maps
        self.schedule, self.seed = schedule, seed
        self.flow_steps = round(schedule.flow_steps * max(1.0, len(images) / SHARED_BY))
        self.optimiser = Optimiser({"networks": (networks, schedule.fit_rate * pace)})
        self.watch = Watch()

    @property
    def done(self) -> bool:
        """Whether all steps have been made."""
        return self.optimiser.step >= self.schedule.fit_steps + self.flow_steps

    def step(self) -> None:
        """One step; raises `congeal.neural.optimisation.DivergedError`."""
        at, every = self.optimiser.step, self.schedule.fit_steps
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + at)
        n, batch = len(self.images), min(self.schedule.batch, len(self.images))
        rows = torch.randperm(n, generator=draw)[:batch].to(self.images.device)
        if at >= every:
            self._step_of_flow(rows)
            return
        images, poses = self.images[rows], self.maps.poses[rows]
        if at < (1 - LAST_PLAIN) * every:
            moves = _moves(batch, draw).to(images.device)
            moves[::3] = moves.new_tensor([1.0, 0.0, 0.0, 0.0])  # every third as it is
            images = moved_views(images, moves, self.networks.extent)
            poses = _undone(moves, poses)
        losses, said = self._losses(images, poses, rows)
        pace = min(1.0, (at + 1) / 20) * _cosine(at / every)
        self._descend(losses, said, pace)

    def _step_of_flow(self, rows: Tensor) -> None:
        seen, poses, wanted = self._placed
        bent = torch.linalg.vector_norm(self.networks.residual(seen[rows]) - wanted[rows] + 1e-9, dim=-1)
        loss = FLOW_LOSS * _mean_by(bent, self.maps.weight[rows])
        share = (self.optimiser.step - self.schedule.fit_steps) / self.flow_steps
        self._descend({"flow": loss}, poses[rows], FLOW_RATE * _cosine(share))

    def _descend(self, losses: dict[str, Tensor], poses: Tensor, pace: float) -> None:
        self.optimiser.descend(torch.stack(list(losses.values())).sum(), pace)
        self.watch.note(self.optimiser.step, losses, grids.scale_of(poses))
        if self.done:
            self.watch.check()

    @cached_property
    def _placed(self) -> tuple[Tensor, Tensor, Tensor]:
        """The images where the similarity network puts them, its poses, and the flows that are right."""
        with torch.no_grad():
            poses = self.networks.poses(self.images)
            side = self.networks.size.input_size
            places = grids.placed(poses, grids.cells(side, poses.device)[None])
            seen = grids.sampled(self.images, places, self.networks.extent)
            flow = grids.resized_flow(self.maps.flow, self.networks.size.resolution)
            there = grids.undone(poses, grids.composed(self.maps.poses, flow))
            return seen, poses, there - grids.cells(flow.shape[1], poses.device)

    def _losses(self, images: Tensor, poses: Tensor, rows: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        flow = grids.resized_flow(self.maps.flow[rows], self.networks.size.resolution)
        weight = self.maps.weight[rows]
        said = self.networks.poses(images)
        there = grids.cells(weight.shape[1], images.device)[None]
        size = grids.scale_of(poses).view(-1, 1, 1)
        off = torch.linalg.vector_norm(grids.placed(said, there) - grids.placed(poses, there), dim=-1) / size
        bent = torch.linalg.vector_norm(self.networks.flows(images, poses) - flow + 1e-9, dim=-1)
        return {"pose": _mean_by(off, weight), "flow": FLOW_LOSS * _mean_by(bent, weight)}, said

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, by name."""
        return self.optimiser.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, tensors [...] by name."""
        self.optimiser.restore(state)


def _mean_by(distance: Tensor, weight: Tensor) -> Tensor:
    """The mean of distances [k, s, s] by the weight [k, r, r] of the cells there."""
    side = distance.shape[1:]
    finer = torch.nn.functional.interpolate(weight[:, None], size=side, mode="bilinear")[:, 0]
    return (distance * finer).sum() / finer.sum()


def _cosine(share: float) -> float:
    """The pace after a share of the steps: from 1 to 0.02."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))


def cell_weight(saliency: Tensor) -> Tensor:
    """How much the cells [n, r, r] of maps count, by the atlas' saliency."""
    return saliency.clamp(0, 1) + FLOOR


def _moves(count: int, draw: torch.Generator) -> Tensor:
    """Random similarities as poses [count, 4]."""
    turn, stretch, right, down = (2 * torch.rand((4, count), generator=draw) - 1).unbind(0)
    angle, scale = TURN * turn, (STRETCH * stretch).exp()
    return torch.stack([scale * angle.cos(), scale * angle.sin(), SHIFT * right, SHIFT * down], 1)


def moved_views(images: Tensor, moves: Tensor, extent: float) -> Tensor:
    """Views [n, c, h, w] that show at p what images [n, c, h, w] over ±extent show at T(p); T: [n, 4]."""
    places = grids.placed(moves, grids.cells(images.shape[-1], images.device)[None] * extent)
    return grids.sampled(images, places, extent)


def _undone(moves: Tensor, poses: Tensor) -> Tensor:
    """Poses [n, 4] of the moved views: the inverse of the moves after the poses."""
    move, pose = (torch.view_as_complex(part.view(-1, 2, 2)) for part in (moves, poses))
    factor = pose[:, 0] / move[:, 0]
    shift = (pose[:, 1] - move[:, 1]) / move[:, 0]
    return torch.view_as_real(torch.stack([factor, shift], 1)).flatten(1)
