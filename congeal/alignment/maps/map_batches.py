"""The maps of many images and what they are worth, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import Figures, measure
from congeal.alignment.maps.flow_registration import TemplateFor, cosines, match_bytes
from congeal.alignment.maps.guided_matching import DenseMaps, Expected, guided, regularised, resampled, warped
from congeal.geometry.chunking import in_windows
from congeal.geometry.warps import Warps

PLANES = 40  # values that a place takes while warps are inverted
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
    # What needs no tables is computed for many images at once.
    side = max(map_resolution, images.saliency.shape[1])
    every = torch.arange(len(images), device=by_cell.device)
    smooth = DenseMaps(
        *_gathered(
            every, 4 * PLANES * side**2, lambda rows: (warped(warps[rows], resolution, map_resolution),)
        )
    )

    def judged(rows: Tensor) -> tuple[DenseMaps, Figures]:
        figures = measure(template_for(rows), images[rows], warps[rows], config)
        return smooth[rows], figures

    def matched(rows: Tensor) -> tuple[DenseMaps, Figures]:
        template, some, warp = template_for(rows), images[rows], warps[rows]
        near, cosine = Expected.by(warp, some), cosines(template.features.flatten(1, 2), some)
        found = guided(template, some, near, config, cosine)
        maps = regularised(found, template, some, warp, near, config.guided)
        figures = measure(template, some, warp, config, maps.forward, found.forward, cosine)
        return resampled(maps, near, images.extent, smooth[rows]), figures

    each = TABLES * match_bytes(images, warps.resolution)
    found, done = [], []
    for whose, work in ((~by_cell, judged), (by_cell, matched)):
        rows = every[whose]
        if len(rows):
            done.append(rows)
            found.append(_gathered(rows, each, work))
    back = torch.cat(done).argsort()
    values = [torch.cat(parts)[back] for parts in zip(*found, strict=True)]
    return DenseMaps(*values[:2]), Figures(*values[2:])


def _gathered(
    rows: Tensor, each: int, work: Callable[[Tensor], tuple[DenseMaps | Figures, ...]]
) -> tuple[Tensor, ...]:
    """The fields of what work gives for all rows, window by window; each: bytes that a row takes."""

    def values(window: slice) -> tuple[Tensor, ...]:
        return tuple(getattr(part, one.name) for part in work(rows[window]) for one in fields(part))

    return in_windows(len(rows), each, rows.device, values)
