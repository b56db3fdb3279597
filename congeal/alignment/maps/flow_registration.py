"""Atlas against images: the closed-form atlas, regularised matching, and the flow it asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.maps import FlowConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.geometry.argmax import column_peaks, row_peaks
from congeal.geometry.chunking import windows
from congeal.geometry.complex_math import inverse, product
from congeal.geometry.segments import add_up, sums
from congeal.geometry.warps import Warps, grid, sample, smooth_fit, to_oriented, with_flow


@dataclass(frozen=True)
class Template:
    """An atlas as each image sees it.

    Attributes:
        features: float32 [n or 1, r, r, c], unit length.
        saliency: float32 [n or 1, r, r].
    """

    features: Tensor
    saliency: Tensor


TemplateFor = Callable[[slice | Tensor], Template]
"""Leave-one-out atlas for the given rows: what each of these images is matched with."""


def fixed_template(template: Template) -> TemplateFor:
    """One atlas for all images."""
    return lambda _: template


def template_bytes(images: Oriented, resolution: int) -> int:
    """What taking one image's features to the atlas' cells takes: the same values a few times over."""
    return 4 * 4 * max(resolution**2, images.saliency.shape[1] ** 2) * images.features.shape[-1]


def match_bytes(images: Oriented, resolution: int) -> int:
    """What matching one image to the atlas takes: three tables of all cells and tokens."""
    return 3 * 4 * resolution**2 * images.saliency.shape[1] ** 2 + template_bytes(images, resolution)


def leave_one_out(images: Oriented, warps: Warps) -> TemplateFor:
    """The atlas of the others of its set, for every image."""
    r, c, device = warps.resolution, images.features.shape[-1], images.features.device
    features = torch.zeros((images.sets, r, r, c), device=device)
    saliency = torch.zeros((images.sets, r, r), device=device)
    for window in windows(len(images.features), template_bytes(images, r), device):
        own, weight = _contribution(images[window], warps[window])
        add_up(features, images.owner[window], own)
        add_up(saliency, images.owner[window], weight)
    total = sums(images.weight, images.owner, images.sets)

    def template_for(rows: slice | Tensor) -> Template:
        some = images[rows]
        own, weight = _contribution(some, warps[rows])
        others = (total[some.owner] - some.weight).clamp_min(1e-6).view(-1, 1, 1)
        rest = torch.nn.functional.normalize(features[some.owner] - own, dim=-1)
        return Template(rest, (saliency[some.owner] - weight) / others)

    return template_for


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


def cosines(template: Template, images: Oriented) -> Tensor:
    """All cells of the template against all tokens of each image, float32 [n, r·r, g·g]."""
    return template.features.flatten(1, 2) @ images.features.flatten(1, 2).transpose(1, 2)


def match_field(
    template: Template,
    images: Oriented,
    places: Tensor,
    width: float,
    config: FlowConfig,
    cosine: Tensor | None = None,
) -> Field:
    """Match atlas cells to tokens near where the warp puts them, with a Gaussian prior.

    The tables of all cells and tokens are large (`match_bytes`): many images are for the caller to divide.

    Args:
        template: the atlas as each image sees it, [n or 1, r, r].
        images: n images.
        places: float32 [n, r, r, 2], where the warps put the cells, oriented frames.
        width: of the prior, frame units.
        config: of the flow.
        cosine: `cosines` of the template and the images, if they are known.
    """
    n, g = images.saliency.shape[:2]
    r = places.shape[1]
    device = places.device
    tokens = grid(g, images.extent, device).view(-1, 2)
    cells = grid(r, 1.0, device).view(-1, 2)
    if cosine is None:
        cosine = cosines(template, images)
    prior = log_prior(places.flatten(1, 2), tokens[:g, 0], width, config.prior_floor)
    score = prior.add_(cosine, alpha=config.cosine_weight)
    forward = row_peaks(score)
    lead_back = column_peaks(score, r).gather(1, forward)
    off = (cells[lead_back] - cells).norm(dim=-1)
    target = _subtoken(cosine, forward, tokens, g, config.subtoken_sharpness)
    best = cosine.gather(2, forward[..., None])[..., 0].clamp_min(0)
    shown = images.saliency.flatten(1).gather(1, forward)
    trust = template.saliency.flatten(1) * shown * best / (1 + (off / config.return_distance) ** 2) ** 2
    return Field(target.view(n, r, r, 2), trust.view(n, r, r), best.view(n, r, r))


def log_prior(places: Tensor, axis: Tensor, width: float, floor: float) -> Tensor:
    """Log of the prior of tokens at places [n, k, 2], [n, k, g·g]; axis: where columns, and rows, lie [g].

    The Gaussian is a product of one along either axis: g values a place each instead of g². floor: of the
    prior, so that no place is ruled out.
    """
    along = torch.exp(-(((places[..., None] - axis) / width) ** 2) / 2)
    both = along[..., 1, :, None] * along[..., 0, None, :]
    return both.flatten(2).add_(floor).log_()


def _subtoken(cosine: Tensor, at: Tensor, tokens: Tensor, g: int, sharpness: float) -> Tensor:
    """Positions between tokens: the softmax mean over the 3×3 neighbourhood of the best one, [n, k, 2]."""
    step = torch.arange(-1, 2, device=at.device)
    dy, dx = torch.meshgrid(step, step, indexing="ij")
    row = (at[..., None] // g + dy.flatten()).clamp(0, g - 1)
    column = (at[..., None] % g + dx.flatten()).clamp(0, g - 1)
    near = row * g + column
    share = torch.softmax(sharpness * cosine.gather(2, near), -1)
    return (share[..., None] * tokens[near]).sum(-2)


def fit_flow(warps: Warps, field: Field, config: FlowConfig, *, width: float, tolerance: float) -> Warps:
    """The warps with the smooth flow that most of a field's matches ask for; both lengths in atlas units.

    Matches that lie off the smooth fit lose their weight (Geman-McClure, reweighted, from wide to narrow).
    """
    moved = torch.view_as_complex(field.target.contiguous()) - warps.b.view(-1, 1, 1)
    asked = torch.view_as_real(product(moved, inverse(warps.a).view(-1, 1, 1)))
    asked = asked - grid(warps.resolution, 1.0, asked.device)
    flow = warps.displacement
    narrowing = config.widest_kernel - 1
    for step in range(config.reweightings):
        kernel = tolerance * (config.widest_kernel - narrowing * step / (config.reweightings - 1))
        off = (asked - flow).norm(dim=-1)
        weight = field.weight / (1 + (off / kernel) ** 2) ** 2
        flow = smooth_fit(
            asked, weight, width=width, trust=config.rest_weight, affine_ridge=config.affine_ridge
        )
    return with_flow(warps, flow)


def register(warps: Warps, images: Oriented, config: FlowConfig, fixed: Template | None = None) -> Warps:
    """The flow from coarse to fine, with the atlases rebuilt in between, unless one is ``fixed``."""
    n, r, device = len(images.features), warps.resolution, images.features.device
    cells = grid(r, 1.0, device)
    for radius, width, tolerance in config.rounds:
        template_for = leave_one_out(images, warps) if fixed is None else fixed_template(fixed)
        flow = torch.empty_like(warps.displacement)
        for window in windows(n, match_bytes(images, r), device):
            some = warps[window]
            places = to_oriented(some, cells.expand(len(some.a), -1, -1, -1))
            field = match_field(template_for(window), images[window], places, radius, config)
            flow[window] = fit_flow(some, field, config, width=width, tolerance=tolerance).displacement
        warps = with_flow(warps, flow)
    return warps
