"""Dense maps in both directions: those of smooth warps, and matching that is guided by the warps.

Where objects bend and fold, one smooth map an image does not follow them; the atlas' cells are then matched
to the image's tokens one by one, and back, near the place where the warp expects them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config import SolverConfig
from congeal.alignment.config.maps import GuidedConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.flow_registration import Template
from congeal.alignment.maps.match_scores import MatchTable, columns_near_places, near_places, shares
from congeal.geometry.argmax import column_peaks, row_peaks
from congeal.geometry.complex_math import length
from congeal.geometry.warps import Warps, grid, sample, to_atlas, to_oriented


@dataclass(frozen=True)
class DenseMaps:
    """Maps of n images in their oriented frames.

    Attributes:
        forward: float32 [n, r, r, 2], atlas cells to oriented frame.
        backward: float32 [n, m, m, 2], cells of the oriented frame to the atlas.
    """

    forward: Tensor
    backward: Tensor

    def __getitem__(self, rows: Tensor) -> DenseMaps:
        """Those of some of the images."""
        return DenseMaps(self.forward[rows], self.backward[rows])


@dataclass(frozen=True)
class Expected:
    """Where warps put the cells of an atlas and the tokens of n images.

    Attributes:
        cells: float32 [n, r, r, 2], of the warps' grid, in the oriented frames.
        tokens: float32 [n, g, g, 2], in the atlas.
    """

    cells: Tensor
    tokens: Tensor

    def __getitem__(self, rows: Tensor) -> Expected:
        """Those of some of the images."""
        return Expected(self.cells[rows], self.tokens[rows])

    def where(self, flag: Tensor, maps: DenseMaps) -> DenseMaps:
        """These places for the flagged, bool [n, 1, 1, 1], and the matched ones of the same resolutions."""
        return DenseMaps(
            torch.where(flag, self.cells, maps.forward), torch.where(flag, self.tokens, maps.backward)
        )

    @classmethod
    def by(cls, warps: Warps, images: Oriented) -> Expected:
        """By the warps of the images."""
        n, g, device = len(images), images.saliency.shape[1], images.features.device
        cells, tokens = grid(warps.resolution, 1.0, device), grid(g, images.extent, device)
        return cls(
            to_oriented(warps, cells.expand(n, -1, -1, -1)), to_atlas(warps, tokens.expand(n, -1, -1, -1))
        )


def warped(warps: Warps, resolution: int, map_resolution: int) -> DenseMaps:
    """The maps of the warps as they are."""
    n, device = len(warps.a), warps.a.device
    forward = to_oriented(warps, grid(resolution, 1.0, device).expand(n, -1, -1, -1))
    return DenseMaps(forward, to_atlas(warps, grid(map_resolution, 1.0, device).expand(n, -1, -1, -1)))


def guided(
    template: Template,
    images: Oriented,
    expected: Expected,
    size: Tensor,
    config: SolverConfig,
    table: MatchTable | None = None,
) -> DenseMaps:
    """Matches near where warps expect them: a target for each atlas cell, an atlas position for each token.

    A match takes the warp's place where it is clearly more alike than what the warp finds. The less salient a
    cell or token, or what it is matched with, the more it goes where the warp puts it: there is nothing to
    match.

    template: the atlas as each image sees it. The maps have the resolutions of the template and the tokens.
    size: float32 [n], frame units of an atlas unit in each image.
    table: of both, if it is known. The tables of all cells and tokens are large: many images are for the
    caller to divide.
    """
    n, g = images.saliency.shape[:2]
    r = template.features.shape[1]
    device = images.features.device
    tokens, cells = grid(g, images.extent, device), grid(r, 1.0, device)
    places, origin = expected.cells, expected.tokens
    asked, floor = config.guided, config.flow.prior_floor
    if table is None:
        table = MatchTable.of(template.features.flatten(1, 2), images, asked.cosine_weight)
    table = table.weighted(asked.cosine_weight)
    radius = asked.search_radius
    backward = _columns_located(table.score, origin.flatten(1, 2), cells, radius, floor).view(n, g, g, 2)
    score = table.on_image(images)
    forward = _located(score, places.flatten(1, 2), tokens, radius * size, floor).view(n, r, r, 2)
    shows = _gate(template.saliency.expand(n, -1, -1), asked.salient)
    shown = _gate(images.saliency, asked.salient)
    forward = torch.lerp(places, forward, torch.minimum(shows, sample(shown, forward, images.extent)))
    backward = torch.lerp(origin, backward, torch.minimum(shown, sample(shows, backward)))
    there = _advantage(template.features, images.features, images.extent, places, forward, asked)
    back = _advantage(images.features, template.features, 1.0, origin, backward, asked)
    return DenseMaps(torch.lerp(places, forward, there), torch.lerp(origin, backward, back))


def regularised(
    maps: DenseMaps,
    template: Template,
    images: Oriented,
    warps: Warps,
    expected: Expected,
    config: GuidedConfig,
) -> DenseMaps:
    """Matched maps with each offset averaged with its neighbours' (`averaged`); of the same resolutions."""
    n, size = len(maps.forward), length(warps.a)
    places, origin = expected.cells, expected.tokens
    shows, distance = template.saliency.expand(n, -1, -1), config.neighbour_distance
    everywhere = torch.full_like(size, distance)
    return DenseMaps(
        places + averaged(maps.forward - places, shows, distance * size, config),
        origin + averaged(maps.backward - origin, images.saliency, everywhere, config),
    )


def averaged(offset: Tensor, saliency: Tensor, distance: Tensor, config: GuidedConfig) -> Tensor:
    """Offsets from a warp, each averaged with its neighbours' that are much the same.

    Matches snap to tokens, so that neighbouring cells change places. Averages over neighbours that agree
    (Geman-McClure, reweighted) undo that, and leave the seams between parts that move by themselves.

    Args:
        offset: float32 [n, s, s, 2].
        saliency: float32 [n, s, s], by which neighbours are weighted.
        distance: float32 [n], between offsets, at which a neighbour has a quarter of its weight left.
        config: how far neighbours reach, and how often they are reweighted.
    """
    n, s = saliency.shape[:2]
    side = config.neighbours
    step = torch.arange(-side, side + 1, device=offset.device)
    down, right = torch.meshgrid(step, step, indexing="ij")
    near = torch.exp(-(down**2 + right**2) / (2 * config.neighbour_sigma**2)).flatten()
    weight = saliency[..., None] + config.neighbour_background
    # In units of the distance, a plane a coordinate: every step goes through a plane in place.
    unit = distance.view(-1, 1, 1, 1)
    inputs = torch.cat([offset / unit, weight], -1).permute(0, 3, 1, 2)
    padded = torch.nn.functional.pad(inputs, (side,) * 4, mode="replicate")
    around = torch.nn.functional.unfold(padded, len(step)).view(n, 3, len(near), s, s)
    right_of, below, weights = around.unbind(1)
    weights.mul_(near.view(-1, 1, 1))
    x, y = inputs[:, 0], inputs[:, 1]
    for _ in range(config.neighbour_rounds):
        off, fall = right_of - x[:, None], below - y[:, None]
        off.square_().addcmul_(fall, fall).add_(1).square_()
        agreeing = torch.div(weights, off, out=off)
        total = agreeing.sum(1).clamp_min_(1e-9)
        x = torch.mul(agreeing, right_of, out=fall).sum(1).div_(total)
        y = torch.mul(agreeing, below, out=fall).sum(1).div_(total)
    return torch.stack([x, y], -1) * unit


def _advantage(
    asking: Tensor,
    asked: Tensor,
    extent: float,
    expected: Tensor,
    found: Tensor,
    config: GuidedConfig,
) -> Tensor:
    """How far the places found are more alike than those expected, 0 to 1, float32 [n, s, s, 1].

    asking: float32 [n or 1, s, s, c]. asked: float32 [n or 1, t, t, c], over ±extent. expected, found: places
    in it, float32 [n, s, s, 2].
    """
    n = len(expected)
    field = asked.expand(n, -1, -1, -1)

    def alike(places: Tensor) -> Tensor:
        there = sample(field, places, extent)
        found: Tensor = (there * asking).sum(-1) / torch.linalg.vector_norm(there, dim=-1).clamp_min_(1e-12)
        return found

    gain = torch.nn.functional.avg_pool2d(
        (alike(found) - alike(expected))[:, None], 3, 1, 1, count_include_pad=False
    )[:, 0]
    return ((gain - config.advantage) / config.advantage_softness + 0.5).clamp(0, 1)[..., None]


def _gate(saliency: Tensor, salient: float) -> Tensor:
    """Saliency [n, s, s] as the weight of matches [n, s, s, 1], softened by its neighbours."""
    gate = (saliency / salient).clamp(0, 1)[:, None]
    return torch.nn.functional.avg_pool2d(gate, 3, 1, 1, count_include_pad=False)[:, 0, ..., None]


def _located(score: Tensor, expected: Tensor, places: Tensor, width: float | Tensor, floor: float) -> Tensor:
    """Where each row of ``score`` [n, k, s*s] is best near its expected place [n, k, 2], [n, k, 2].

    It lies between cells of ``places`` [s, s, 2].
    """
    score = near_places(score, expected, places[0, :, 0], width, floor)
    near = _around(row_peaks(score), places.shape[0])
    return (shares(score, near, 2)[..., None] * places.view(-1, 2)[near]).sum(-2)


def _columns_located(score: Tensor, expected: Tensor, places: Tensor, width: float, floor: float) -> Tensor:
    """The same for each column of ``score`` [n, s*s, m], whose expected places are [n, m, 2]; [n, m, 2].

    As `_located` of the table on its side, which would have to be computed once more.
    """
    side = places.shape[0]
    score = columns_near_places(score, expected, places[0, :, 0], width, floor)
    near = _around(column_peaks(score, side), side).transpose(1, 2)
    return (shares(score, near, 1)[..., None] * places.view(-1, 2)[near]).sum(1)


def _around(best: Tensor, side: int) -> Tensor:
    """The cells around some, int64 [n, k], of a grid, int64 [n, k, 9]; at its edge some of them twice."""
    step = torch.arange(-1, 2, device=best.device)
    down, right = torch.meshgrid(step, step, indexing="ij")
    row = (best[..., None] // side + down.flatten()).clamp(0, side - 1)
    column = (best[..., None] % side + right.flatten()).clamp(0, side - 1)
    return row * side + column


def resampled(maps: DenseMaps, expected: Expected, extent: float, smooth: DenseMaps) -> DenseMaps:
    """Matched maps at the resolutions of those of the warps; the backward map over the whole frame.

    Only how they differ from the warps is interpolated: the warps themselves are known everywhere.

    Args:
        maps: matched, the backward map over ±extent.
        expected: what the warps say in the same places.
        extent: half the side of the token grid in frame units.
        smooth: `warped`, at the resolutions that are asked for.
    """
    n, device = len(maps.forward), maps.forward.device
    atlas = grid(smooth.forward.shape[1], 1.0, device).expand(n, -1, -1, -1)
    frame = grid(smooth.backward.shape[1], 1.0, device).expand(n, -1, -1, -1)
    forward = sample(maps.forward - expected.cells, atlas)
    backward = sample(maps.backward - expected.tokens, frame, extent)
    return DenseMaps(smooth.forward + forward, smooth.backward + backward)
