"""Atlas against images: the closed-form atlas, regularised matching, and the flow it asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.alignment.config.maps import FlowConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.match_scores import MatchTable, near_places
from congeal.alignment.maps.salient_cells import BLOCK, Cells, CellTemplate, others_at_cells
from congeal.geometry.argmax import column_peaks, row_peaks
from congeal.geometry.chunking import windows
from congeal.geometry.complex_math import inverse, product
from congeal.geometry.segments import add_up, sums
from congeal.geometry.warps import Warps, grid, sample, smooth_fit, to_oriented, with_flow

FAR = 1e3  # frame units; a cell that is not there lies so far from all tokens


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


def cell_bytes(images: Oriented, cells: int) -> int:
    """What matching one image to some of the atlas' cells takes."""
    return 3 * 4 * cells * images.saliency.shape[1] ** 2


def leave_one_out(images: Oriented, places: Tensor) -> TemplateFor:
    """The atlas of the others of its set, for every image.

    places: float32 [n, r, r, 2], where the atlas' cells lie in the oriented frames.
    """
    r, c, device = places.shape[1], images.features.shape[-1], images.features.device
    features = torch.zeros((images.sets, r, r, c), device=device)
    saliency = torch.zeros((images.sets, r, r), device=device)
    for window in windows(len(images.features), template_bytes(images, r), device):
        own, weight = _contribution(images[window], places[window])
        add_up(features, images.owner[window], own)
        add_up(saliency, images.owner[window], weight)
    total = sums(images.weight, images.owner, images.sets)

    def template_for(rows: slice | Tensor) -> Template:
        some = images[rows]
        own, weight = _contribution(some, places[rows])
        others = (total[some.owner] - some.weight).clamp_min(1e-6).view(-1, 1, 1)
        rest = torch.nn.functional.normalize(features[some.owner] - own, dim=-1)
        return Template(rest, (saliency[some.owner] - weight) / others)

    return template_for


def _contribution(images: Oriented, places: Tensor) -> tuple[Tensor, Tensor]:
    """What images add to the features [n, r, r, c] of their atlas, and to its saliency [n, r, r]."""
    weight = sample(images.saliency[..., None], places, images.extent, "zeros")[..., 0]
    weight = weight * images.weight.view(-1, 1, 1)
    return sample(images.features, places, images.extent) * weight[..., None], weight


def as_placed(images: Oriented, places: Tensor) -> Template:
    """Each image's own features [n, r, r, c] and saliency [n, r, r] at the cells, as if it were an atlas.

    places: as of `leave_one_out`.
    """
    features = torch.nn.functional.normalize(sample(images.features, places, images.extent), dim=-1)
    return Template(features, sample(images.saliency[..., None], places, images.extent, "zeros")[..., 0])


def cells_by(warps: Warps) -> Tensor:
    """Where warps put the cells of their atlas, float32 [n, r, r, 2], oriented frames."""
    cells = grid(warps.resolution, 1.0, warps.a.device)
    return to_oriented(warps, cells.expand(len(warps.a), -1, -1, -1))


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


def match_field(
    template: Template,
    images: Oriented,
    places: Tensor,
    width: float,
    config: FlowConfig,
    table: MatchTable | None = None,
) -> Field:
    """Match atlas cells to tokens near where the warp puts them, with a Gaussian prior.

    The tables of all cells and tokens are large (`match_bytes`): many images are for the caller to divide.

    Args:
        template: the atlas as each image sees it, [n or 1, r, r].
        images: n images.
        places: float32 [n, r, r, 2], where the warps put the cells, oriented frames.
        width: of the prior, frame units.
        config: of the flow.
        table: of the template's cells and the images' tokens, if it is known.
    """
    n, r = places.shape[:2]
    if table is None:
        table = MatchTable.of(template.features.flatten(1, 2), images, config.cosine_weight)
    cells = grid(r, 1.0, places.device).view(1, -1, 2)
    found = match_cells(
        table, template.saliency.flatten(1), cells, images, places.flatten(1, 2), width, config, r
    )
    target, weight, best = found
    return Field(target.view(n, r, r, 2), weight.view(n, r, r), best.view(n, r, r))


def match_cells(
    table: MatchTable,
    salient: Tensor,
    cells: Tensor,
    images: Oriented,
    places: Tensor,
    width: float,
    config: FlowConfig,
    block: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for some of an atlas' cells: target [n, k, 2], trust [n, k] and cosine [n, k] of each.

    Args:
        table: of the cells and the images' tokens.
        salient: float32 [n or 1, k], the cells' saliency.
        cells: float32 [n or 1, k, 2], where they lie in the atlas.
        images: n images.
        places: float32 [n, k, 2], where the warps put the cells, oriented frames.
        width: of the prior, frame units.
        config: of the flow.
        block: a divisor of k, about its root.
    """
    g = images.saliency.shape[1]
    tokens = grid(g, images.extent, places.device).view(-1, 2)
    known = table.weighted(config.cosine_weight)
    score = near_places(known.score, places, tokens[:g, 0], width, config.prior_floor)
    forward = row_peaks(score)
    lead_back = column_peaks(score, block).gather(1, forward)
    back = cells.expand(len(lead_back), -1, -1).gather(1, lead_back[..., None].expand(-1, -1, 2))
    off = ((back - cells) ** 2).sum(-1) / config.return_distance**2
    target = _subtoken(table.cosine, forward, tokens, g, config.subtoken_sharpness)
    best = table.cosine.gather(2, forward[..., None])[..., 0].clamp_min(0)
    shown = images.saliency.flatten(1).gather(1, forward)
    return target, salient * shown * best / (1 + off) ** 2, best


def _subtoken(cosine: Tensor, at: Tensor, tokens: Tensor, g: int, sharpness: float) -> Tensor:
    """Positions between tokens: the softmax mean over the 3×3 neighbourhood of the best one, [n, k, 2]."""
    step = torch.arange(-1, 2, device=at.device)
    dy, dx = torch.meshgrid(step, step, indexing="ij")
    row = (at[..., None] // g + dy.flatten()).clamp(0, g - 1)
    column = (at[..., None] % g + dx.flatten()).clamp(0, g - 1)
    near = row * g + column
    share = torch.softmax(sharpness * cosine.gather(2, near), -1)
    return (share[..., None] * tokens[near]).sum(-2)


def fit_flow(
    warps: Warps, target: Tensor, trust: Tensor, config: FlowConfig, *, width: float, tolerance: float
) -> Warps:
    """The warps with the smooth flow that most matches ask for; both lengths in atlas units.

    Matches that lie off the smooth fit lose their weight (Geman-McClure, reweighted, from wide to narrow).

    target, trust: float32 [n, r, r, 2] and [n, r, r], as of `Field`.
    """
    moved = torch.view_as_complex(target.contiguous()) - warps.b.view(-1, 1, 1)
    asked = torch.view_as_real(product(moved, inverse(warps.a).view(-1, 1, 1)))
    asked = asked - grid(warps.resolution, 1.0, asked.device)
    flow = warps.displacement
    narrowing = config.widest_kernel - 1
    for step in range(config.reweightings):
        kernel = tolerance * (config.widest_kernel - narrowing * step / (config.reweightings - 1))
        off = ((asked - flow) ** 2).sum(-1) / kernel**2
        weight = trust / (1 + off) ** 2
        flow = smooth_fit(
            asked, weight, width=width, trust=config.rest_weight, affine_ridge=config.affine_ridge
        )
    return with_flow(warps, flow)


def register(warps: Warps, images: Oriented, config: FlowConfig, fixed: Template | None = None) -> Warps:
    """The flow from coarse to fine, with the atlases rebuilt in between, unless one is ``fixed``.

    Only the salient cells of an atlas are matched: the others have no say in the flow.
    """
    if fixed is not None:
        return _registered_to(fixed, warps, images, config)
    n, r, device = len(images), warps.resolution, images.features.device
    everywhere = grid(r, 1.0, device)[None]
    for step in config.rounds:
        places = to_oriented(warps, everywhere.expand(n, -1, -1, -1))
        cells, template = others_at_cells(images, places, config.least_saliency)
        at = cells.of(places, images.owner, FAR)
        flow = torch.empty_like(warps.displacement)
        for window in windows(n, cell_bytes(images, at.shape[1]), device):
            some, seen = images[window], template[window]
            table = MatchTable.of(seen.features, some, config.cosine_weight)
            fitted = _bent(warps[window], at[window], some, some.owner, cells, seen, table, step, config)
            flow[window] = fitted.displacement
        warps = with_flow(warps, flow)
    return warps


def _registered_to(fixed: Template, warps: Warps, images: Oriented, config: FlowConfig) -> Warps:
    """The flow to an atlas that stays: its cells are compared with each image once, for all rounds."""
    n, r, device = len(images), warps.resolution, images.features.device
    everywhere = grid(r, 1.0, device)[None]
    owner = torch.zeros_like(images.owner)
    cells = Cells.salient(fixed.saliency, config.least_saliency)
    template = CellTemplate(cells.of(fixed.features, owner[:1]), cells.of(fixed.saliency, owner[:1]))
    flow = torch.empty_like(warps.displacement)
    for window in windows(n, cell_bytes(images, cells.index.shape[1]), device):
        some, sets, bent = images[window], owner[window], warps[window]
        table = MatchTable.of(template.features, some, config.cosine_weight)
        for step in config.rounds:
            places = to_oriented(bent, everywhere.expand(len(some), -1, -1, -1))
            at = cells.of(places, sets, FAR)
            bent = _bent(bent, at, some, sets, cells, template, table, step, config)
        flow[window] = bent.displacement
    return with_flow(warps, flow)


def _bent(
    warps: Warps,
    at: Tensor,
    images: Oriented,
    sets: Tensor,
    cells: Cells,
    template: CellTemplate,
    table: MatchTable,
    step: tuple[float, float, float],
    config: FlowConfig,
) -> Warps:
    """The warps of some images after one round of the flow.

    Args:
        warps: of n images.
        at: float32 [n, k, 2], where these put the cells.
        images: the images. sets: int64 [n], whose atlas' cells are theirs.
        cells: k of each atlas.
        template: the atlas there. table: of it and the images.
        step: a round of the config's.
        config: of the flow.
    """
    (radius, width, tolerance), r = step, warps.resolution
    everywhere = grid(r, 1.0, at.device).expand(len(images), -1, -1, -1)
    inside = cells.of(everywhere, sets)
    target, trust, _ = match_cells(table, template.saliency, inside, images, at, radius, config, BLOCK)
    weight = cells.laid_out(trust, sets, r)
    asked = cells.laid_out(target, sets, r)
    return fit_flow(warps, asked, weight, config, width=width, tolerance=tolerance)
