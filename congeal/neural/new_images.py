"""New images mapped to an atlas by networks, alone or with a few steps of the direct solver after them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.atlas_fitting import Fitted, Start, Starting, fit_scored
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays, check_arrays
from congeal.alignment.inputs.rotated_views import Turned, Whole, all_turned
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.inputs.solver_arguments import check_device, plain_arrays
from congeal.alignment.maps.flow_registration import Template
from congeal.alignment.model import Atlas
from congeal.errors import CongealError
from congeal.geometry.warps import Warps
from congeal.neural import grids, losses
from congeal.neural.arguments import checked_pixels, require_kinds
from congeal.neural.config import LossWeights
from congeal.neural.networks import MappingNetworks
from congeal.neural.solution import poses_of, warps_from
from congeal.neural.training_set import TrainingSet
from congeal_floors.plurals import counted

Way = Literal["network", "network+steps", "steps"]
WAYS: tuple[Way, ...] = ("network", "network+steps", "steps")
ROUNDS = 3  # of the flow after the networks, the finest


def fit_new(
    atlas: Atlas,
    arrays: ImageArrays,
    way: Way,
    *,
    networks: MappingNetworks | None = None,
    pixels: npt.NDArray[np.uint8] | None = None,
    turned: Turned | None = None,
    extent: float = 1.0,
    map_resolution: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
    config: SolverConfig | None = None,
) -> Fitted:
    """Map n images that took no part in an atlas; each on its own, whatever the others.

    Args:
        atlas: of the cluster.
        arrays: the images' features, of the backbone that the atlas is of.
        way: "network": one pass; "network+steps": and the finest rounds of the direct solver's flow, then its
            matching cell by cell, where the atlas has it; "steps": the direct solver alone.
        networks: of the cluster; needed but for "steps".
        pixels: uint8 [n, s, s, 3], for networks that see images.
        turned: the same images at seven other angles, for atlases of things that lie at any: networks see
            each at the one that the atlas' exemplars know best.
        extent, map_resolution, seed, device, config: as of `congeal.fit`.

    Raises:
        CongealError: if there are no networks for the way, or the arrays do not fit.
    """
    if way not in WAYS:
        raise CongealError(f"new images are mapped by {', '.join(WAYS)}, not {way!r:.80}")
    require_kinds(
        atlas=(atlas, Atlas),
        arrays=(arrays, ImageArrays),
        turned=(turned, Turned | None),
        networks=(networks, MappingNetworks | None),
    )
    arrays, device = plain_arrays(arrays), check_device(device)
    count = check_arrays(arrays)[0]
    if turned is not None:
        turned.check(arrays)
    starting: Starting | None = None
    if way != "steps":
        if networks is None:
            raise CongealError("this cluster has no networks: fit with steps")
        shown = None if pixels is None else checked_pixels(pixels, count)
        starting = _Networks(networks.to(device), shown, ROUNDS if way == "network+steps" else 0)
    return fit_scored(
        atlas,
        arrays,
        turned=turned,
        extent=extent,
        map_resolution=map_resolution,
        seed=seed,
        device=device,
        config=config,
        starting=starting,
    )


class _Networks:
    """Where networks say that images lie, in the mirror states that the atlas' exemplars know them in.

    With rounds of the flow after that: where the exemplars say, if an image is nearer to the atlas there.
    Networks have seen few images, and of things in free postures they may be far off where matches are not.
    """

    def __init__(self, networks: MappingNetworks, pixels: npt.NDArray[np.uint8] | None, rounds: int) -> None:
        self.networks, self.pixels, self.rounds = networks.eval(), pixels, rounds
        if networks.size.pixels and pixels is None:
            raise CongealError("these networks see images: give pixels")

    @torch.no_grad()
    def __call__(
        self, images: SetBatch, template: Template, known: Warps, turns: Whole | None = None
    ) -> Start:
        data = self._data(images, turns)
        if data.images.shape[2] != self.networks.inputs:
            raise CongealError(
                f"the networks see {counted(self.networks.inputs, 'channel')}, and the images have "
                f"{data.images.shape[2]}: both must come from one cluster"
            )
        some = data.oriented(known.mirrored, torch.arange(len(data), device=images.device))
        poses, flow = self.networks(some.images[0])
        flow = grids.resized_flow(flow, template.features.shape[1])
        if self.rounds:
            others, rest = poses_of(known), torch.zeros_like(flow)
            near, far = (_distance(some, template, *one) for one in ((others, rest), (poses, flow)))
            nearer = near < far
            poses = torch.where(nearer[:, None], others, poses)
            flow = torch.where(nearer[:, None, None, None], rest, flow)
        return Start(warps_from(poses, flow, known.mirrored), self.rounds)

    def _data(self, images: SetBatch, turns: Whole | None) -> TrainingSet:
        if self.networks.size.pixels and self.pixels is not None:
            shown = self.pixels if turns is None else all_turned(self.pixels, turns)
            return TrainingSet.of_pixels(images, torch.as_tensor(np.ascontiguousarray(shown)))
        return TrainingSet.of_tokens(images)


def _distance(images: TrainingSet, template: Template, poses: Tensor, flow: Tensor) -> Tensor:
    """How far each image [1, n, …] is from an atlas by poses [n, 4] and flows [n, r, r, 2]; [n]."""
    seen = images.placed(grids.composed(poses, flow))
    keys = template.features[0].permute(2, 0, 1)
    return losses.image_distances(keys, template.saliency[0], seen, LossWeights())
