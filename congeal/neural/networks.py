"""The mapping networks: a similarity stage, then a residual-flow stage on the image in its place."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from congeal.neural import grids
from congeal.neural.config import NetworkSize

SLOPE = 0.2
KEPT = math.sqrt(2 / (1 + SLOPE**2))  # gain by which the rectifier keeps the variance
HALF = math.sqrt(0.5)  # gain of each of two that are added
LAST_GRID = 4  # cells along a side at which the similarity network stops halving


class Scaled(nn.Module):
    """A convolution whose weights have variance 1 and are scaled by their number: all learn at one pace."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, gain: float = 1.0, zero: bool = False):
        super().__init__()
        shape = (outputs, inputs, kernel, kernel)
        self.weight = nn.Parameter(torch.zeros(shape) if zero else torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.factor = gain / math.sqrt(inputs * kernel**2)
        self.padding = kernel // 2

    def forward(self, x: Tensor, gain: float = 1.0, before: Scaled | None = None) -> Tensor:
        """[n, inputs, h, w] to [n, outputs, h, w], times a gain; before: see `weight_after`."""
        factor = self.factor * gain
        weight = self.weight if before is None else self.weight_after(before)
        # Whichever has fewer numbers is scaled: it comes to the same.
        if x.numel() < weight.numel():
            return functional.conv2d(x * factor, weight, self.bias * gain, padding=self.padding)
        return functional.conv2d(x, weight * factor, self.bias * gain, padding=self.padding)

    def activated(self, x: Tensor, gain: float = 1.0, before: Scaled | None = None) -> Tensor:
        """The same, leaky rectified at the variance it had: [n, inputs, h, w] to [n, outputs, h, w].

        The rectifier lets a gain through.
        """
        return functional.leaky_relu(self.forward(x, gain * KEPT, before), SLOPE)

    def weight_after(self, before: Scaled) -> Tensor:
        """The weight of the one convolution that a 1 × 1 one and then this come to: [outputs, i + 1, k, k].

        It sees the i inputs of the first, and a channel of ones for its bias: that of a cell beyond the image
        counts nowhere.
        """
        first = torch.cat([before.weight[:, :, 0, 0] * before.factor, before.bias[:, None]], 1)
        # Products one by one stay exact where products of matrices are rounded for speed; channels come last,
        # the order in which large convolutions are quicker.
        found: Tensor = (self.weight.permute(0, 2, 3, 1)[..., None] * first).sum(-2)
        return found.permute(0, 3, 1, 2)


def activated(x: Tensor) -> Tensor:
    """Leaky rectified, at the variance it had: [...] to [...]."""
    return functional.leaky_relu(x, SLOPE) * KEPT


def halved(x: Tensor) -> Tensor:
    """Half as many cells a side, blurred first: [n, c, 2h, 2w] to [n, c, h, w]."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        found: Tensor = _Halved.apply(x)
        return found
    return functional.avg_pool2d(x, 2)


class _Halved(torch.autograd.Function):
    """The mean of 2 × 2 cells by operations that PyTorch computes quicker in bfloat16 on a processor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return functional.interpolate(gradient * 0.25, scale_factor=2, mode="nearest")


class HalvingBlock(nn.Module):
    """Two convolutions beside a short cut, and half as many cells a side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = Scaled(inputs, inputs), Scaled(inputs, outputs)
        self.short = Scaled(inputs, outputs, 1)

    def forward(self, x: Tensor, before: Scaled | None = None) -> Tensor:
        """[n, inputs, 2h, 2w] to [n, outputs, h, w]; before: see `Scaled.weight_after`."""
        long = self.second.activated(halved(self.first.activated(x, before=before)), HALF)
        found: Tensor = long + self.short(halved(x), HALF, before)
        return found


class Trunk(nn.Sequential):
    """A 1 × 1 convolution, and blocks that halve.

    Nothing lies between the first layer and the first block's convolutions. Where images have few channels
    (three colours), both are computed as one, of as few: what becomes of each colour, 64 channels of each
    pixel, need never be written, and most products are saved.
    """

    def __init__(self, stem: Scaled, *blocks: HalvingBlock) -> None:
        super().__init__(stem, *blocks)
        channels, inputs = stem.weight.shape[:2]
        self.joins = bool(blocks) and inputs < channels // 2

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, s, s] to [n, width, h, w]."""
        stem, *blocks = self
        if not self.joins:
            x = stem(x)
        for at, block in enumerate(blocks):
            joined = self.joins and at == 0
            x = block(functional.pad(x, (0, 0, 0, 0, 0, 1), value=1.0), stem) if joined else block(x)
        return x


def _trunk(inputs: int, size: NetworkSize, last: int) -> tuple[Trunk, int]:
    """Blocks from ``size.input_size`` down to so many cells a side, and the channels they end with."""
    stem, blocks = Scaled(inputs, size.stem, 1), list[HalvingBlock]()
    now, side = size.stem, size.input_size
    for step in range(round(math.log2(size.input_size / last))):
        after = size.channels[min(step, len(size.channels) - 1)]
        blocks.append(HalvingBlock(now, after))
        now, side = after, side // 2
    return Trunk(stem, *blocks), now


class SimilarityNetwork(nn.Module):
    """From images to the logits of `congeal.neural.grids.pose_of`; it begins with the identity."""

    def __init__(self, inputs: int, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.trunk, width = _trunk(inputs, size, LAST_GRID)
        self.mixed = Scaled(width, width)
        self.joined = nn.Linear(width * LAST_GRID**2, width)
        self.said = nn.Linear(width, 4)
        nn.init.zeros_(self.said.weight)
        nn.init.zeros_(self.said.bias)

    def forward(self, images: Tensor) -> Tensor:
        """[n, inputs, h, w] over the whole frame to logits [n, 4]."""
        side = self.size.input_size
        if images.shape[-1] != side:
            images = functional.interpolate(
                images, size=(side, side), mode="bilinear", align_corners=False, antialias=True
            )
        x = self.mixed.activated(self.trunk(images))
        said: Tensor = self.said(activated(self.joined(x.flatten(1))))
        return said


class FlowNetwork(nn.Module):
    """From images in their places in the atlas to a coarse flow, upsampled by learned convex weights."""

    def __init__(self, inputs: int, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.trunk, width = _trunk(inputs, size, size.coarse)
        self.mixed = Scaled(width, width)
        self.coarse = Scaled(width, 2, zero=True)
        self.weights = Scaled(width, 9 * size.upsampling**2, zero=True)

    def forward(self, images: Tensor) -> Tensor:
        """[n, inputs, s, s] over the atlas to a flow [n, r, r, 2] in atlas units."""
        x = self.mixed.activated(self.trunk(images))
        return convex_upsampled(self.coarse(x), self.weights(x), self.size.upsampling)


def convex_upsampled(flow: Tensor, weights: Tensor, factor: int) -> Tensor:
    """A flow with ``factor`` times as many cells a side, each a convex combination of 3 × 3 coarse cells.

    Args:
        flow: [n, 2, h, w].
        weights: [n, 9·factor², h, w]: of each coarse cell, the logits of its nine neighbours, row by row, for
            each of its factor² fine cells, row by row.
        factor: how many fine cells a coarse one has along a side.

    Returns:
        [n, factor·h, factor·w, 2].
    """
    n, _, h, w = flow.shape
    share = weights.view(n, 9, factor, factor, h, w).softmax(1)
    padded = functional.pad(flow, (1, 1, 1, 1), mode="replicate")
    near = functional.unfold(padded, 3).view(n, 2, 9, 1, 1, h, w)
    fine = (share[:, None] * near).sum(2)  # [n, 2, factor, factor, h, w]
    return fine.permute(0, 4, 2, 5, 3, 1).reshape(n, factor * h, factor * w, 2)


class MappingNetworks(nn.Module):
    """Both stages: the map of an image is its similarity after its flow.

    Attributes:
        inputs: channels of what the networks see.
        size: of the networks.
        extent: half the side of what they see, in frame units.
    """

    def __init__(self, inputs: int, size: NetworkSize, extent: float = 1.0, seed: int = 0) -> None:
        """seed: of the weights at the start."""
        super().__init__()
        self.inputs, self.size, self.extent = inputs, size, extent
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.similarity = SimilarityNetwork(inputs, size)
            self.residual = FlowNetwork(inputs, size)
        if size.pixels:  # the order in which large convolutions are quicker
            self.to(memory_format=torch.channels_last)

    def poses(self, images: Tensor) -> Tensor:
        """Poses [n, 4] of images [n, inputs, h, w] over the whole frame."""
        return grids.pose_of(self.similarity(images))

    def flows(self, images: Tensor, poses: Tensor) -> Tensor:
        """Flows [n, r, r, 2] of images that lie in poses [n, 4]; no gradient reaches the poses from here."""
        side = self.size.input_size
        places = grids.placed(poses.detach(), grids.cells(side, images.device)[None])
        flow: Tensor = self.residual(grids.sampled(images, places, self.extent))
        return flow

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Poses [n, 4] and flows [n, r, r, 2] of images [n, inputs, h, w]."""
        poses = self.poses(images)
        return poses, self.flows(images, poses)

    @property
    def parameters_in_all(self) -> int:
        """How many numbers the networks have."""
        return sum(value.numel() for value in self.parameters())
