"""A new solution of a set in the frame of an old one, so that places in the atlas keep their meaning.

Oriented frame position is x = a·u + b. A similarity of the atlas, u' = (u − t)/s, changes every pose to
a·s, a·t + b; the mirrored atlas, u' = −conj(u), seen in the mirrored frames, changes it to conj(a), −conj(b).
Every image that was in both solutions says what s and t are, and whether the atlas has to be mirrored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.alignment.config.poses import AtlasConfig
from congeal.alignment.model import Anchor
from congeal.alignment.poses.pose_synchronization import Poses
from congeal.errors import CongealError
from congeal_floors.plurals import counted

Floats = npt.NDArray[np.floating]


def anchored(poses: Poses, anchor: Anchor, weight: Tensor, config: AtlasConfig) -> Poses | None:
    """The same solution in the frame of the anchor; None if no image ties the one to the other.

    The similarity is a geometric median over the images (Weiszfeld 1937), so that a minority of images with
    another pose than before does not count.

    Args:
        poses: of n images.
        anchor: of the same images.
        weight: float32 [n], trust in each of the poses; 0 for images that do not count.
        config: of the geometric median.

    Raises:
        CongealError: if the anchor has another number of images.
    """
    if len(anchor.mirrored) != len(poses.a):
        raise CongealError(
            f"the anchor has {counted(len(anchor.mirrored), 'image')}, and the set {len(poses.a)}"
        )
    mirrored = torch.as_tensor(np.asarray(anchor.mirrored, bool))
    turn = torch.as_tensor(np.asarray(anchor.rotation, np.float64))
    old_a = torch.polar(torch.as_tensor(np.asarray(anchor.scale, np.float64)), turn)
    shift = torch.as_tensor(np.asarray(anchor.translation, np.float64))
    # The translation is that of the image as it is, not of the mirrored one.
    old_b = torch.complex(torch.where(mirrored, -shift[:, 0], shift[:, 0]), shift[:, 1])
    new_a, new_b = poses.a.cpu().to(torch.complex128), poses.b.cpu().to(torch.complex128)
    trust = weight.cpu().double() * torch.as_tensor(np.asarray(anchor.weight, np.float64))
    sound = torch.isfinite(torch.view_as_real(old_a)).all(-1) & torch.isfinite(torch.view_as_real(old_b)).all(
        -1
    )
    trust = torch.where(sound & (old_a.abs() > 0) & (new_a.abs() > 0), trust, torch.zeros_like(trust))
    state = poses.mirrored.cpu()
    if float(trust[state != mirrored].sum()) > float(trust[state == mirrored].sum()):
        state, new_a, new_b = ~state, new_a.conj(), -new_b.conj()
    tied = (state == mirrored) & (trust > 0)
    if not bool(tied.any()):
        return None
    s, t = _similarity(old_a[tied] / new_a[tied], (old_b - new_b)[tied] / new_a[tied], trust[tied], config)
    device, kind = poses.a.device, poses.a.dtype
    return replace(
        poses,
        mirrored=state.to(device),
        a=(new_a * s).to(device, kind),
        b=(new_a * t + new_b).to(device, kind),
    )


def _similarity(s: Tensor, t: Tensor, weight: Tensor, config: AtlasConfig) -> tuple[Tensor, Tensor]:
    """The weighted geometric median of similarities complex128 [m], [m]."""
    radius = config.anchor_radius
    points = torch.cat([radius * torch.view_as_real(s), torch.view_as_real(t)], -1)
    middle = torch.stack([_median(column, weight) for column in points.T])
    for _ in range(config.anchor_rounds):
        pull = weight / (points - middle).norm(dim=1).clamp_min(1e-6)
        middle = (pull[:, None] * points).sum(0) / pull.sum()
    return torch.complex(middle[0], middle[1]) / radius, torch.complex(middle[2], middle[3])


def _median(values: Tensor, weight: Tensor) -> Tensor:
    ordered, order = values.sort()
    mass = weight[order].cumsum(0)
    return ordered[int((mass < mass[-1] / 2).sum())]
