"""Maps from atlas to image that gradients pass through: a similarity, a residual flow, both composed.

The coordinates are those of `congeal.geometry.warps`: the square [-1, 1]², cell centres as
``align_corners=False``, x before y. A pose is four numbers [n, 4]: real and imaginary part of the factor a,
then those of the shift b, so that a place u of the atlas lies at a·u + b.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from congeal.geometry.frames import cell_centres

FAR = 8.0  # half frames from the middle; beyond it all places are alike


def cells(resolution: int, device: torch.device | str = "cpu") -> Tensor:
    """Cell centres of the atlas, float32 [resolution, resolution, 2]."""
    return torch.as_tensor(cell_centres(resolution), device=device)


def pose_of(logits: Tensor) -> Tensor:
    """Poses [n, 4] of a network's logits [n, 4]: angle π·tanh(o₁), scale exp(o₂), shift (o₃, o₄)."""
    angle, scale = math.pi * logits[:, 0].tanh(), logits[:, 1].exp()
    return torch.stack([scale * angle.cos(), scale * angle.sin(), logits[:, 2], logits[:, 3]], 1)


def logits_of(pose: Tensor) -> Tensor:
    """What a network would have to say for poses [n, 4]; the inverse of `pose_of`, but at half a turn."""
    angle = torch.atan2(pose[:, 1], pose[:, 0]) / math.pi
    scale = torch.linalg.vector_norm(pose[:, :2], dim=1)
    return torch.stack([angle.clamp(-0.999, 0.999).atanh(), scale.log(), pose[:, 2], pose[:, 3]], 1)


def scale_of(pose: Tensor) -> Tensor:
    """Frame units of an atlas unit, [n]."""
    found: Tensor = torch.linalg.vector_norm(pose[:, :2], dim=1)
    return found


def placed(pose: Tensor, points: Tensor) -> Tensor:
    """Points [n or 1, …, 2] of the atlas in the frames of n images, [n, …, 2]."""
    view = (-1,) + (1,) * (points.ndim - 2)
    real, imaginary, right, down = (part.view(view) for part in pose.unbind(1))
    x, y = points.unbind(-1)
    return torch.stack([real * x - imaginary * y + right, imaginary * x + real * y + down], -1)


def undone(pose: Tensor, points: Tensor) -> Tensor:
    """Points [n or 1, …, 2] of the frames of n images in the atlas, [n, …, 2]: the inverse of `placed`."""
    view = (-1,) + (1,) * (points.ndim - 2)
    real, imaginary, right, down = (part.view(view) for part in pose.unbind(1))
    x, y = points.unbind(-1)
    x, y = x - right, y - down
    size = real * real + imaginary * imaginary
    return torch.stack([(real * x + imaginary * y) / size, (real * y - imaginary * x) / size], -1)


def composed(pose: Tensor, flow: Tensor) -> Tensor:
    """Places of the atlas' cells [n, r, r, 2]: the pose [n, 4] after the flow [n, r, r, 2] (atlas units)."""
    return placed(pose, cells(flow.shape[1], flow.device)[None] + flow)


def sampled(fields: Tensor, places: Tensor, extent: float = 1.0, padding: str = "border") -> Tensor:
    """Bilinear values [n, c, r, r] of fields [n, c, h, w] over ±extent at places [n, r, r, 2].

    Places that are no numbers, or far away, are read at the edge of what is known to be safe: `grid_sample`
    turns them into addresses. A training that has diverged is found by its losses, not here.
    """
    sound = sound_places(places, extent)
    return functional.grid_sample(fields, sound, align_corners=False, padding_mode=padding)


def sound_places(places: Tensor, extent: float) -> Tensor:
    """Places [..., 2] as shares of an extent; numbers that are no address of anything are put far away."""
    return torch.nan_to_num(places / extent, nan=FAR).clamp(-FAR, FAR)


def resized_flow(flow: Tensor, resolution: int) -> Tensor:
    """A flow [n, r, r, 2] at another number of cells a side, bilinear."""
    if flow.shape[1] == resolution:
        return flow
    out = functional.interpolate(
        flow.permute(0, 3, 1, 2), size=(resolution, resolution), mode="bilinear", align_corners=False
    )
    return out.permute(0, 2, 3, 1)


def metric(places: Tensor, offset: int) -> tuple[Tensor, Tensor, Tensor]:
    """The metric JᵀJ of maps [n, r, r, 2], by differences over so many cells: its entries xx, xy, yy.

    Each [n, r - offset, r - offset]; in frame units squared an atlas unit squared.
    """
    step = places.shape[1] / 2 / offset
    right = (places[:, :-offset, offset:] - places[:, :-offset, :-offset]) * step
    down = (places[:, offset:, :-offset] - places[:, :-offset, :-offset]) * step
    return (right * right).sum(-1), (right * down).sum(-1), (down * down).sum(-1)
