"""Frames of a fixed camera: what stays in its place is the scene, and what moves is the thing.

What the frames of a behaviour lab, a camera trap or a microscope stage have in common is first of all the
scene. It matches itself in place, without any pose, and would be aligned. So each token is compared with the
same place of the other frames: what is different there from most of them has moved, and is what attention is
for a set of photographs, the first guess at what is salient.

A set is taken for frames of a fixed camera only if that explains it: most of the scene stays; what moves is
small, lies elsewhere in other frames, and looks like what moves there. Pictures of things that were all put
in the same place before the same background (wings, bottles) fail the last two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from congeal.alignment.config.inputs import FixedCameraConfig
from congeal.alignment.inputs.image_set import ImageArrays, normalise_in_place
from congeal.alignment.inputs.rotated_views import turned_views
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.geometry.sampling import evenly

AT_FIRST = 12  # frames by which most sets are seen not to be frames of a fixed camera
TOGETHER = 32  # frames that are compared with the others at once


@dataclass(frozen=True)
class Motion:
    """What moves in n frames.

    Attributes:
        change: float32 [n, g, g], 1 − cosine of a token with what is usual in its place; 0 on padding and in
            frames that are not finite.
        mass: float32 [n, g, g], the same averaged over its neighbourhood: a thing has more of it than lines.
        peak: float32 [n], of mass that a thing has in each frame, and not less than half of what is usual.
    """

    change: Tensor
    mass: Tensor
    peak: Tensor

    @property
    def moving(self) -> Tensor:
        """bool [n, g, g]."""
        return self.mass > self.peak.view(-1, 1, 1) / 2

    def saliency(self, config: FixedCameraConfig) -> Tensor:
        """The first guess at how salient tokens are, float32 [n, g, g] in [0, 1]."""
        share = self.mass / self.peak.view(-1, 1, 1)
        return torch.sigmoid((share - 0.5) / config.softness) * (self.change > 0)


def with_motion(one: SetArrays, config: FixedCameraConfig, device: torch.device) -> SetArrays | None:
    """The set with what moves as its saliency, if its images are frames of a fixed camera; else None."""
    found = find_motion(one, config, device) if config.looked_for else None
    if found is None:
        return None
    salient, turned = found.saliency(config).cpu(), one.turned
    flipped = None if one.mirrored_features is None else salient.flip(2).numpy()
    if turned is not None:
        views = turned_views(salient, one.extent)
        both = turned.mirrored_features is not None
        turned = replace(turned, saliency=views, mirrored_saliency=views[..., ::-1] if both else None)
    return replace(one, saliency=salient.numpy(), mirrored_saliency=flipped, turned=turned)


def find_motion(frames: ImageArrays, config: FixedCameraConfig, device: torch.device) -> Motion | None:
    """What moves in front of a fixed camera; None if the images are not frames of one, or too few to tell.

    Frames of up to three cameras may be mixed in about equal shares, and a camera may shake by less than a
    token.
    """
    n = len(frames.features)
    if n < config.least_frames:
        return None
    seen = _Frames(frames, device)
    rows = evenly(n, min(AT_FIRST, config.compared))
    few = seen.read(rows)
    still = _change(few, few, rows, rows, 0, config)[few.on_image]
    if not len(still) or float(still.median()) > 2 * config.most_change:
        return None
    rows = evenly(n, config.compared)
    few = seen.read(rows)
    changes, shown = [], []
    for start in range(0, n, TOGETHER):
        some = torch.arange(start, min(n, start + TOGETHER))
        own = seen.read(some)
        changes.append(_change(own, few, some, rows, 1, config))
        shown.append(own.on_image)
    on_image = torch.cat(shown)
    change = torch.cat(changes) * on_image
    values = change[on_image]
    if float(values.median()) > config.most_change:
        return None
    above = (change - values.median()).clamp_min(0) * on_image
    mass = torch.nn.functional.avg_pool2d(above[:, None], config.width, 1, config.width // 2)[:, 0] * on_image
    peak = mass.flatten(1).amax(1)
    found = Motion(change, mass, peak.clamp_min(float(peak.median()) / 2).clamp_min(1e-6))
    return found if _is_thing(few, found.moving[rows.to(device)], config) else None


@dataclass(frozen=True)
class _Some:
    """Some frames: tokens of unit length, float32 [k, g, g, c], and whether they lie on the image, bool."""

    tokens: Tensor
    on_image: Tensor


@dataclass(frozen=True)
class _Frames:
    """Frames that are read as they are asked for: all of them at once would be a second copy of the set."""

    arrays: ImageArrays
    device: torch.device

    def read(self, rows: Tensor) -> _Some:
        index = rows.numpy()
        taken = np.asarray(self.arrays.features)[index]
        tokens = torch.as_tensor(taken).to(self.device, torch.float32, copy=True)
        finite = torch.isfinite(tokens).flatten(1).all(1).view(-1, 1, 1)
        tokens = torch.where(finite[..., None], tokens, torch.zeros_like(tokens))
        if self.arrays.valid is None:
            return _Some(normalise_in_place(tokens), finite.expand(tokens.shape[:3]))
        valid = torch.as_tensor(np.asarray(self.arrays.valid)[index] > 0, device=self.device)
        return _Some(normalise_in_place(tokens), valid & finite)


def _change(
    own: _Some, few: _Some, which: Tensor, others: Tensor, near: int, config: FixedCameraConfig
) -> Tensor:
    """1 − cosine of frames' tokens with those in their place, or up to ``near`` tokens away, [k, g, g].

    Place by place the most alike of the few are asked, of which a frame itself is none.

    which, others: int64 [k] and [m], the places of both in the set.
    """
    m, g, c = len(few.tokens), few.tokens.shape[1], few.tokens.shape[3]
    tokens = own.tokens.flatten(1, 2).permute(1, 2, 0)
    padded = torch.nn.functional.pad(few.tokens, (0, 0, near, near, near, near))
    there = torch.nn.functional.pad(few.on_image, (near, near, near, near))
    best = torch.full((g * g, m, len(which)), -1.0, device=tokens.device)
    for down in range(2 * near + 1):
        for right in range(2 * near + 1):
            at = (slice(None), slice(down, down + g), slice(right, right + g))
            alike = padded[at].reshape(m, g * g, c).transpose(0, 1) @ tokens
            known = there[at].reshape(m, g * g).T[..., None]
            best = torch.where(known, torch.maximum(best, alike), best)
    best.masked_fill_((others[:, None] == which).to(best.device), -1)
    count = max(1, round((m - 1) * config.share))
    return 1 - best.topk(count, dim=1).values.mean(1).T.view(-1, g, g)


def _is_thing(few: _Some, moving: Tensor, config: FixedCameraConfig) -> bool:
    """Whether what moves, bool [k, g, g], is small, elsewhere in other frames, and alike in them."""
    flags, on_image, tokens = moving.flatten(1), few.on_image.flatten(1), few.tokens.flatten(1, 2)
    share = flags.sum(1) / on_image.sum(1).clamp_min(1)
    if not config.least_share <= float(share.median()) <= config.most_share:
        return False
    overlaps, alike = [], []
    for step in range(1, 1 + min(config.steps, len(flags) - 1)):
        for own, other in zip(range(len(flags)), torch.arange(len(flags)).roll(-step).tolist(), strict=True):
            mine, theirs = flags[own], flags[other]
            if not bool(mine.any()) or not bool(theirs.any()):
                continue
            overlaps.append(float((mine & theirs).sum() / (mine | theirs).sum()))
            cosine = (tokens[own][mine] @ tokens[other].T).masked_fill(~on_image[other], -2)
            alike.append(float(theirs[cosine.argmax(1)].float().mean()))
    if not alike:
        return False
    return sum(overlaps) <= config.most_overlap * len(overlaps) and sum(alike) >= config.least_alike * len(
        alike
    )
