"""From the maps of networks to an alignment, as the direct solver would state it; and what speaks for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from congeal.alignment.atlas_fitting import evenly_drawn, usual_evidence
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.cosaliency import Discriminant
from congeal.alignment.inputs.feature_basis import Basis
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.maps.error_estimation import Cycles, match_cycles
from congeal.alignment.maps.flow_registration import cells_by, leave_one_out, register
from congeal.alignment.maps.map_batches import compute_maps
from congeal.alignment.maps.match_support import match_support
from congeal.alignment.maps.point_evidence import cells_of_evidence, levels, point_evidence
from congeal.alignment.maps.postprocess import AtlasSource, assemble, build_atlas
from congeal.alignment.model import FLOW, GUIDED, MEANINGLESS, PER_IMAGE, RIGID, Alignment, Atlas, Verdict
from congeal.alignment.poses.exemplars import select_exemplars
from congeal.alignment.selection.collapse_check import check_collapse
from congeal.geometry.warps import Warps, flip, grid, recentred, rigid, sample
from congeal.neural import grids

CORRECTIONS = 4  # of a flow at fewer cells by what it leaves over; each leaves about a fifth


@dataclass(frozen=True)
class SolvedSet:
    """A set that the direct solver has aligned, in the basis of its atlas.

    Attributes:
        images: n images.
        oriented: the same in the mirror states that were found; weight 0 for outliers.
        arrays: the images as they were given.
        aligned: what was found.
        config: of the solver.
        seed: of the solver.
    """

    images: SetBatch
    oriented: Oriented
    arrays: ImageArrays
    aligned: Alignment
    config: SolverConfig
    seed: int

    @classmethod
    def of(
        cls,
        arrays: ImageArrays,
        aligned: Alignment,
        extent: float,
        config: SolverConfig,
        seed: int,
        device: torch.device,
    ) -> SolvedSet:
        """From the arrays that `congeal.align` was given and what it made of them."""
        images = in_basis(arrays, aligned.atlas, extent, config, device)
        mirrored = torch.as_tensor(aligned.mirrored, device=device)
        good = torch.as_tensor(~aligned.outlier, device=device) & images.sound
        return cls(images, images.oriented(mirrored, good.float()), arrays, aligned, config, seed)

    @property
    def good(self) -> Tensor:
        """The images that make the atlas, int64 [k]."""
        return torch.nonzero(self.oriented.weight > 0)[:, 0]

    @property
    def mirrored(self) -> Tensor:
        """The mirror states that were found, bool [n]."""
        return torch.as_tensor(self.aligned.mirrored, device=self.images.device)


def in_basis(
    arrays: ImageArrays, atlas: Atlas, extent: float, config: SolverConfig, device: torch.device | str
) -> SetBatch:
    """Images in the basis of an atlas, with the saliency of its discriminant."""
    basis, discriminant = _learned(atlas, device)
    prepared = prepare(
        read_tensors(arrays, extent, device),
        config.features,
        config.cosaliency,
        basis=basis,
        discriminant=discriminant,
        least_contrast=atlas.least_contrast,
    )
    return SetBatch.of([prepared], config.tokens)


def warps_of(solved: SolvedSet, resolution: int) -> Warps:
    """The poses and smooth flows of what the direct solver found, of all images, at so many cells a side.

    Maps that were matched cell by cell are no smooth maps: then the flow is the one that most matches ask for
    together, near which `solution` matches the cells again.
    """
    aligned, device = solved.aligned, solved.images.device
    mirrored = torch.as_tensor(aligned.mirrored, device=device)
    rotation = torch.as_tensor(aligned.rotation, device=device)
    a = torch.polar(torch.as_tensor(aligned.scale, device=device), rotation)
    shift = flip(torch.as_tensor(aligned.translation, device=device), mirrored)
    b = torch.view_as_complex(shift.contiguous())
    if aligned.atlas.deformation == GUIDED:
        still = rigid(a, b, mirrored, solved.config.flow.finest_cells)
        bent = register(still, solved.oriented, solved.config.flow)
        if solved.config.deformation.mean_shape:
            bent = recentred(bent, solved.oriented.weight, solved.oriented.owner, 1)
        flow = bent.displacement
    else:
        places = flip(torch.as_tensor(np.asarray(aligned.forward), device=device), mirrored)
        moved = torch.view_as_complex(places.contiguous()) - b.view(-1, 1, 1)
        cells = grid(places.shape[1], 1.0, device)
        flow = torch.view_as_real(moved / a.view(-1, 1, 1)) - cells
    return resized(Warps(a, b, flow, mirrored), resolution)


def resized(warps: Warps, resolution: int) -> Warps:
    """The same with so many cells a side.

    With fewer cells the flow is the one that, read between them, comes nearest to what it was: values taken
    at the cells are means of finer ones, and means of means take the edge off what bends from cell to cell.
    """
    flow, device = warps.displacement.contiguous(), warps.a.device
    if resolution != flow.shape[1]:
        fine = flow
        places, finer = (
            grid(cells, 1.0, device).expand(len(fine), -1, -1, -1) for cells in (resolution, fine.shape[1])
        )
        flow = sample(fine, places).contiguous()
        for _ in range(CORRECTIONS if resolution < fine.shape[1] else 0):
            flow = flow + sample(fine - sample(flow, finer), places)
    return Warps(warps.a, warps.b, flow.contiguous(), warps.mirrored)


def poses_of(warps: Warps) -> Tensor:
    """Poses [n, 4] as of `congeal.neural.grids`."""
    return torch.cat([torch.view_as_real(warps.a), torch.view_as_real(warps.b)], 1)


def warps_from(poses: Tensor, flow: Tensor, mirrored: Tensor) -> Warps:
    """Warps of poses [n, 4] and flows [n, r, r, 2]."""
    pairs = torch.view_as_complex(poses.detach().view(-1, 2, 2).contiguous())
    return Warps(pairs[:, 0].contiguous(), pairs[:, 1].contiguous(), flow.detach().contiguous(), mirrored)


def solution(solved: SolvedSet, warps: Warps) -> Alignment:
    """The alignment by other warps of a set's images, with an atlas built anew.

    The maps of outliers stay as they were, and so do who is one and what the basis is. Where the direct
    solver matched cell by cell, so does this, near the warps.
    """
    before, config = solved.aligned, solved.config
    images, device = solved.images, solved.images.device
    oriented = images.oriented(warps.mirrored, solved.oriented.weight)
    deformation = FLOW if before.atlas.deformation == RIGID else before.atlas.deformation
    places = cells_by(warps)
    maps, figures = compute_maps(
        leave_one_out(oriented, places),
        oriented,
        warps,
        torch.full_like(images.sound, deformation == GUIDED),
        before.atlas.saliency.shape[0],
        before.backward.shape[1],
        config,
        lambda rows, at: leave_one_out(oriented[rows], at),
    )
    support = torch.as_tensor(before.support)
    order = support.argsort(descending=True, stable=True)
    good = (oriented.weight > 0).cpu()
    exemplars, kept = select_exemplars(images, warps, oriented.weight, [order], config.exemplars.most)
    asked = [evenly_drawn(order, good, config.exemplars.judged)]
    (usual,) = usual_evidence(exemplars, kept, images, warps.mirrored, asked, [solved.seed], config)
    atlas = build_atlas(
        _source(solved, device),
        oriented,
        warps,
        exemplars[0],
        before.atlas.saliency.shape[0],
        config.atlas.background_weight,
    )
    atlas = replace(atlas, evidence=usual, deformation=deformation, fixed_camera=before.atlas.fixed_camera)
    verdict = Verdict(before.status, support, before.outlier_reason, before.margin, before.medoid)
    verdict = check_collapse(verdict, atlas, warps.a, good, config.collapse)
    atlas = replace(atlas, status=verdict.status)
    agreed = match_support(
        exemplars, kept, [verdict.status not in MEANINGLESS], images.members, oriented, warps, maps.forward,
        config.match_support,
    )  # fmt: skip
    at = cells_of_evidence(maps.forward)
    borne_out = point_evidence(leave_one_out(oriented, at), oriented, warps, at, agreed, config.confidence)
    usual_terms = borne_out.usual(images.members, oriented.weight)
    (level,) = levels(usual_terms, [deformation == GUIDED], config.confidence)
    (found,) = assemble(
        [replace(atlas, confidence_level=level)], [verdict], images.members, warps, maps, oriented, figures,
        borne_out.terms, config.confidence,
    )  # fmt: skip
    return _with_outliers_of(before, found)


def _source(solved: SolvedSet, device: torch.device) -> AtlasSource:
    atlas = solved.aligned.atlas
    basis, discriminant = _learned(atlas, device)
    return AtlasSource(solved.arrays, basis, discriminant, atlas.least_contrast, atlas.mixture, atlas.weighed)


def _learned(atlas: Atlas, device: torch.device | str) -> tuple[Basis, Discriminant]:
    """What the direct solver learned on the set."""
    mean, projection, learned = (
        torch.as_tensor(part, device=device) for part in (atlas.mean, atlas.projection, atlas.discriminant)
    )
    return Basis(mean, projection), Discriminant(learned[:-1], learned[-1])


def _with_outliers_of(before: Alignment, found: Alignment) -> Alignment:
    values: dict[str, Any] = {}
    for name in PER_IMAGE:
        old, new = np.asarray(getattr(before, name)), np.asarray(getattr(found, name))
        flag = before.outlier.reshape(-1, *(1,) * (old.ndim - 1))
        values[name] = np.where(flag, old, new).astype(new.dtype)
    return replace(found, **values, outlier_reason=list(before.outlier_reason))


def free_matches(solved: SolvedSet) -> Cycles | None:
    """Matches between the images that took no part in any training; None if there are none."""
    return match_cycles(solved.oriented, [solved.seed], solved.config.errors)


def share_explained(solved: SolvedSet, aligned: Alignment, cycles: Cycles) -> float:
    """Share of free matches that the maps of an alignment lead to within two distances, in [0, 1].

    The size of the object in an image is that of the direct solution, so that alignments are comparable.
    """
    device, errors = solved.images.device, solved.config.errors
    here, there = cycles.images[:, 0], cycles.images[:, 1]
    found = solved.mirrored
    start, met = flip(cycles.start, found[here]), flip(cycles.met, found[there])
    backward = torch.as_tensor(np.asarray(aligned.backward), device=device)
    forward = torch.as_tensor(np.asarray(aligned.forward), device=device)
    size = torch.as_tensor(solved.aligned.scale, device=device)
    shares: list[Tensor] = []
    for rows in torch.split(torch.arange(len(here), device=device), 16):
        led = sample(forward[there[rows]], sample(backward[here[rows]], start[rows]))
        shares.append(torch.linalg.vector_norm(met[rows] - led, dim=-1) / size[there[rows]][:, None])
    distance, weight = torch.cat(shares), cycles.weight
    close, near = (
        (weight * (distance < tolerance)).sum() / weight.sum().clamp_min(1e-9)
        for tolerance in (errors.close_distance, errors.error_distance)
    )
    return float(close + near) / 2


def cell_saliency(atlas: Atlas, count: int, resolution: int, device: torch.device) -> Tensor:
    """The saliency of an atlas at a number of cells a side, [count, r, r]."""
    field = torch.as_tensor(atlas.saliency, device=device)[None, ..., None]
    found = sample(field, grids.cells(resolution, device)[None])[..., 0]
    return found.expand(count, -1, -1)
