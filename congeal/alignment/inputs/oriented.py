"""A batch of images in their chosen mirror state."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Oriented:
    """n images of s sets, those that are mirrored mirrored.

    Attributes:
        features: float32 [n, g, g, c], unit length.
        saliency: float32 [n, g, g].
        valid: float32 [n, g, g], 1 where a token lies on the image, 0 on its padding.
        extent: half the side of the token grid in frame units.
        weight: float32 [n], of an image in the atlas, 0 for outliers.
        owner: int64 [n], which set each image is of.
        sets: how many sets there are.
    """

    features: Tensor
    saliency: Tensor
    valid: Tensor
    extent: float
    weight: Tensor
    owner: Tensor
    sets: int

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, rows: slice | Tensor) -> Oriented:
        """Some of the images."""
        return Oriented(
            self.features[rows],
            self.saliency[rows],
            self.valid[rows],
            self.extent,
            self.weight[rows],
            self.owner[rows],
            self.sets,
        )


def maybe_any(mask: Tensor) -> bool:
    """Whether a mask, bool [...], has a place that is set.

    Of a mask on a GPU True: to ask would be to wait for all that is computed there.
    """
    return mask.device.type != "cpu" or bool(mask.any())
