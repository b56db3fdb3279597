"""Networks and losses of a training as they are written down: image by image, layer by layer, term by term.

What the loop of `congeal.neural` is judged by and measured against (`benchmarks/neural/networks.py loop`):
float32, tensors in PyTorch's usual order, no two things in one pass.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from congeal.neural import grids, losses
from congeal.neural.networks import HALF, KEPT, SLOPE, MappingNetworks
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.training import Training


class PlainTraining:
    """A copy of the networks and the atlas of a training, which learns by plain Adam."""

    def __init__(self, training: Training) -> None:
        self.data, self.weights = training.data, training.weights
        self.networks: MappingNetworks = copy.deepcopy(training.networks).to(
            memory_format=torch.contiguous_format
        )
        self.atlas: SemanticAtlas = copy.deepcopy(training.atlas)
        self.atlas.keys = torch.nn.Parameter(
            training.atlas.keys.detach().clone(memory_format=torch.contiguous_format)
        )
        rates = ((self.networks, training.schedule.network_rate), (self.atlas, training.schedule.atlas_rate))
        self.adam = torch.optim.Adam([{"params": [*part.parameters()], "lr": rate} for part, rate in rates])

    def step(self, rows: Tensor) -> None:
        """One step on some images, int64 [k]."""
        terms = self.losses(rows)
        self.adam.zero_grad()
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        self.adam.step()
        _ = [float(value.detach()) for value in terms.values()]  # as a log would

    def losses(self, rows: Tensor) -> dict[str, Tensor]:
        """What `Training.losses_of` gives."""
        both = (self._of(rows, mirrored=False), self._of(rows, mirrored=True))
        return both[0] | {f"mirrored_{name}": value for name, value in both[1].items()}

    def _of(self, rows: Tensor, *, mirrored: bool) -> dict[str, Tensor]:
        data, atlas, weights = self.data, self.atlas, self.weights
        state = int(mirrored)
        keys, saliency = (
            (atlas.keys, atlas.saliency) if not mirrored else (atlas.keys.detach(), atlas.saliency.detach())
        )
        r = atlas.resolution
        sums: dict[str, list[Tensor]] = {}
        shares: dict[str, list[Tensor]] = {}

        def add(name: str, values: Tensor, weight: Tensor) -> None:
            sums.setdefault(name, []).append((values * weight).sum())
            shares.setdefault(name, []).append(weight.expand_as(values).sum())

        reached = []
        for row in rows.tolist():
            image = data.images[state, row : row + 1].clone()  # as a loader would collate it
            field, shown, valid = (
                part[state, row].clone() for part in (data.keys, data.saliency, data.valid)
            )
            pose = grids.pose_of(plain_similarity(self.networks, image))
            flow = plain_flow(self.networks, image, pose)
            flow = grids.resized_flow(flow, r)
            for kind, places in (
                ("", grids.composed(pose.detach(), flow)),
                ("similarity_", grids.placed(pose, grids.cells(r)[None])),
            ):
                at = places / data.extent
                there = functional.grid_sample(field[None], at, align_corners=False, padding_mode="border")[0]
                light = functional.grid_sample(shown[None, None], at, align_corners=False)[0, 0]
                inside = (
                    functional.grid_sample(valid[None, None], at, align_corners=False)[0, 0] > 0.5
                ).float()
                a, s = (keys, saliency) if not kind else (keys.detach(), saliency.detach())
                counted = saliency.detach() * inside
                add(f"{kind}keys_mse", ((there - a) ** 2).mean(0), counted)
                add(f"{kind}keys_cosine", 1 - functional.cosine_similarity(there, a, dim=0), counted)
                add(
                    f"{kind}saliency",
                    functional.huber_loss(light, s, reduction="none", delta=weights.huber),
                    inside,
                )
                if kind:
                    continue
                reached.append(inside)
                bent = grids.composed(pose.detach(), flow)
                add("magnitude", (flow[0] ** 2).sum(-1), inside)
                far = max(1, round(weights.global_offset * r))
                for name, offset, weight in (
                    ("local_rigidity", 1, counted),
                    ("global_rigidity", far, inside),
                ):
                    right = (bent[0, :-offset, offset:] - bent[0, :-offset, :-offset]) * r / 2 / offset
                    down = (bent[0, offset:, :-offset] - bent[0, :-offset, :-offset]) * r / 2 / offset
                    jacobian = torch.stack([right, down], -1)
                    metric = jacobian.transpose(-1, -2) @ jacobian
                    inverse = torch.linalg.inv(metric + losses.RIDGE * torch.eye(2))
                    norm = torch.linalg.matrix_norm(metric) + torch.linalg.matrix_norm(inverse)
                    add(name, norm, weight[:-offset, :-offset])
                add("scale", (1 - grids.scale_of(pose)) ** 2, torch.ones(1))
        found = {
            name: getattr(weights, name.removeprefix("similarity_"))
            * torch.stack(parts).sum()
            / torch.stack(shares[name]).sum().clamp_min(1e-6)
            for name, parts in sums.items()
        }
        if not mirrored:
            anywhere = torch.stack(reached).amax(0)
            found |= {
                name: getattr(weights, name) * value
                for name, value in losses.atlas_losses(keys, saliency, anywhere, weights).items()
            }
        return found


def plain_layer(layer: Any, x: Tensor) -> Tensor:
    """A scaled convolution: [n, inputs, h, w] to [n, outputs, h, w]."""
    return functional.conv2d(x, layer.weight * layer.factor, layer.bias, padding=layer.padding)


def plain_activation(x: Tensor) -> Tensor:
    """Leaky rectified, at the variance it had."""
    return functional.leaky_relu(x, SLOPE) * KEPT


def plain_trunk(trunk: Any, x: Tensor) -> Tensor:
    """The blocks of a network: [n, inputs, s, s] to [n, width, h, w]."""
    first, *blocks = trunk
    x = plain_layer(first, x)
    for block in blocks:
        long = functional.avg_pool2d(plain_activation(plain_layer(block.first, x)), 2)
        long = plain_activation(plain_layer(block.second, long))
        x = (long + plain_layer(block.short, functional.avg_pool2d(x, 2))) * HALF
    return x


def plain_similarity(networks: MappingNetworks, image: Tensor) -> Tensor:
    """The similarity stage's logits [1, 4] of an image [1, inputs, h, w]."""
    stage, side = networks.similarity, networks.size.input_size
    if image.shape[-1] != side:
        image = functional.interpolate(
            image, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )
    x = plain_activation(plain_layer(stage.mixed, plain_trunk(stage.trunk, image)))
    found: Tensor = stage.said(plain_activation(stage.joined(x.flatten(1))))
    return found


def plain_flow(networks: MappingNetworks, image: Tensor, pose: Tensor) -> Tensor:
    """The flow [1, r, r, 2] of an image [1, inputs, h, w] in its pose [1, 4]: see `convex_upsampled`."""
    stage, size = networks.residual, networks.size
    places = grids.placed(pose.detach(), grids.cells(size.input_size)[None]) / networks.extent
    shown = functional.grid_sample(image, places, align_corners=False, padding_mode="border")
    x = plain_activation(plain_layer(stage.mixed, plain_trunk(stage.trunk, shown)))
    coarse, weights = plain_layer(stage.coarse, x), plain_layer(stage.weights, x)
    _, _, h, w = coarse.shape
    factor = size.upsampling
    share = weights.view(9, factor, factor, h, w).softmax(0)
    padded = functional.pad(coarse, (1, 1, 1, 1), mode="replicate")[0]
    fine = coarse.new_zeros(2, factor, factor, h, w)
    for k in range(9):
        near = padded[:, k // 3 : k // 3 + h, k % 3 : k % 3 + w]
        fine = fine + share[k] * near[:, None, None]
    return fine.permute(3, 1, 4, 2, 0).reshape(1, factor * h, factor * w, 2)
