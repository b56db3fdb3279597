"""Training by the losses of the published method: two phases, both orientations, an atlas that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from congeal.backbones.devices import resolve_precision
from congeal.neural import grids, losses
from congeal.neural.config import LOSSES, Schedule
from congeal.neural.losses import Distances, Seen
from congeal.neural.networks import MappingNetworks
from congeal.neural.optimisation import Optimiser, Watch
from congeal.neural.semantic_atlas import AtlasView, SemanticAtlas
from congeal.neural.training_set import TrainingSet


class Training:
    """Networks and an atlas under way; `state` and `restore` go on with the same bits.

    In the first phase the similarity network is trained alone. In the second both are, each by losses of its
    own: what the flow network makes of the image in its pose updates the atlas, and no gradient of it reaches
    the pose; the similarity network goes on by the keys and the saliency.

    With mirrors both orientations of an image go through the networks. The atlas learns from the one that is
    nearer to it, as was decided the last time; the other trains the networks alone.

    Attributes:
        mirrored: bool [n], the orientation of each image.
        joined: bool [n], whether an image updates the atlas.
    """

    def __init__(
        self,
        networks: MappingNetworks,
        atlas: SemanticAtlas,
        data: TrainingSet,
        schedule: Schedule,
        *,
        mirrored: Tensor | None = None,
        seed: int = 0,
        pace: float = 1.0,
    ) -> None:
        """mirrored: bool [n], the orientations at the start. pace: share of the learning rates."""
        self.networks, self.atlas, self.data = networks, atlas, data
        self.schedule, self.weights, self.seed = schedule, LOSSES[schedule.losses], seed
        n, device = len(data), data.keys.device
        self.mirrored = (
            torch.zeros(n, dtype=torch.bool, device=device) if mirrored is None else mirrored.clone()
        )
        self.joined = torch.ones(n, dtype=torch.bool, device=device)
        self.optimiser = Optimiser(
            {
                "networks": (networks, schedule.network_rate * pace),
                "atlas": (atlas, schedule.atlas_rate * pace),
            }
        )
        self.watch = Watch()
        if schedule.gradual:
            self.joined[:] = False
            self.joined[int(self._distances_before().argmin())] = True

    @property
    def steps_an_epoch(self) -> int:
        """Batches that show every image once."""
        return math.ceil(len(self.data) / self.schedule.batch)

    @property
    def epoch(self) -> int:
        """The epoch of the next step."""
        return self.optimiser.step // self.steps_an_epoch

    @property
    def done(self) -> bool:
        """Whether all epochs are over."""
        return self.epoch >= self.schedule.epochs

    def step(self) -> None:
        """One step; raises `congeal.neural.optimisation.DivergedError`."""
        at, epoch = self.optimiser.step, self.epoch
        within = at % self.steps_an_epoch
        if within == 0 and epoch and epoch % self.schedule.decide_every == 0:
            self.decide()
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.data), generator=draw)
        batch = self.schedule.batch
        rows = order[within * batch : (within + 1) * batch].to(self.data.keys.device)
        terms, poses = self.losses_of(rows, flowing=epoch >= self.schedule.bootstrap)
        self.optimiser.descend(torch.stack(list(terms.values())).sum())
        self.watch.note(self.optimiser.step, terms, grids.scale_of(poses))
        if self.done:
            self.watch.check()

    def losses_of(self, rows: Tensor, *, flowing: bool) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of some images, int64 [k], with their coefficients, by name; and their poses [k, 4]."""
        state, k = self.mirrored[rows], len(rows)
        seen = [self.data.oriented(one, rows) for one in (state, ~state)[: 1 + self.schedule.mirrors]]
        # Both orientations in one pass: the networks' weights are read, and their gradients made, once.
        images = torch.cat([some.images[0] for some in seen])
        if self.networks.size.pixels:  # the order in which large convolutions are quicker
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self._in_bfloat16):
            poses = self.networks.poses(images)
            flows = self.networks.flows(images, poses) if flowing else None
        poses, flows = poses.float(), None if flows is None else flows.float()
        if flows is not None:
            flows = grids.resized_flow(flows, self.atlas.resolution)
        first = None if flows is None else flows[:k]
        atlas = self.atlas.view()
        terms = self._of_orientation(rows, seen[0], atlas, poses[:k], first, mapping_only=False)
        if self.schedule.mirrors:
            second = None if flows is None else flows[k:]
            other = self._of_orientation(
                rows, seen[1], atlas.detached(), poses[k:], second, mapping_only=True
            )
            terms |= {f"mirrored_{name}": value for name, value in other.items()}
        return terms, poses[:k]

    @cached_property
    def _in_bfloat16(self) -> bool:
        """Whether the networks compute in bfloat16: where the hardware multiplies it, and it takes long."""
        device = self.data.keys.device
        if device.type == "cuda":
            return True
        return self.networks.size.pixels and resolve_precision("auto", device) == "bfloat16"

    def _of_orientation(
        self,
        rows: Tensor,
        some: TrainingSet,
        atlas: AtlasView,
        poses: Tensor,
        flow: Tensor | None,
        *,
        mapping_only: bool,
    ) -> dict[str, Tensor]:
        """The losses of images in one orientation, in poses [k, 4] and with a flow [k, r, r, 2]."""
        weights, r = self.weights, atlas.resolution
        posed = grids.placed(poses, grids.cells(r, rows.device)[None])
        places = posed if flow is None else grids.composed(poses.detach(), flow)
        shown = some.shown(places)
        terms = losses.agreement_losses(
            self._distances_to(atlas, some, places, rows), self._saliency_for(atlas, rows), shown, weights
        )
        terms |= losses.mapping_losses(poses, flow, atlas.saliency, shown.inside, weights)
        if not mapping_only and self._learns(rows):
            terms |= losses.atlas_losses(atlas.keys, atlas.saliency, shown.inside.amax(0), weights)
        terms = {name: getattr(weights, name) * value for name, value in terms.items()}
        if flow is not None:
            still = atlas.detached()
            distances = some.distances(still.keys, still.squares, posed)
            alone = losses.agreement_losses(distances, still.saliency, some.shown(posed), weights)
            terms |= {f"similarity_{name}": getattr(weights, name) * value for name, value in alone.items()}
        return terms

    def _learns(self, rows: Tensor) -> bool:
        """Whether the atlas learns from any of these images."""
        return self.atlas.keys.requires_grad and (self._all_joined or bool(self.joined[rows].any()))

    @property
    def _all_joined(self) -> bool:
        return not self.schedule.gradual

    def _distances_to(self, atlas: AtlasView, some: TrainingSet, places: Tensor, rows: Tensor) -> Distances:
        """Of the atlas' keys as images see them: those that have not joined it do not change it."""
        found = some.distances(atlas.keys, atlas.squares, places)
        if self._all_joined or not atlas.learns:
            return found
        still, joined = atlas.detached(), self.joined[rows].view(-1, 1, 1)
        beside = some.distances(still.keys, still.squares, places)
        mse, cosine = (torch.where(joined, one, two) for one, two in zip(found, beside, strict=True))
        return mse, cosine

    def _saliency_for(self, atlas: AtlasView, rows: Tensor) -> Tensor:
        if self._all_joined or not atlas.learns:
            return atlas.saliency
        joined = self.joined[rows].view(-1, 1, 1)
        return torch.where(joined, atlas.saliency[None], atlas.saliency.detach()[None])

    @torch.no_grad()
    def decide(self) -> None:
        """Choose each image's orientation anew, and let the next one join the atlas."""
        plain = torch.zeros_like(self.mirrored)
        near = self._distances(plain)
        if self.schedule.mirrors:
            turned = self._distances(~plain)
            self.mirrored = turned < near
            near = torch.minimum(near, turned)
        if self.schedule.gradual and not bool(self.joined.all()):
            self.joined[int(near.masked_fill(self.joined, math.inf).argmin())] = True

    @torch.no_grad()
    def _distances(self, mirrored: Tensor) -> Tensor:
        """The keys' loss of every image in these orientations, [n]."""
        found = []
        for rows in torch.split(torch.arange(len(self.data), device=mirrored.device), 8):
            some = self.data.oriented(mirrored[rows], rows)
            poses, flow = self.networks(some.images[0])
            if self.epoch < self.schedule.bootstrap:
                flow = torch.zeros_like(flow)
            seen = some.placed(grids.composed(poses, grids.resized_flow(flow, self.atlas.resolution)))
            found.append(self._distance(seen))
        return torch.cat(found)

    def _distance(self, seen: Seen) -> Tensor:
        return losses.image_distances(self.atlas.keys, self.atlas.saliency, seen, self.weights)

    @torch.no_grad()
    def _distances_before(self) -> Tensor:
        """Of images where they lie, each by its own saliency: who is nearest to the mean of all begins."""
        rows = torch.arange(len(self.data), device=self.mirrored.device)
        some = self.data.oriented(self.mirrored, rows)
        still = grids.cells(self.atlas.resolution, rows.device).expand(len(rows), -1, -1, -1)
        seen = some.placed(still.contiguous())
        return losses.image_distances(self.atlas.keys, seen.saliency, seen, self.weights)

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, by name."""
        return self.optimiser.state() | {"mirrored": self.mirrored.cpu(), "joined": self.joined.cpu()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`."""
        self.optimiser.restore(state)
        self.mirrored = state["mirrored"].to(self.mirrored.device, copy=True)
        self.joined = state["joined"].to(self.joined.device, copy=True)
