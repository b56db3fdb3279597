"""What a training is asked for: coefficients of losses, sizes of networks, schedules; presets by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_type_hints

import numpy as np

from congeal.alignment.inputs.solver_arguments import check_seed
from congeal.errors import CongealError

PUBLISHED, EVALUATION = "published", "evaluation"
SMALL, FAST = "small", "fast"
AUTO = "auto"
LEARNED, MEDOID = "learned", "medoid"
_MOST = sys.float_info.max


class Numbers:
    """A frozen table of numbers, words and switches, each of the kind that its annotation says.

    Raises CongealError, naming the field, for another kind, a number below 0 or one that is not finite.
    """

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            object.__setattr__(self, name, _checked(name, kind, getattr(self, name)))


def _checked(name: str, kind: Any, value: Any) -> Any:
    if kind is bool:
        if not isinstance(value, bool | np.bool_):
            raise CongealError(f"{name} is true or false, not {value!r:.80}")
        return bool(value)
    if kind is str:
        if not isinstance(value, str):
            raise CongealError(f"{name} is a word, not {value!r:.80}")
        return value
    if kind in (int, float):
        value = value.item() if isinstance(value, np.generic) else value
        taken = int if kind is int else int | float
        if not isinstance(value, taken) or isinstance(value, bool) or not 0 <= value <= _MOST:
            whole = "a whole number" if kind is int else "a number"
            raise CongealError(f"{name} is {whole} from 0 on, not {value!r:.80}")
        return kind(value)
    if not isinstance(value, tuple | list) or not value:
        raise CongealError(f"{name} is a list of whole numbers, not {value!r:.80}")
    return tuple(_checked(name, int, one) for one in value)


@dataclass(frozen=True)
class LossWeights(Numbers):
    """Coefficients of the losses as they are summed; the fields are named like `congeal.neural.losses.TERMS`.

    Attributes:
        keys_mse, keys_cosine: of the keys of atlas and image.
        saliency: of their saliency.
        scale, magnitude: of the similarity's distance from scale 1, and of the flow's length.
        local_rigidity, global_rigidity: of maps that bend, from cell to cell and over ``global_offset``.
        centre: of the salient region's distance from the atlas' middle.
        saliency_sparsity, keys_sparsity: of atlases that show more than they need to.
        l1_share, l0_share: of both parts of the saliency's sparsity.
        huber: where the saliency's loss turns from a square to a line.
        global_offset: distance of two cells for the global rigidity, as a share of the atlas' side.
    """

    keys_mse: float = 3500.0
    keys_cosine: float = 4000.0
    saliency: float = 5000.0
    scale: float = 800.0
    magnitude: float = 8000.0
    local_rigidity: float = 100.0
    global_rigidity: float = 350.0
    centre: float = 3000.0
    saliency_sparsity: float = 450.0
    keys_sparsity: float = 10.0
    l1_share: float = 1.0
    l0_share: float = 0.5
    huber: float = 0.7
    global_offset: float = 20 / 128


LOSSES: Mapping[str, LossWeights] = {
    PUBLISHED: LossWeights(),
    # The paper's evaluation sets bend more: local rigidity × 0.25, global rigidity 0.9 of the softened local.
    EVALUATION: LossWeights(local_rigidity=25.0, global_rigidity=90.0),
}


@dataclass(frozen=True)
class NetworkSize(Numbers):
    """Size of a pair of mapping networks.

    Attributes:
        name: for records.
        input_size: cells along a side of what the networks see; the flow network sees it in its place in the
            atlas at the same number.
        stem: channels of the first layer.
        channels: channels after each halving of the grid, in order, of the trunk of both networks: the flow
            network halves until its grid has ``coarse`` cells a side, the similarity network goes on to 4.
        coarse: cells along a side of the flow before upsampling.
        upsampling: by how much the flow is upsampled, with learned convex weights.
        pixels: whether the networks see the image (RGB), else the backbone's tokens and their saliency.
    """

    name: str
    input_size: int
    stem: int
    channels: tuple[int, ...]
    coarse: int
    upsampling: int
    pixels: bool

    @property
    def resolution(self) -> int:
        """Cells along a side of the upsampled flow."""
        return self.coarse * self.upsampling


NETWORKS: dict[str, NetworkSize] = {
    SMALL: NetworkSize(SMALL, 32, 32, (32, 32, 48), 16, 2, pixels=False),
    PUBLISHED: NetworkSize(PUBLISHED, 128, 64, (128, 256, 512, 512, 512), 16, 8, pixels=True),
}


@dataclass(frozen=True)
class Schedule(Numbers):
    """How long what is trained; an epoch shows every image once.

    Attributes:
        name: for records.
        fit_steps: steps by which the networks are fitted to the direct solver's maps first; 0: random start.
        fit_rate: highest learning rate of those.
        epochs: of the training by the losses.
        bootstrap: how many of these train the similarity network alone.
        batch: images of a step.
        network_rate, atlas_rate: learning rates (Adam).
        decide_every: epochs between two decisions on mirror states, and on which image joins the atlas next.
        gradual: whether images join the atlas one by one.
        mirrors: whether both orientations of an image are trained and compared.
        losses: preset of the coefficients.
        flow_steps: steps after ``fit_steps`` in which the flow network alone learns what is still lacking,
            for up to ten images; for more in proportion, so that each is seen as often.
    """

    name: str
    fit_steps: int
    fit_rate: float
    epochs: int
    bootstrap: int
    batch: int
    network_rate: float
    atlas_rate: float
    decide_every: int = 100
    gradual: bool = False
    mirrors: bool = True
    losses: str = PUBLISHED
    flow_steps: int = 0


SCHEDULES: dict[str, Schedule] = {
    FAST: Schedule(FAST, 800, 2e-3, 60, 0, 8, 5e-6, 1e-3, mirrors=False, losses=EVALUATION, flow_steps=800),
    PUBLISHED: Schedule(PUBLISHED, 0, 0.0, 8000, 1000, 2, 1e-4, 8e-4),
}


@dataclass(frozen=True)
class NeuralMethod:
    """How networks are trained; presets by name.

    Attributes:
        schedule: "fast" (from the direct solver's maps) or "published" (the paper's, from a random start).
        network: "small" (on the backbone's tokens) or "published" (on the images).
        losses: preset of their coefficients, "published" or "evaluation" (softer); "auto": the schedule's.
        seed: of the networks and of the order of the images.
        gradual: whether images join the atlas one by one; with the published schedule.
        reference: the atlas is "learned", or the "medoid", the most central image, which stays as it is (the
            published mode with a fixed reference).
    """

    schedule: str = FAST
    network: str = SMALL
    losses: str = AUTO
    seed: int = 0
    gradual: bool = False
    reference: str = LEARNED

    def __post_init__(self) -> None:
        if not isinstance(self.gradual, bool):
            raise CongealError(f"gradual is true or false, not {self.gradual!r:.80}")
        object.__setattr__(self, "seed", check_seed(self.seed))
        for name, value, known in (
            ("reference", self.reference, (LEARNED, MEDOID)),
            ("schedule", self.schedule, SCHEDULES),
            ("network", self.network, NETWORKS),
            ("losses", self.losses, (AUTO, *LOSSES)),
        ):
            if not isinstance(value, str) or value not in known:
                raise CongealError(f"{name} is one of {', '.join(known)}, not {value!r:.80}")
        if self.gradual and self.schedule == FAST:
            raise CongealError("images join one by one in the published schedule; the fast is too short")

    @property
    def plan(self) -> Schedule:
        """The schedule, with the losses that are asked for."""
        found = replace(SCHEDULES[self.schedule], gradual=self.gradual)
        return found if self.losses == AUTO else replace(found, losses=self.losses)


def as_record(config: LossWeights | NetworkSize | Schedule) -> dict[str, object]:
    """The fields as JSON values."""
    return {
        one.name: list(value) if isinstance(value := asdict(config)[one.name], tuple) else value
        for one in fields(config)
    }
