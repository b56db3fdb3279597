"""Dense maps in both directions: those of smooth warps, and matching that is guided by the warps.

Where things bend and fold, one smooth map an image does not follow them; the atlas' cells are then matched to
the image's tokens one by one, and back, near the place where the warp expects them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.flow_registration import Template, nearness
from congeal.geometry.argmax import row_peaks
from congeal.geometry.complex_math import length
from congeal.geometry.warps import Warps, grid, sample, to_atlas, to_oriented

SHARPNESS = 20.0  # how much a difference in cosine weighs against distance from where the warp points
SALIENT = 0.15  # saliency from which a match counts in full; on the background the warp is kept
SOFTNESS = 0.1  # in cosine, of the step from where the warp points to the match
ADVANTAGE = 0.06  # in cosine, that a match needs to take the warp's place
REACH = 0.25  # frame units, atlas units on the way back: how far from there a match is usually looked for
AROUND = 2  # cells on every side that a match is compared with
NEAR = 1.0  # cells: standard deviation of their say
LIKE_MINDED = 0.15  # atlas units: how far neighbours may lie off a match and still have a say
BACKGROUND = 0.05  # saliency that everything has when neighbours are heard
AGREEMENTS = 3


@dataclass(frozen=True)
class DenseMaps:
    """Maps of n images in their oriented frames.

    Attributes:
        forward: float32 [n, r, r, 2], atlas cells to oriented frame.
        backward: float32 [n, m, m, 2], cells of the oriented frame to the atlas.
    """

    forward: Tensor
    backward: Tensor


def warped(warps: Warps, resolution: int, map_resolution: int) -> DenseMaps:
    """The maps of the warps as they are."""
    n, device = len(warps.a), warps.a.device
    forward = to_oriented(warps, grid(resolution, 1.0, device).expand(n, -1, -1, -1))
    return DenseMaps(forward, to_atlas(warps, grid(map_resolution, 1.0, device).expand(n, -1, -1, -1)))


def guided(template: Template, images: Oriented, warps: Warps) -> DenseMaps:
    """Matches near the warps: a target for each atlas cell, and an atlas position for each token.

    A match takes the warp's place where it is clearly more alike than what the warp finds. The less salient a
    cell or token, or what it is matched with, the more it goes where the warp puts it: there is nothing to
    match.

    template: the atlas as each image sees it. The maps have the resolutions of the template and the tokens.
    The tables of all cells and tokens are large: many images are for the caller to divide.
    """
    n, g = images.saliency.shape[:2]
    r = template.features.shape[1]
    device = images.features.device
    tokens, cells = grid(g, images.extent, device), grid(r, 1.0, device)
    expected = to_oriented(warps, cells.expand(n, -1, -1, -1))
    origin = to_atlas(warps, tokens.expand(n, -1, -1, -1))
    score = template.features.flatten(1, 2) @ images.features.flatten(1, 2).transpose(1, 2) * SHARPNESS
    padding = (images.valid.flatten(1) <= 0).float() * -SHARPNESS
    backward = _located(score.transpose(1, 2), origin.flatten(1, 2), cells).view(n, g, g, 2)
    forward = _located(score + padding[:, None], expected.flatten(1, 2), tokens).view(n, r, r, 2)
    shows, shown = _gate(template.saliency.expand(n, -1, -1)), _gate(images.saliency)
    forward = torch.lerp(expected, forward, torch.minimum(shows, sample(shown, forward, images.extent)))
    backward = torch.lerp(origin, backward, torch.minimum(shown, sample(shows, backward)))
    better = _better(template.features, images.features, images.extent, expected, forward)
    fitter = _better(images.features, template.features, 1.0, origin, backward)
    return DenseMaps(torch.lerp(expected, forward, better), torch.lerp(origin, backward, fitter))


def neighbourly(maps: DenseMaps, template: Template, images: Oriented, warps: Warps) -> DenseMaps:
    """Matched maps with each match `agreed` with its neighbours; of the same resolutions."""
    n, device, size = len(maps.forward), images.features.device, length(warps.a)
    cells = grid(maps.forward.shape[1], 1.0, device).expand(n, -1, -1, -1)
    tokens = grid(maps.backward.shape[1], images.extent, device).expand(n, -1, -1, -1)
    expected, origin = to_oriented(warps, cells), to_atlas(warps, tokens)
    shows = template.saliency.expand(n, -1, -1)
    return DenseMaps(
        expected + agreed(maps.forward - expected, shows, LIKE_MINDED * size),
        origin + agreed(maps.backward - origin, images.saliency, torch.full_like(size, LIKE_MINDED)),
    )


def agreed(offset: Tensor, saliency: Tensor, tolerance: Tensor) -> Tensor:
    """Offsets from a warp, each with its neighbours' that are of much the same mind.

    Matches snap to tokens, so that neighbouring cells change places. Averages over neighbours that agree
    (Geman-McClure, reweighted) undo that, and leave the seams between parts that move by themselves.

    Args:
        offset: float32 [n, s, s, 2].
        saliency: float32 [n, s, s], whose neighbours are heard how much.
        tolerance: float32 [n], distance between offsets at which a neighbour has a quarter of its say left.
    """
    n, s = saliency.shape[:2]
    step = torch.arange(-AROUND, AROUND + 1, device=offset.device)
    down, right = torch.meshgrid(step, step, indexing="ij")
    say = torch.exp(-(down**2 + right**2) / (2 * NEAR**2)).flatten()
    inputs = torch.cat([offset, saliency[..., None] + BACKGROUND], -1).permute(0, 3, 1, 2)
    padded = torch.nn.functional.pad(inputs, (AROUND,) * 4, mode="replicate")
    around = torch.nn.functional.unfold(padded, len(step)).view(n, 3, len(say), s, s)
    offsets, say = around[:, :2], around[:, 2] * say.view(-1, 1, 1)
    found = offset.permute(0, 3, 1, 2)
    for _ in range(AGREEMENTS):
        off = ((offsets - found[:, :, None]) ** 2).sum(1) / tolerance.view(-1, 1, 1, 1) ** 2
        heard = say / (1 + off) ** 2
        found = (heard[:, None] * offsets).sum(2) / heard.sum(1).clamp_min(1e-9)[:, None]
    return found.permute(0, 2, 3, 1)


def _better(asking: Tensor, asked: Tensor, extent: float, expected: Tensor, found: Tensor) -> Tensor:
    """How far the places found are more alike than those expected, 0 to 1, float32 [n, s, s, 1].

    asking: float32 [n or 1, s, s, c]. asked: float32 [n or 1, t, t, c], over ±extent. expected, found: places
    in it, float32 [n, s, s, 2].
    """
    n = len(expected)
    field = asked.expand(n, -1, -1, -1)

    def alike(places: Tensor) -> Tensor:
        there = torch.nn.functional.normalize(sample(field, places, extent), dim=-1)
        return (there * asking).sum(-1)

    gain = torch.nn.functional.avg_pool2d(
        (alike(found) - alike(expected))[:, None], 3, 1, 1, count_include_pad=False
    )[:, 0]
    return ((gain - ADVANTAGE) / SOFTNESS + 0.5).clamp(0, 1)[..., None]


def _gate(saliency: Tensor) -> Tensor:
    """Saliency [n, s, s] as the say of matches [n, s, s, 1], softened by its neighbours."""
    gate = (saliency / SALIENT).clamp(0, 1)[:, None]
    return torch.nn.functional.avg_pool2d(gate, 3, 1, 1, count_include_pad=False)[:, 0, ..., None]


def _located(score: Tensor, expected: Tensor, places: Tensor) -> Tensor:
    """Where each row of ``score`` [n, k, s*s] is best near its expected place [n, k, 2], [n, k, 2].

    It lies between cells of ``places`` [s, s, 2].
    """
    side = places.shape[0]
    flat = places.view(-1, 2)
    score = nearness(expected, places[0, :, 0], REACH).add_(score)
    best = row_peaks(score)
    step = torch.arange(-1, 2, device=score.device)
    down, right = torch.meshgrid(step, step, indexing="ij")
    row = (best[..., None] // side + down.flatten()).clamp(0, side - 1)
    column = (best[..., None] % side + right.flatten()).clamp(0, side - 1)
    near = row * side + column
    share = torch.softmax(score.gather(2, near), -1)
    return (share[..., None] * flat[near]).sum(-2)


def resampled(
    maps: DenseMaps, warps: Warps, extent: float, resolution: int, map_resolution: int
) -> DenseMaps:
    """Matched maps at other resolutions; the backward map, given over ±extent, over the whole frame.

    Only how they differ from the warps is interpolated: the warps themselves are known everywhere.
    """
    n, device = len(maps.forward), maps.forward.device
    cells = grid(maps.forward.shape[1], 1.0, device).expand(n, -1, -1, -1)
    tokens = grid(maps.backward.shape[1], extent, device).expand(n, -1, -1, -1)
    atlas = grid(resolution, 1.0, device).expand(n, -1, -1, -1)
    frame = grid(map_resolution, 1.0, device).expand(n, -1, -1, -1)
    smooth = warped(warps, resolution, map_resolution)
    forward = sample(maps.forward - to_oriented(warps, cells), atlas)
    backward = sample(maps.backward - to_atlas(warps, tokens), frame, extent)
    return DenseMaps(smooth.forward + forward, smooth.backward + backward)
