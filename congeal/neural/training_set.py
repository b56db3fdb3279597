"""What a training sees of a set: its images in both orientations, on one device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.neural import grids
from congeal.neural.losses import Seen

INSIDE = 0.5  # of the bilinear weight of a place that lies on an image, so that it counts


@dataclass(frozen=True)
class TrainingSet:
    """n images, as they are [0] and mirrored [1]; float32.

    Attributes:
        images: [2, n, i, h, w], what the networks see, over the whole frame or the tokens' part of it.
        keys: [2, n, c, g, g].
        saliency, valid: [2, n, g, g].
        extent: half the side of the token grid in frame units.
    """

    images: Tensor
    keys: Tensor
    saliency: Tensor
    valid: Tensor
    extent: float

    def __len__(self) -> int:
        return self.keys.shape[1]

    @classmethod
    def of_tokens(cls, images: SetTensors) -> TrainingSet:
        """Networks that see the backbone's tokens and their saliency, at about variance 1."""
        keys = torch.stack([images.features, images.mirrored_features]).permute(0, 1, 4, 2, 3).contiguous()
        saliency = torch.stack([images.saliency, images.mirrored_saliency])
        valid = torch.stack([images.valid, images.valid.flip(2)])
        return cls(token_inputs(keys, saliency, valid), keys, saliency * valid, valid, images.extent)

    @classmethod
    def of_pixels(cls, images: SetTensors, pixels: Tensor) -> TrainingSet:
        """Networks that see the images themselves; pixels: uint8 [n, s, s, 3], over the whole frame."""
        seen = cls.of_tokens(images)
        shown = pixels.to(images.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        both = torch.stack([shown, shown.flip(3)])
        return cls(both, seen.keys, seen.saliency, seen.valid, seen.extent)

    def oriented(self, mirrored: Tensor, rows: Tensor) -> TrainingSet:
        """Some images, rows int64 [k], in their orientations, mirrored bool [k]: a set of [1, k, …]."""
        state, parts = mirrored.long(), (self.images, self.keys, self.saliency, self.valid)
        images, keys, saliency, valid = (part[state, rows][None] for part in parts)
        return TrainingSet(images, keys, saliency, valid, self.extent)

    def some(self, rows: Tensor) -> TrainingSet:
        """Some images, int64 [k], in both orientations."""
        parts = (self.images, self.keys, self.saliency, self.valid)
        images, keys, saliency, valid = (part[:, rows] for part in parts)
        return TrainingSet(images, keys, saliency, valid, self.extent)

    def placed(self, places: Tensor) -> Seen:
        """The images [1, k, …] in their places [k, r, r, 2] in the atlas."""
        k = len(places)
        flat = places.view(k, places.shape[1], -1, 2)
        keys = grids.sampled(self.keys[0], flat, self.extent)
        fields = torch.stack([self.saliency[0], self.valid[0]], 1)
        saliency = grids.sampled(fields[:, :1], flat, self.extent, "zeros")[:, 0]
        with torch.no_grad():
            inside = (grids.sampled(fields[:, 1:], flat, self.extent, "zeros")[:, 0] > INSIDE).float()
        return Seen(keys, saliency, inside)


def token_inputs(keys: Tensor, saliency: Tensor, valid: Tensor) -> Tensor:
    """[…, c + 1, g, g] of keys […, c, g, g] of unit length and their saliency […, g, g]; 0 off the image."""
    shown = torch.cat([keys * keys.shape[-3] ** 0.5, 2 * saliency.unsqueeze(-3) - 1], -3)
    return shown * valid.unsqueeze(-3)
