"""Atlas against images: the closed-form atlas, regularised matching, and the flow it asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented
from congeal.geometry.argmax import column_peaks, row_peaks
from congeal.geometry.chunking import windows
from congeal.geometry.complex_math import inverse, product
from congeal.geometry.segments import add_up, sums
from congeal.geometry.warps import Warps, grid, sample, smooth_fit, to_oriented, with_flow

SHARPNESS = 20.0  # how much a difference in cosine weighs against distance from the prior
ANYWHERE = 0.05  # floor of the prior: no place is ruled out
SUBTOKEN_SHARPNESS = 15.0
CYCLE_WIDTH = 0.1  # atlas units within which a match must lead back
# Rounds of the flow: how near the warp a match is looked for (frame units), how smooth the answer is, and how
# far a match may lie from it to count (atlas units). The first round amounts to one affine map an image.
FLOW = (
    (0.3, 1.5, 0.1),
    (0.2, 0.6, 0.1),
    (0.15, 0.3, 0.08),
    (0.1, 0.15, 0.08),
    (0.07, 0.1, 0.08),
    (0.07, 0.1, 0.08),
)
FLOW_TRUST = 0.001
AFFINE_RIDGE = 0.1
REWEIGHTINGS = 3


@dataclass(frozen=True)
class Template:
    """An atlas as each image sees it.

    Attributes:
        features: float32 [n or 1, r, r, c], unit length.
        saliency: float32 [n or 1, r, r].
    """

    features: Tensor
    saliency: Tensor


Seen = Callable[[slice | Tensor], Template]
"""The atlas as some of the images see it."""


def always(template: Template) -> Seen:
    """One atlas for all images."""
    return lambda _: template


def template_bytes(images: Oriented, resolution: int) -> int:
    """What taking one image's features to the atlas' cells takes: the same values a few times over."""
    return 4 * 4 * max(resolution**2, images.saliency.shape[1] ** 2) * images.features.shape[-1]


def match_bytes(images: Oriented, resolution: int) -> int:
    """What matching one image to the atlas takes: three tables of all cells and tokens."""
    return 3 * 4 * resolution**2 * images.saliency.shape[1] ** 2 + template_bytes(images, resolution)


def leave_one_out(images: Oriented, warps: Warps) -> Seen:
    """The atlas of the others of its set, for every image."""
    r, c, device = warps.resolution, images.features.shape[-1], images.features.device
    features = torch.zeros((images.sets, r, r, c), device=device)
    saliency = torch.zeros((images.sets, r, r), device=device)
    for window in windows(len(images.features), template_bytes(images, r), device):
        own, weight = _contribution(images[window], warps[window])
        add_up(features, images.owner[window], own)
        add_up(saliency, images.owner[window], weight)
    say = sums(images.weight, images.owner, images.sets)

    def seen(rows: slice | Tensor) -> Template:
        some = images[rows]
        own, weight = _contribution(some, warps[rows])
        others = (say[some.owner] - some.weight).clamp_min(1e-6).view(-1, 1, 1)
        rest = torch.nn.functional.normalize(features[some.owner] - own, dim=-1)
        return Template(rest, (saliency[some.owner] - weight) / others)

    return seen


def _contribution(images: Oriented, warps: Warps) -> tuple[Tensor, Tensor]:
    """What images add to the features [n, r, r, c] of their atlas, and to its saliency [n, r, r]."""
    n, r = len(images.features), warps.resolution
    places = to_oriented(warps, grid(r, 1.0, images.features.device).expand(n, -1, -1, -1))
    weight = sample(images.saliency[..., None], places, images.extent, "zeros")[..., 0]
    weight = weight * images.weight.view(-1, 1, 1)
    return sample(images.features, places, images.extent) * weight[..., None], weight


def as_placed(images: Oriented, warps: Warps) -> Template:
    """Each image's own features and saliency at the atlas' cells, as if it were an atlas."""
    cells = grid(warps.resolution, 1.0, images.features.device)
    places = to_oriented(warps, cells.expand(len(images.features), -1, -1, -1))
    features = torch.nn.functional.normalize(sample(images.features, places, images.extent), dim=-1)
    return Template(features, sample(images.saliency[..., None], places, images.extent, "zeros")[..., 0])


@dataclass(frozen=True)
class Field:
    """Where each atlas cell of each image wants to be.

    Attributes:
        target: float32 [n, r, r, 2], oriented frame.
        weight: float32 [n, r, r], trust: salient on both sides, similar, and leading back.
        cosine: float32 [n, r, r].
    """

    target: Tensor
    weight: Tensor
    cosine: Tensor


def match_field(template: Template, images: Oriented, places: Tensor, width: float | None) -> Field:
    """Match atlas cells to tokens; with a prior ``width`` (frame units), near where the warp puts them.

    The tables of all cells and tokens are large (`match_bytes`): many images are for the caller to divide.
    """
    n, g = images.saliency.shape[:2]
    r = places.shape[1]
    device = places.device
    tokens = grid(g, images.extent, device).view(-1, 2)
    cells = grid(r, 1.0, device).view(-1, 2)
    cosine = template.features.flatten(1, 2) @ images.features.flatten(1, 2).transpose(1, 2)
    score = cosine
    if width is not None:
        score = nearness(places.flatten(1, 2), tokens[:g, 0], width).add_(cosine, alpha=SHARPNESS)
    forward = row_peaks(score)
    lead_back = column_peaks(score, r).gather(1, forward)
    astray = (cells[lead_back] - cells).norm(dim=-1)
    target = _subtoken(cosine, forward, tokens, g)
    best = cosine.gather(2, forward[..., None])[..., 0].clamp_min(0)
    shown = images.saliency.flatten(1).gather(1, forward)
    trust = template.saliency.flatten(1) * shown * best / (1 + (astray / CYCLE_WIDTH) ** 2) ** 2
    return Field(target.view(n, r, r, 2), trust.view(n, r, r), best.view(n, r, r))


def nearness(places: Tensor, axis: Tensor, width: float) -> Tensor:
    """Log of the prior of tokens at places [n, k, 2], [n, k, g·g]; axis: where columns, and rows, lie [g].

    The Gaussian is a product of one along either axis: g values a place each instead of g².
    """
    along = torch.exp(-(((places[..., None] - axis) / width) ** 2) / 2)
    both = along[..., 1, :, None] * along[..., 0, None, :]
    return both.flatten(2).add_(ANYWHERE).log_()


def _subtoken(cosine: Tensor, at: Tensor, tokens: Tensor, g: int) -> Tensor:
    """Positions between tokens: the softmax mean over the 3×3 neighbourhood of the best one, [n, k, 2]."""
    step = torch.arange(-1, 2, device=at.device)
    dy, dx = torch.meshgrid(step, step, indexing="ij")
    row = (at[..., None] // g + dy.flatten()).clamp(0, g - 1)
    column = (at[..., None] % g + dx.flatten()).clamp(0, g - 1)
    near = row * g + column
    share = torch.softmax(SUBTOKEN_SHARPNESS * cosine.gather(2, near), -1)
    return (share[..., None] * tokens[near]).sum(-2)


def bend(warps: Warps, field: Field, *, width: float, tolerance: float) -> Warps:
    """The warps with the smooth flow that most of a field's matches ask for; both lengths in atlas units.

    Matches that lie off the smooth answer lose their say (Geman-McClure, reweighted, from wide to narrow).
    """
    moved = torch.view_as_complex(field.target.contiguous()) - warps.b.view(-1, 1, 1)
    asked = torch.view_as_real(product(moved, inverse(warps.a).view(-1, 1, 1)))
    asked = asked - grid(warps.resolution, 1.0, asked.device)
    flow = warps.displacement
    for step in range(REWEIGHTINGS):
        kernel = tolerance * (3 - 2 * step / (REWEIGHTINGS - 1))
        off = (asked - flow).norm(dim=-1)
        weight = field.weight / (1 + (off / kernel) ** 2) ** 2
        flow = smooth_fit(asked, weight, width=width, trust=FLOW_TRUST, affine_ridge=AFFINE_RIDGE)
    return with_flow(warps, flow)


def follow(warps: Warps, images: Oriented, fixed: Template | None = None) -> Warps:
    """The flow from coarse to fine, with the atlases rebuilt in between, unless one is ``fixed``."""
    n, r, device = len(images.features), warps.resolution, images.features.device
    cells = grid(r, 1.0, device)
    for near, width, tolerance in FLOW:
        seen = leave_one_out(images, warps) if fixed is None else always(fixed)
        flow = torch.empty_like(warps.displacement)
        for window in windows(n, match_bytes(images, r), device):
            some = warps[window]
            places = to_oriented(some, cells.expand(len(some.a), -1, -1, -1))
            field = match_field(seen(window), images[window], places, near)
            flow[window] = bend(some, field, width=width, tolerance=tolerance).displacement
        warps = with_flow(warps, flow)
    return warps
