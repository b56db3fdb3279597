"""What a training sees of a set: its images in both orientations, on one device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.neural import grids
from congeal.neural.key_matching import KeyTable
from congeal.neural.losses import Distances, Seen, Shown, distances_of, key_distances

INSIDE = 0.5  # of the bilinear weight of a place that lies on an image, so that it counts


@dataclass(frozen=True)
class TrainingSet:
    """n images, as they are [0] and mirrored [1]; float32.

    Attributes:
        images: [2, n, i, h, w], what the networks see, over the whole frame or the tokens' part of it.
        keys: [2, n, c, g, g].
        saliency, valid: [2, n, g, g].
        extent: half the side of the token grid in frame units.
        table: the same keys for products with them, of [2, n, …]; None where sampling them is quicker (GPUs).
    """

    images: Tensor
    keys: Tensor
    saliency: Tensor
    valid: Tensor
    extent: float
    table: KeyTable | None = None

    def __len__(self) -> int:
        return self.keys.shape[1]

    @classmethod
    def of_tokens(cls, images: SetTensors) -> TrainingSet:
        """Networks that see the backbone's tokens and their saliency, at about variance 1."""
        keys = torch.stack([images.features, images.mirrored_features]).permute(0, 1, 4, 2, 3).contiguous()
        saliency = torch.stack([images.saliency, images.mirrored_saliency])
        valid = torch.stack([images.valid, images.valid.flip(2)])
        table = KeyTable.of(keys) if keys.device.type == "cpu" else None
        return cls(token_inputs(keys, saliency, valid), keys, saliency * valid, valid, images.extent, table)

    @classmethod
    def of_pixels(cls, images: SetTensors, pixels: Tensor) -> TrainingSet:
        """Networks that see the images themselves; pixels: uint8 [n, s, s, 3], over the whole frame."""
        seen = cls.of_tokens(images)
        shown = pixels.to(images.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        both = torch.stack([shown, shown.flip(3)])
        return replace(seen, images=both)

    def oriented(self, mirrored: Tensor, rows: Tensor) -> TrainingSet:
        """Some images, rows int64 [k], in their orientations, mirrored bool [k]: a set of [1, k, …]."""
        state, parts = mirrored.long(), (self.images, self.keys, self.saliency, self.valid)
        images, keys, saliency, valid = (part[state, rows][None] for part in parts)
        table = None if self.table is None else self.table.some(state, rows).some(None)
        return TrainingSet(images, keys, saliency, valid, self.extent, table)

    def some(self, rows: Tensor) -> TrainingSet:
        """Some images, int64 [k], in both orientations."""
        parts = (self.images, self.keys, self.saliency, self.valid)
        images, keys, saliency, valid = (part[:, rows] for part in parts)
        table = None if self.table is None else self.table.some(slice(None), rows)
        return TrainingSet(images, keys, saliency, valid, self.extent, table)

    def placed(self, places: Tensor) -> Seen:
        """The images [1, k, …] in their places [k, r, r, 2] in the atlas."""
        shown = self.shown(places)
        return Seen(grids.sampled(self.keys[0], places, self.extent), shown.saliency, shown.inside)

    def shown(self, places: Tensor) -> Shown:
        """The same without the keys."""
        k = len(places)
        flat = places.view(k, places.shape[1], -1, 2)
        fields = torch.stack([self.saliency[0], self.valid[0]], 1)
        saliency = grids.sampled(fields[:, :1], flat, self.extent, "zeros")[:, 0]
        with torch.no_grad():
            inside = (grids.sampled(fields[:, 1:], flat, self.extent, "zeros")[:, 0] > INSIDE).float()
        return Shown(saliency, inside)

    def distances(self, keys: Tensor, squares: Tensor, places: Tensor) -> Distances:
        """How far the keys of an atlas [c, r, r], whose squares are [r, r], are from the images' there.

        The images are [1, k, …], in their places [k, r, r, 2]. See `congeal.neural.losses.key_distances`.
        """
        if self.table is None:
            return key_distances(keys, grids.sampled(self.keys[0], places, self.extent))
        dot, two = self.table.some(0).products(keys, places, self.extent)
        return distances_of(dot, squares, two, len(keys))


def token_inputs(keys: Tensor, saliency: Tensor, valid: Tensor) -> Tensor:
    """[…, c + 1, g, g] of keys […, c, g, g] of unit length and their saliency […, g, g]; 0 off the image."""
    shown = torch.cat([keys * keys.shape[-3] ** 0.5, 2 * saliency.unsqueeze(-3) - 1], -3)
    return shown * valid.unsqueeze(-3)
