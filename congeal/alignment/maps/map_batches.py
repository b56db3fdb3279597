"""The maps of many images and what they are worth, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import Figures, measure
from congeal.alignment.maps.flow_registration import TemplateFor, cosines, match_bytes
from congeal.alignment.maps.guided_matching import DenseMaps, guided, regularised, resampled, warped
from congeal.geometry.chunking import in_windows
from congeal.geometry.warps import Warps

TABLES = 3  # a measured or guided image takes about so much more than a matched one


def compute_maps(
    template_for: TemplateFor,
    images: Oriented,
    warps: Warps,
    by_cell: Tensor,
    resolution: int,
    map_resolution: int,
    config: SolverConfig,
) -> tuple[DenseMaps, Figures]:
    """Dense maps in both directions, and their figures.

    Args:
        template_for: the atlas as each image sees it.
        images: n images in their mirror states.
        warps: their warps.
        by_cell: bool [n], whose cells are matched near the warps
            (`congeal.alignment.maps.guided_matching.guided`); the maps of the others are those of the warps.
        resolution: cells along a side of the atlas.
        map_resolution: cells along a side of the backward maps, over the whole frame.
        config: of the solver.
    """
    each = TABLES * match_bytes(images, warps.resolution)

    def smooth(rows: Tensor) -> tuple[DenseMaps, Figures]:
        some = warps[rows]
        figures = measure(template_for(rows), images[rows], some, config)
        return warped(some, resolution, map_resolution), figures

    def matched(rows: Tensor) -> tuple[DenseMaps, Figures]:
        template, some, warp = template_for(rows), images[rows], warps[rows]
        cosine = cosines(template, some)
        found = guided(template, some, warp, config, cosine)
        maps = regularised(found, template, some, warp, config.guided)
        figures = measure(template, some, warp, config, maps.forward, found.forward, cosine)
        return resampled(maps, warp, images.extent, resolution, map_resolution), figures

    found, done = [], []
    for whose, work in ((~by_cell, smooth), (by_cell, matched)):
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
