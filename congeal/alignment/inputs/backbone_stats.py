"""What is known of the backbone that made the features of all sets of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config.inputs import FeaturesConfig
from congeal.alignment.inputs.solver_arguments import numbers
from congeal.alignment.model import Mixture
from congeal.errors import CongealError
from congeal_floors.plurals import counted

Parts = Mapping[str, int]  # where in the backbone channels were taken, in order, and how many there


@dataclass(frozen=True)
class BackboneFacts:
    """What of `congeal.align`'s arguments is the backbone's, and not a set's; see there.

    Attributes:
        position: float32 [k, c].
        parts: of the features.
        blank: contrast of images without content, a number a part.
    """

    position: npt.NDArray[np.floating] | None = None
    parts: Parts | None = None
    blank: Sequence[float] | npt.NDArray[np.floating] | None = None

    def check(self, channels: int) -> None:
        """Raises CongealError if something does not go with features of so many channels."""
        if self.parts is not None and not isinstance(self.parts, Mapping):
            raise CongealError(f"parts is {type(self.parts).__name__}, not a dictionary of names to channels")
        if self.position is not None and np.shape(self.position)[1:] != (channels,):
            shape = list(np.shape(self.position))
            raise CongealError(f"position has the shape {shape}, the features ask for [k, {channels}]")
        if self.position is not None and not np.isfinite(numbers(self.position, "position")).all():
            raise CongealError("position holds numbers that are not finite")
        sizes = [channels] if self.parts is None else list(self.parts.values())
        if not all(isinstance(size, int | np.integer) and not isinstance(size, bool) for size in sizes):
            raise CongealError(f"parts has whole numbers of channels, not {sizes}")
        if sum(sizes) != channels or min(sizes) < 1:
            listed = ", ".join(f"{name} {size}" for name, size in (self.parts or {}).items())
            raise CongealError(f"parts ({listed}) do not make up features of {counted(channels, 'channel')}")
        if self.blank is not None and np.shape(numbers(self.blank, "blank")) != (len(sizes),):
            given = np.size(self.blank) if np.ndim(self.blank) == 1 else "no list of"
            raise CongealError(f"blank has {given} numbers, and the features {len(sizes)} parts")
        if self.blank is not None and not np.isfinite(numbers(self.blank, "blank")).all():
            raise CongealError("blank holds numbers that are not finite")

    def directions(self, device: torch.device) -> Tensor | None:
        """The position directions on a device."""
        if self.position is None:
            return None
        return torch.from_numpy(numbers(self.position, "position")).to(device).float()

    def least_contrast(self, mixture: Mixture, config: FeaturesConfig) -> float:
        """The contrast that an image must have to show anything; 0 if that is not known.

        mixture: the parts that are compared; empty: all.
        """
        if self.blank is None:
            return 0.0
        used = [not mixture or name in mixture for name in self.parts or ("",)]
        usual = float(np.mean(numbers(self.blank, "blank")[used]))
        # Enough in any case: a backbone may see much in nothing.
        return min(config.blank_contrast_factor * usual, config.blank_contrast_limit)
