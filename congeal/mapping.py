"""The maps of many images and what they are worth, window by window."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from congeal.dense import DenseMaps, guided, resampled, warped
from congeal.quality import Figures, measure
from congeal.registration import Oriented, Seen, match_bytes
from congeal.warps import Warps
from congeal.windows import windows

TABLES = 3  # a measured or guided image takes about so much more than a matched one


def map_out(
    seen: Seen,
    images: Oriented,
    warps: Warps,
    by_matching: Tensor,
    resolution: int,
    map_resolution: int,
) -> tuple[DenseMaps, Figures]:
    """Dense maps in both directions, and their figures.

    Args:
        seen: the atlas as each image sees it.
        images: n images in their facings.
        warps: their warps.
        by_matching: bool [n], whose maps are those of matching guided by the warps (`congeal.dense.guided`).
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the backward maps, over the whole frame.
    """
    device = warps.a.device
    smooth, matched = torch.nonzero(~by_matching)[:, 0], torch.nonzero(by_matching)[:, 0]
    each = TABLES * match_bytes(images, warps.resolution)
    done, maps, figures = [], [], []
    for rows in (smooth[window] for window in windows(len(smooth), each, device)):
        done.append(rows)
        maps.append(warped(warps[rows], resolution, map_resolution))
        figures.append(measure(seen(rows), images[rows], warps[rows]))
    for rows in (matched[window] for window in windows(len(matched), each, device)):
        template = seen(rows)
        found = guided(template, images[rows], warps[rows])
        done.append(rows)
        maps.append(resampled(found, images.extent, resolution, map_resolution))
        figures.append(measure(template, images[rows], warps[rows], found.forward))
    back = torch.cat(done).argsort()
    return (
        DenseMaps(*(torch.cat([getattr(part, f.name) for part in maps])[back] for f in fields(DenseMaps))),
        Figures(*(torch.cat([getattr(part, f.name) for part in figures])[back] for f in fields(Figures))),
    )
