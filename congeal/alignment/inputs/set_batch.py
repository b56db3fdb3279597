"""Several sets side by side: their images in one batch, in which every image knows its set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.image_set import ImageSet
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.tokens import TOKENS, Tokens, select_tokens
from congeal.geometry.segments import Membership


@dataclass(frozen=True)
class Company:
    """n images of s sets on grids of one size and extent, each in the basis of its own set; float32.

    Attributes:
        members: which set each image is of.
        features, mirrored: [n, g, g, d], unit length, of the images and of their mirror images.
        saliency, mirrored_saliency, valid: [n, g, g].
        sound: bool [n], the images that can be used.
        blank: bool [n], of the others those that show nothing.
        extent: half the side of the token grid in frame units.
        tokens, mirrored_tokens: the most salient tokens of the images and of their mirror images.
    """

    members: Membership
    features: Tensor
    mirrored: Tensor
    saliency: Tensor
    mirrored_saliency: Tensor
    valid: Tensor
    sound: Tensor
    blank: Tensor
    extent: float
    tokens: Tokens
    mirrored_tokens: Tokens

    @classmethod
    def of(cls, images: ImageSet) -> Company:
        """One set without company."""
        inputs = images.inputs
        return cls(
            Membership.of([len(images)], images.features.device),
            images.features,
            images.mirrored,
            images.saliency,
            images.mirrored_saliency,
            inputs.valid,
            inputs.sound,
            inputs.blank,
            inputs.extent,
            select_tokens(images.features, images.saliency, inputs.extent, TOKENS),
            select_tokens(images.mirrored, images.mirrored_saliency, inputs.extent, TOKENS),
        )

    @classmethod
    def joined(cls, parts: Sequence[Company]) -> Company:
        """The sets of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        sizes = [size for part in parts for size in part.members.sizes]
        return cls(
            Membership.of(sizes, parts[0].sound.device),
            torch.cat([part.features for part in parts]),
            torch.cat([part.mirrored for part in parts]),
            torch.cat([part.saliency for part in parts]),
            torch.cat([part.mirrored_saliency for part in parts]),
            torch.cat([part.valid for part in parts]),
            torch.cat([part.sound for part in parts]),
            torch.cat([part.blank for part in parts]),
            parts[0].extent,
            Tokens.joined([part.tokens for part in parts]),
            Tokens.joined([part.mirrored_tokens for part in parts]),
        )

    def facing(self, mirrored: Tensor, weight: Tensor) -> Oriented:
        """The images with the flagged ones mirrored, each with its say in the atlas of its set.

        mirrored: bool [n]. weight: float32 [n].
        """
        flag = mirrored.view(-1, 1, 1)
        return Oriented(
            torch.where(flag[..., None], self.mirrored, self.features),
            torch.where(flag, self.mirrored_saliency, self.saliency),
            torch.where(flag, self.valid.flip(2), self.valid),
            self.extent,
            weight,
            self.members.owner,
            len(self.members.sizes),
        )

    def lit_by(self, learned: Sequence[Discriminant | None]) -> Company:
        """The same with what each set's discriminant finds salient; None: as before."""
        if not any(learned):
            return self
        saliency, mirrored = self.saliency.clone(), self.mirrored_saliency.clone()
        for rows, discriminant in zip(self.members.slices, learned, strict=True):
            if discriminant is not None:
                saliency[rows] = discriminant(self.features[rows], self.valid[rows])
                mirrored[rows] = discriminant(self.mirrored[rows], self.valid[rows].flip(2))
        return replace(
            self,
            saliency=saliency,
            mirrored_saliency=mirrored,
            tokens=select_tokens(self.features, saliency, self.extent, TOKENS),
            mirrored_tokens=select_tokens(self.mirrored, mirrored, self.extent, TOKENS),
        )

    def tokens_facing(self, mirrored: Tensor, rows: Tensor) -> Tokens:
        """The tokens of some images, int64 [k]; mirrored: bool [n], of all."""
        flag, plain, turned = mirrored[rows][:, None], self.tokens[rows], self.mirrored_tokens[rows]
        return Tokens(
            torch.where(flag, turned.index, plain.index),
            torch.where(flag, turned.position, plain.position),
            torch.where(flag, turned.weight, plain.weight),
            torch.where(flag[..., None], turned.features, plain.features),
        )
