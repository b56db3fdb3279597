"""The method `neural`: networks trained on a set; the better of their maps and the direct ones is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays, check_arrays
from congeal.alignment.inputs.rotated_views import (
    Turned,
    all_turned,
    from_upright,
    to_upright,
    turns_to_atlas,
)
from congeal.alignment.inputs.solver_arguments import check_config, check_device, check_extent, plain_arrays
from congeal.alignment.maps.error_estimation import Cycles
from congeal.alignment.model import Alignment
from congeal.alignment.outcomes import MEANINGLESS, OK
from congeal.errors import CongealError
from congeal.geometry.warps import Warps
from congeal.neural import grids
from congeal.neural.arguments import checked_pixels, require_kinds
from congeal.neural.checkpoints import decode_state, encode_networks, encode_state
from congeal.neural.config import LEARNED, MEDOID, NETWORKS, NetworkSize, NeuralMethod, Schedule
from congeal.neural.map_fitting import KnownMaps, MapFitting, cell_weight
from congeal.neural.networks import MappingNetworks
from congeal.neural.optimisation import DivergedError, with_restart
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.solution import (
    SolvedSet,
    cell_saliency,
    free_matches,
    poses_of,
    resized,
    share_explained,
    solution,
    warps_from,
    warps_of,
)
from congeal.neural.training import Training
from congeal.neural.training_set import TrainingSet
from congeal_floors.plurals import counted

SAVE_EVERY = 60.0  # seconds between two checkpoints; the first is made after the first step
LEAST_IMAGES = 3  # that fit together, to train on
TOLD = 4  # decimals
DIRECT, FITTED, REFINED = "direct", "fitted", "refined"
OF_FIT = "fitted/"


class Checkpoints:
    """Where a training keeps what it needs to go on; this one keeps nothing."""

    def load(self) -> bytes | None:
        """The newest, or None."""
        return None

    def save(self, data: bytes) -> None:
        """Keep it, in place of the one before."""


@dataclass(frozen=True)
class Refined:
    """What came of it.

    Attributes:
        aligned: the alignment that is kept.
        networks: safetensors of the mapping networks; None: none were trained to the end.
        facts: what was tried and why what is kept is kept, as JSON values.
    """

    aligned: Alignment
    networks: bytes | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def refine(
    arrays: ImageArrays,
    direct: Alignment,
    method: NeuralMethod,
    *,
    turned: Turned | None = None,
    extent: float = 1.0,
    config: SolverConfig | None = None,
    pixels: npt.NDArray[np.uint8] | None = None,
    device: torch.device | str = "cpu",
    checkpoints: Checkpoints | None = None,
) -> Refined:
    """Train the networks of a set that the direct solver has aligned.

    Fast: networks learn the direct maps, and go on by the losses of the published method. Their maps are kept
    if free matches between the images, which took no part in it, bear them out as well as the direct ones;
    else the direct ones are. Published: they begin with nothing, and their maps are kept if they are sound.

    Args:
        arrays: the n images, as they were given to `congeal.align`.
        direct: what that found.
        method: what is trained, and how.
        turned: as `congeal.align` was given them, of things that lie at any angle: networks see each image
            turned as the direct solution says, to within a sixteenth of a turn.
        extent: half the side of the token grid in frame units.
        config: of the solver; None: the default.
        pixels: uint8 [n, s, s, 3], the images padded to squares, for networks that see images.
        device: where to train.
        checkpoints: what to go on from, and where to keep what is reached; None: nowhere.

    Raises:
        CongealError: if the arrays do not fit, or the networks see images and there are no pixels.
    """
    require_kinds(arrays=(arrays, ImageArrays), direct=(direct, Alignment), method=(method, NeuralMethod))
    require_kinds(turned=(turned, Turned | None), checkpoints=(checkpoints, Checkpoints | None))
    where, extent, solver = check_device(device), check_extent(extent), check_config(config)
    arrays = plain_arrays(arrays)
    count = check_arrays(arrays)[0]
    if len(direct.scale) != count:
        raise CongealError(f"direct is of {counted(len(direct.scale), 'image')}, and the arrays of {count:,}")
    if turned is not None:
        turned.check(arrays)
    pixels = None if pixels is None else checked_pixels(pixels, count)
    asked = {"schedule": method.schedule, "network": method.network, "losses": method.plan.losses}
    asked |= {"gradual": "images join one by one"} if method.gradual else {}
    asked |= {"reference": method.reference} if method.reference != LEARNED else {}
    why = _unfit(direct)
    if why is not None:
        return Refined(direct, None, {**asked, "kept": DIRECT, "why": why})
    if turned is not None:
        turns = turns_to_atlas(direct)
        stand = from_upright(direct, turns)
        shown = None if pixels is None else all_turned(pixels, turns)
        found = refine(
            turned.chosen(arrays, turns, extent), stand, method, extent=extent, config=solver, pixels=shown,
            device=device, checkpoints=checkpoints,
        )  # fmt: skip
        same = found.aligned is stand
        return replace(found, aligned=direct if same else to_upright(found.aligned, turns))
    solved = SolvedSet.of(arrays, direct, extent, solver, method.seed, where)
    job = _Job.of(solved, method, pixels)
    found = job.run(checkpoints or Checkpoints())
    return replace(found, facts={**asked, **found.facts})


def _unfit(direct: Alignment) -> str | None:
    """Why a set has nothing that networks could learn from, or None."""
    good = int((~direct.outlier).sum())
    if direct.status != OK:
        return f"the direct solver says {direct.status}"
    return (
        None
        if good >= LEAST_IMAGES
        else f"{counted(good, 'image')} fit together, and {LEAST_IMAGES} are needed"
    )


@dataclass(frozen=True)
class _Job:
    """A set, and the networks to train on it.

    Attributes:
        rows: int64 [k], the images of the set that are trained on.
        data: those images.
        direct: their warps by the direct solver; known: the same as what networks learn.
    """

    solved: SolvedSet
    method: NeuralMethod
    schedule: Schedule
    size: NetworkSize
    rows: Tensor
    data: TrainingSet
    direct: Warps

    @classmethod
    def of(cls, solved: SolvedSet, method: NeuralMethod, pixels: npt.NDArray[np.uint8] | None) -> _Job:
        size = NETWORKS[method.network]
        if size.pixels and pixels is None:
            raise CongealError("these networks see images: give pixels, or take the small ones")
        whole = (
            TrainingSet.of_pixels(solved.images, torch.as_tensor(np.ascontiguousarray(pixels)))
            if size.pixels
            else TrainingSet.of_tokens(solved.images)
        )
        rows = solved.good
        warps = warps_of(solved, size.resolution)
        return cls(solved, method, method.plan, size, rows, whole.some(rows), warps)

    @property
    def known(self) -> KnownMaps:
        """The direct maps of the images, as what networks learn."""
        device, count = self.rows.device, len(self.rows)
        saliency = cell_saliency(self.solved.aligned.atlas, count, self.size.resolution, device)
        warps = self.direct[self.rows]
        return KnownMaps(poses_of(warps), warps.displacement, cell_weight(saliency))

    @property
    def states(self) -> Tensor:
        """The mirror states that the direct solver found, bool [k]."""
        return self.solved.mirrored[self.rows]

    def run(self, checkpoints: Checkpoints) -> Refined:
        keeper = _Keeper(checkpoints)
        fast = self.schedule.fit_steps > 0
        reached: dict[str, tuple[dict[str, Tensor], Tensor]] = {}

        def attempt(pace: float) -> None:
            if keeper.fault is not None and pace == 1.0:
                raise keeper.fault
            networks = self.begun()
            if fast:
                self.fit(networks, pace, keeper)
                reached[FITTED] = keeper.fitted, self.states
            states = self.train(networks, pace, keeper)
            reached[REFINED] = _copied(networks), states

        faults = with_restart(attempt, keeper.diverged)
        said = {"faults": [str(fault) for fault in faults]} if faults else {}
        if not reached:
            why = f"the training diverged twice; {faults[-1]}"
            return Refined(self.solved.aligned, None, {"kept": DIRECT, "why": why, **said})
        found = self.chosen(reached)
        return replace(found, facts={**found.facts, **said})

    def begun(self) -> MappingNetworks:
        inputs, extent = self.data.images.shape[2], 1.0 if self.size.pixels else self.data.extent
        networks = MappingNetworks(inputs, self.size, extent, self.method.seed)
        return networks.to(self.rows.device)

    def fit(self, networks: MappingNetworks, pace: float, keeper: _Keeper) -> None:
        """Fit the networks to the direct maps, or take what an earlier run had reached."""
        if keeper.fitted:  # what is gone on from is beyond the fit
            networks.load_state_dict(keeper.fitted)
            return
        images = self.data.oriented(self.states, _every(self.data)).images[0]
        job = MapFitting(networks, images, self.known, self.schedule, self.method.seed, pace)
        keeper.resume(job, FITTED)
        while not job.done:
            job.step()
            keeper.keep(job, FITTED)
        keeper.fitted = _copied(networks)

    def train(self, networks: MappingNetworks, pace: float, keeper: _Keeper) -> Tensor:
        """Train by the losses; the mirror states at the end, bool [k]."""
        if self.schedule.fit_steps > 0:
            known = self.known
            seen = self.data.oriented(self.states, _every(self.data)).placed(
                grids.composed(known.poses, known.flow)
            )
            start, states = (seen.keys, seen.saliency), self.states
        else:
            still = grids.cells(self.size.resolution, self.rows.device).expand(len(self.data), -1, -1, -1)
            nobody = torch.zeros_like(self.states)
            seen = self.data.oriented(nobody, _every(self.data)).placed(still.contiguous())
            start, states = (seen.keys, seen.saliency), nobody
        fixed = self.method.reference == MEDOID
        if fixed:
            at = int((self.rows == int(self.solved.aligned.medoid)).int().argmax())
            start = (start[0][at : at + 1], start[1][at : at + 1])
        atlas = SemanticAtlas.from_images(*start, fixed=fixed).to(self.rows.device)
        job = Training(
            networks, atlas, self.data, self.schedule, mirrored=states, seed=self.method.seed, pace=pace
        )
        keeper.resume(job, REFINED)
        while not job.done:
            job.step()
            keeper.keep(job, REFINED)
        return job.mirrored

    def chosen(self, reached: Mapping[str, tuple[dict[str, Tensor], Tensor]]) -> Refined:
        """The better of what was reached and the direct maps, by free matches."""
        direct, matches = self.solved.aligned, free_matches(self.solved)
        tried = {DIRECT: direct}
        networks = self.begun().eval().requires_grad_(False)
        for name, (numbers, states) in reached.items():
            networks.load_state_dict(numbers)
            tried[name] = solution(self.solved, self.mapped(networks, states))
        shares = {name: self.share(aligned, matches) for name, aligned in tried.items()}
        of_networks = {name: shares[name] for name in reached}
        best = max(of_networks, key=lambda name: (of_networks[name], name))
        if self.schedule.fit_steps == 0:
            sound = tried[REFINED].status not in MEANINGLESS
            kept, why = (REFINED, None) if sound else (DIRECT, "the atlas of the networks has collapsed")
        elif REFINED not in reached:
            kept, why = DIRECT, "the training diverged twice"
        elif tried[best].status in MEANINGLESS or shares[best] < shares[DIRECT]:
            kept, why = DIRECT, "free matches bear the direct maps out better"
        else:
            kept, why = best, None
        networks.load_state_dict(reached[best][0])
        facts = {
            "kept": kept,
            **({"why": why} if why else {}),
            "explained": {name: round(share, TOLD) for name, share in shares.items()},
            "parameters": networks.parameters_in_all,
            "of_networks": best,
        }
        card = {"schedule": self.method.schedule, "network": self.method.network, "images": len(self.data)}
        return Refined(tried[kept], encode_networks(networks, card), facts)

    def share(self, aligned: Alignment, matches: Cycles | None) -> float:
        return 0.0 if matches is None else share_explained(self.solved, aligned, matches)

    @torch.no_grad()
    def mapped(self, networks: MappingNetworks, states: Tensor) -> Warps:
        """The warps of all images of the set: by the networks, of outliers by the direct solver."""
        images = self.data.oriented(states, _every(self.data)).images[0]
        poses, flow = networks(images)
        cells = min(self.solved.config.flow.finest_cells, self.data.keys.shape[-1], self.size.resolution)
        found = warps_from(poses, grids.resized_flow(flow, cells), states)
        direct = resized(self.direct, cells)
        a, b = direct.a.clone(), direct.b.clone()
        displacement, mirrored = direct.displacement.clone(), direct.mirrored.clone()
        a[self.rows], b[self.rows] = found.a, found.b
        displacement[self.rows], mirrored[self.rows] = found.displacement, found.mirrored
        return Warps(a, b, displacement, mirrored)


class _Keeper:
    """Checkpoints of the stages of a job: what to go on from, and now and then what was reached.

    Attributes:
        fitted: the numbers of the networks after the fit, by name; empty before.
        fault: how the first attempt went wrong, or None.
    """

    def __init__(self, checkpoints: Checkpoints, now: Callable[[], float] = time.monotonic) -> None:
        self._checkpoints, self._now, self._saved = checkpoints, now, -math.inf
        self._state: dict[str, Tensor] = {}
        self._stage = ""
        self.fitted: dict[str, Tensor] = {}
        self.fault: DivergedError | None = None
        data = checkpoints.load()
        if data is not None:
            tensors, card = decode_state(data)
            self._stage = str(card["stage"])
            self._state = {name: value for name, value in tensors.items() if not name.startswith(OF_FIT)}
            self.fitted = {
                name.removeprefix(OF_FIT): value for name, value in tensors.items() if name.startswith(OF_FIT)
            }
            if card.get("fault") is not None:
                self.fault = DivergedError(**card["fault"])

    def resume(self, job: MapFitting | Training, stage: str) -> None:
        """Go on, if the checkpoint is of this stage; it serves once."""
        if self._stage == stage:
            job.restore(self._state)
        self._stage, self._state = "", {}

    def keep(self, job: MapFitting | Training, stage: str) -> None:
        """Keep what was reached, if it is time."""
        if self._now() - self._saved < SAVE_EVERY:
            return
        fault = self.fault
        said = None if fault is None else {name: getattr(fault, name) for name in ("step", "what", "terms")}
        card = {"stage": stage, "fault": said}
        fitted = {f"{OF_FIT}{name}": value for name, value in self.fitted.items()}
        self._checkpoints.save(encode_state(job.state() | fitted, card))
        self._saved = self._now()

    def diverged(self, fault: DivergedError) -> None:
        """An attempt went wrong: the next begins with nothing."""
        if self.fault is None:
            self.fitted, self._state, self._stage = {}, {}, ""
        self.fault = fault


def _every(data: TrainingSet) -> Tensor:
    return torch.arange(len(data), device=data.keys.device)


def _copied(networks: MappingNetworks) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in networks.state_dict().items()}
