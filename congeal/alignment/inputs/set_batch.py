"""Ragged batch of image sets; `members.owner[i]` is the set of image i."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from congeal.alignment.config.inputs import TokensConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.alignment.inputs.tokens import Tokens, select_tokens
from congeal.geometry.segments import Membership


@dataclass(frozen=True)
class SetBatch(SetTensors):
    """The images of s sets, each in the basis of its own set.

    Attributes:
        members: which set each image is of.
        tokens, mirrored_tokens: the most salient tokens of the images and of their mirror images.
    """

    members: Membership
    tokens: Tokens
    mirrored_tokens: Tokens

    @classmethod
    def of(cls, sets: Sequence[SetTensors], config: TokensConfig) -> SetBatch:
        """The batch of some sets, in order, on grids of one size and extent."""
        joined = SetTensors.joined(sets) if len(sets) > 1 else sets[0]
        members = Membership.of([len(one) for one in sets], joined.device)
        # Set by set: an image's tokens then do not depend on the other sets.
        tokens = [select_tokens(one.features, one.saliency, one.extent, config) for one in sets]
        mirrored = [
            select_tokens(one.mirrored_features, one.mirrored_saliency, one.extent, config) for one in sets
        ]
        return cls(
            joined.features,
            joined.mirrored_features,
            joined.saliency,
            joined.mirrored_saliency,
            joined.valid,
            joined.sound,
            joined.blank,
            joined.extent,
            members,
            Tokens.joined(tokens),
            Tokens.joined(mirrored),
        )

    @property
    def count(self) -> int:
        """How many sets there are."""
        return len(self.members.sizes)

    def oriented(self, mirrored: Tensor, weight: Tensor) -> Oriented:
        """The images, the flagged ones mirrored: bool [n]; weight: in the atlas, float32 [n]."""
        flag = mirrored.view(-1, 1, 1)
        return Oriented(
            torch.where(flag[..., None], self.mirrored_features, self.features),
            torch.where(flag, self.mirrored_saliency, self.saliency),
            torch.where(flag, self.valid.flip(2), self.valid),
            self.extent,
            weight,
            self.members.owner,
            self.count,
        )

    def with_saliency(self, discriminants: Sequence[Discriminant | None], config: TokensConfig) -> SetBatch:
        """The same with the saliency of each set's discriminant; None: as before."""
        if not any(discriminants):
            return self
        saliency, mirrored = self.saliency.clone(), self.mirrored_saliency.clone()
        for rows, discriminant in zip(self.members.slices, discriminants, strict=True):
            if discriminant is not None:
                saliency[rows] = discriminant(self.features[rows], self.valid[rows])
                mirrored[rows] = discriminant(self.mirrored_features[rows], self.valid[rows].flip(2))
        return replace(
            self,
            saliency=saliency,
            mirrored_saliency=mirrored,
            tokens=select_tokens(self.features, saliency, self.extent, config),
            mirrored_tokens=select_tokens(self.mirrored_features, mirrored, self.extent, config),
        )

    def oriented_tokens(self, mirrored: Tensor, rows: Tensor) -> Tokens:
        """The tokens of some images, int64 [k], those flagged mirrored; mirrored: bool [n], of all."""
        flag, plain, turned = mirrored[rows][:, None], self.tokens[rows], self.mirrored_tokens[rows]
        return Tokens(
            torch.where(flag, turned.index, plain.index),
            torch.where(flag, turned.position, plain.position),
            torch.where(flag, turned.weight, plain.weight),
            torch.where(flag[..., None], turned.features, plain.features),
        )
