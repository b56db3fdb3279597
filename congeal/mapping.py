"""The maps of many images and what they are worth, window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial

import torch
from torch import Tensor

from congeal.atlas import GUIDED, LEAPS
from congeal.dense import DenseMaps, guided, resampled, warped
from congeal.quality import Figures, measure
from congeal.registration import Oriented, Seen, match_bytes
from congeal.warps import Warps
from congeal.windows import in_windows

# What a match needs to take the warp's place. Where one smooth map explains a set as well as matching does,
# matches that are only a little more alike are mostly wrong.
ADVANTAGE = {LEAPS: 0.3, GUIDED: 0.06}
TABLES = 3  # a measured or guided image takes about so much more than a matched one


def needed_advantage(deformation: Sequence[str], good: Tensor, owner: Tensor) -> Tensor:
    """What a match needs to take the warp's place in the maps of n images, float32 [n].

    Infinity: it never does. An outlier's matches may be alike, but they are not in place: it has no leaps.

    Args:
        deformation: of each set.
        good: bool [n], who is no outlier.
        owner: int64 [n], which set each image is of.
    """
    needed = torch.tensor([ADVANTAGE.get(each, math.inf) for each in deformation], device=owner.device)
    leaps = torch.tensor([each == LEAPS for each in deformation], device=owner.device)
    return torch.where(leaps[owner] & ~good, math.inf, needed[owner])


def map_out(
    seen: Seen,
    images: Oriented,
    warps: Warps,
    advantage: Tensor,
    resolution: int,
    map_resolution: int,
) -> tuple[DenseMaps, Figures]:
    """Dense maps in both directions, and their figures.

    Args:
        seen: the atlas as each image sees it.
        images: n images in their facings.
        warps: their warps.
        advantage: float32 [n], what a match needs to take the warp's place (`congeal.dense.guided`);
            infinite: the maps are those of the warps.
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the backward maps, over the whole frame.
    """
    each = TABLES * match_bytes(images, warps.resolution)

    def smooth(rows: Tensor) -> tuple[DenseMaps, Figures]:
        some = warps[rows]
        return warped(some, resolution, map_resolution), measure(seen(rows), images[rows], some)

    def matched(needed: float, rows: Tensor) -> tuple[DenseMaps, Figures]:
        template, some = seen(rows), warps[rows]
        found = guided(template, images[rows], some, needed)
        maps = resampled(found, some, images.extent, resolution, map_resolution)
        return maps, measure(template, images[rows], some, found.forward)

    found, done = [], []
    for needed in sorted(set(advantage.tolist())):
        rows = torch.nonzero(advantage == needed)[:, 0]
        work = smooth if math.isinf(needed) else partial(matched, needed)
        done.append(rows)
        found.append(in_windows(len(rows), each, rows.device, partial(_values, work, rows)))
    back = torch.cat(done).argsort()
    values = [torch.cat(parts)[back] for parts in zip(*found, strict=True)]
    return DenseMaps(*values[:2]), Figures(*values[2:])


def _values(
    work: Callable[[Tensor], tuple[DenseMaps, Figures]], rows: Tensor, window: slice
) -> tuple[Tensor, ...]:
    return tuple(getattr(part, field.name) for part in work(rows[window]) for field in fields(part))
