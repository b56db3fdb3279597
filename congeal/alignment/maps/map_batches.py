"""The maps of many images and what they are worth, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import Figures, measure
from congeal.alignment.maps.flow_registration import Seen, match_bytes
from congeal.alignment.maps.guided_matching import DenseMaps, guided, neighbourly, resampled, warped
from congeal.geometry.chunking import in_windows
from congeal.geometry.warps import Warps

TABLES = 3  # a measured or guided image takes about so much more than a matched one


def map_out(
    seen: Seen,
    images: Oriented,
    warps: Warps,
    one_by_one: Tensor,
    resolution: int,
    map_resolution: int,
) -> tuple[DenseMaps, Figures]:
    """Dense maps in both directions, and their figures.

    Args:
        seen: the atlas as each image sees it.
        images: n images in their facings.
        warps: their warps.
        one_by_one: bool [n], whose cells are matched near the warps
            (`congeal.alignment.maps.guided_matching.guided`); the maps of the others are those of the warps.
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the backward maps, over the whole frame.
    """
    each = TABLES * match_bytes(images, warps.resolution)

    def smooth(rows: Tensor) -> tuple[DenseMaps, Figures]:
        some = warps[rows]
        return warped(some, resolution, map_resolution), measure(seen(rows), images[rows], some)

    def matched(rows: Tensor) -> tuple[DenseMaps, Figures]:
        template, some = seen(rows), warps[rows]
        found = guided(template, images[rows], some)
        maps = neighbourly(found, template, images[rows], some)
        figures = measure(template, images[rows], some, maps.forward, found.forward)
        return resampled(maps, some, images.extent, resolution, map_resolution), figures

    found, done = [], []
    for whose, work in ((~one_by_one, smooth), (one_by_one, matched)):
        rows = torch.nonzero(whose)[:, 0]
        if len(rows):
            done.append(rows)
            found.append(in_windows(len(rows), each, rows.device, partial(_values, work, rows)))
    back = torch.cat(done).argsort()
    values = [torch.cat(parts)[back] for parts in zip(*found, strict=True)]
    return DenseMaps(*values[:2]), Figures(*values[2:])


def _values(
    work: Callable[[Tensor], tuple[DenseMaps, Figures]], rows: Tensor, window: slice
) -> tuple[Tensor, ...]:
    return tuple(getattr(part, field.name) for part in work(rows[window]) for field in fields(part))
