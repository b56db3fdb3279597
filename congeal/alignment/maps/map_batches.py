"""The maps of many images and what they are worth, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import Figures, measure
from congeal.alignment.maps.flow_registration import Template, TemplateFor, match_bytes
from congeal.alignment.maps.guided_matching import DenseMaps, Expected, guided, regularised, resampled, warped
from congeal.alignment.maps.match_scores import MatchTable
from congeal.geometry.chunking import in_windows
from congeal.geometry.complex_math import length
from congeal.geometry.warps import Warps

PLANES = 40  # values that a place takes while warps are inverted
TABLES = 3  # a measured or guided image takes about so much more than a matched one


Placed = Callable[[Tensor, Tensor], TemplateFor]
"""Of images, int64 [k], that lie at places, float32 [k, r, r, 2]: the atlas as each of them sees it then."""


def compute_maps(
    template_for: TemplateFor,
    images: Oriented,
    warps: Warps,
    by_cell: Tensor,
    resolution: int,
    map_resolution: int,
    config: SolverConfig,
    placed: Placed | None = None,
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
        placed: the atlas once images lie where their cells were matched, asked for whole sets; None: it
            stays as it is.
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

    each = TABLES * match_bytes(images, warps.resolution)
    found, done = [], []
    rows = every[~by_cell]
    if len(rows):
        done.append(rows)
        found.append(_gathered(rows, each, judged))
    rows = every[by_cell]
    if len(rows):
        done.append(rows)
        found.append(_matched(template_for, images, warps, rows, smooth, each, config, placed))
    back = torch.cat(done).argsort()
    values = [torch.cat(parts)[back] for parts in zip(*found, strict=True)]
    return DenseMaps(*values[:2]), Figures(*values[2:])


def _matched(
    template_for: TemplateFor,
    images: Oriented,
    warps: Warps,
    rows: Tensor,
    smooth: DenseMaps,
    each: int,
    config: SolverConfig,
    placed: Placed | None,
) -> tuple[Tensor, ...]:
    """The maps and figures of images whose cells are matched, int64 [k], as `_gathered` gives them.

    Every round expects the matches where the last one has put them, in the atlas of the images as they lie
    then: what is moved together becomes sharper, and is found better.
    """
    some, by_warps = images[rows], Expected.by(warps[rows], images[rows])
    expected, rounds = by_warps, config.guided.rounds
    local = torch.arange(len(rows), device=rows.device)
    whole = template_for

    def seen_by(window: Tensor) -> tuple[Template, MatchTable]:
        template = whole(rows[window]) if whole is template_for else whole(window)
        features = template.features.flatten(1, 2)
        return template, MatchTable.of(features, some[window], config.guided.cosine_weight)

    def match(
        window: Tensor, near: Expected, template: Template, table: MatchTable
    ) -> tuple[DenseMaps, DenseMaps]:
        warp = warps[rows[window]]
        found = guided(template, some[window], near, length(warp.a), config, table)
        return found, regularised(found, template, some[window], warp, near, config.guided)

    def figures_of(
        window: Tensor, near: Expected, template: Template, table: MatchTable
    ) -> tuple[DenseMaps, Figures]:
        found, maps = match(window, near, template, table)
        figures = measure(
            template, some[window], warps[rows[window]], config, maps.forward, found.forward, table
        )
        return resampled(maps, by_warps[window], images.extent, smooth[rows[window]]), figures

    if placed is None:

        def all_rounds(window: Tensor) -> tuple[DenseMaps, Figures]:
            # The atlas stays, and with it what its cells have in common with the image.
            (template, table), near = seen_by(window), by_warps[window]
            for _ in range(rounds - 1):
                maps = match(window, near, template, table)[1]
                near = Expected(maps.forward, maps.backward)
            return figures_of(window, near, template, table)

        return _gathered(local, each, all_rounds)

    def one_round(window: Tensor) -> tuple[DenseMaps]:
        return (match(window, expected[window], *seen_by(window))[1],)

    for _ in range(rounds - 1):
        maps = DenseMaps(*_gathered(local, each, one_round))
        expected = Expected(maps.forward, maps.backward)
        whole = placed(rows, maps.forward)
    return _gathered(local, each, lambda window: figures_of(window, expected[window], *seen_by(window)))


def _gathered(
    rows: Tensor, each: int, work: Callable[[Tensor], tuple[DenseMaps | Figures, ...]]
) -> tuple[Tensor, ...]:
    """The fields of what work gives for all rows, window by window; each: bytes that a row takes."""

    def values(window: slice) -> tuple[Tensor, ...]:
        return tuple(getattr(part, one.name) for part in work(rows[window]) for one in fields(part))

    return in_windows(len(rows), each, rows.device, values)
