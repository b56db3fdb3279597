"""The one box for the tensors of a set: what every step of the solver takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SetTensors:
    """n images on grids of one size, on one device; float32.

    Attributes:
        features, mirrored_features: [n, g, g, c], unit length, of the images and of their mirror images; zero
            for images that are not finite.
        saliency, mirrored_saliency: [n, g, g].
        valid: [n, g, g], 1 where a token lies on the image, 0 on its padding and on images that are blank.
        sound: bool [n], the images that can be used.
        blank: bool [n], of the others those in which no place differs from another; the rest of them have
            features that are not finite.
        extent: half the side of the token grid in frame units.
    """

    features: Tensor
    mirrored_features: Tensor
    saliency: Tensor
    mirrored_saliency: Tensor
    valid: Tensor
    sound: Tensor
    blank: Tensor
    extent: float

    def __len__(self) -> int:
        return len(self.sound)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.sound.device

    @staticmethod
    def joined(parts: Sequence[SetTensors]) -> SetTensors:
        """The images of all parts, in order; their grids have one size and extent."""
        names = (
            "features",
            "mirrored_features",
            "saliency",
            "mirrored_saliency",
            "valid",
            "sound",
            "blank",
        )
        columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return SetTensors(**columns, extent=parts[0].extent)
