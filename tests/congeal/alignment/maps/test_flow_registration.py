from __future__ import annotations

from dataclasses import replace

import torch
from synthetic import Pose, Thing, scene

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.flow_registration import (
    Template,
    cells_by,
    fit_flow,
    leave_one_out,
    match_field,
    register,
)
from congeal.alignment.maps.salient_cells import Cells, others_at_cells
from congeal.geometry.warps import Warps, grid, rigid, to_oriented, with_flow

CONFIG = SolverConfig()
CPU = torch.device("cpu")


def placed() -> tuple[Oriented, Warps]:
    """Two sets, of five images and of three, of things that bend, in the poses that they are seen in."""
    poses = [Pose(0.7, 0.1 * i, (0.05 * i, 0.0), bend=0.06 * (i - 2)) for i in range(5)]
    poses += [Pose(0.5, -0.1 * i, (0.0, 0.08 * i), bend=0.1 * i) for i in range(3)]
    made = scene([Thing(0)] * 5 + [Thing(1)] * 3, poses, noise=0.05)
    features = torch.nn.functional.normalize(torch.tensor(made.features), dim=-1)
    saliency = torch.tensor(made.saliency).clamp(0, 1)
    owner = torch.tensor([0] * 5 + [1] * 3)
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    images = Oriented(features, saliency, torch.ones_like(saliency), 1.0, weight, owner, 2)
    a = torch.tensor([one.scale for one in poses]) * torch.exp(1j * torch.tensor([p.angle for p in poses]))
    b = torch.tensor([complex(*one.shift) for one in poses], dtype=torch.complex64)
    return images, rigid(a.to(torch.complex64), b, torch.zeros(8, dtype=torch.bool), 24)


def registered_plainly(warps: Warps, images: Oriented) -> Warps:
    """The flow by all cells of the atlas."""
    cells = grid(warps.resolution, 1.0, CPU).expand(len(images), -1, -1, -1)
    for radius, width, tolerance in CONFIG.flow.rounds:
        template = leave_one_out(images, cells_by(warps))(slice(None))
        field = match_field(template, images, to_oriented(warps, cells), radius, CONFIG.flow)
        fitted = fit_flow(warps, field.target, field.weight, CONFIG.flow, width=width, tolerance=tolerance)
        warps = with_flow(warps, fitted.displacement)
    return warps


def test_a_flow_by_salient_cells_is_that_by_all_cells() -> None:
    images, warps = placed()
    template = leave_one_out(images, cells_by(warps))(slice(None))
    found, plain = register(warps, images, CONFIG.flow), registered_plainly(warps, images)
    off = (found.displacement - plain.displacement).norm(dim=-1)
    salient = template.saliency > 0.3
    assert float(plain.displacement.norm(dim=-1)[salient].max()) > 0.05
    assert float(off[salient].median()) < 0.003
    assert float(off[salient].quantile(0.95)) < 0.02


def test_sets_are_registered_side_by_side_as_each_by_itself() -> None:
    images, warps = placed()
    found = register(warps, images, CONFIG.flow)
    for rows in (slice(0, 5), slice(5, 8)):
        some = images[rows]
        alone = Oriented(
            some.features, some.saliency, some.valid, 1.0, some.weight, torch.zeros_like(some.owner), 1
        )
        by_itself = register(warps[rows], alone, CONFIG.flow)
        torch.testing.assert_close(by_itself.displacement, found.displacement[rows], atol=1e-4, rtol=0)


def test_the_flow_to_an_atlas_that_stays_is_that_of_its_rounds_one_after_the_other() -> None:
    images, warps = placed()
    whole = leave_one_out(images, cells_by(warps))(slice(5, 6))
    atlas = Template(whole.features, whole.saliency)
    some, still = images[slice(5, 8)], warps[slice(5, 8)]
    found, stepwise = register(still, some, CONFIG.flow, atlas), still
    for radius, width, tolerance in CONFIG.flow.rounds:
        one = replace(CONFIG.flow, search_radius=(radius,), smoothness=(width,), inlier_distance=(tolerance,))
        stepwise = register(stepwise, some, one, atlas)
    torch.testing.assert_close(found.displacement, stepwise.displacement, atol=1e-6, rtol=0)
    assert float(found.displacement.abs().max()) > 0.05


def test_an_atlas_of_the_others_at_its_salient_cells_is_that_of_all_cells() -> None:
    images, warps = placed()
    places = to_oriented(warps, grid(24, 1.0, CPU).expand(8, -1, -1, -1))
    cells, template = others_at_cells(images, places, CONFIG.flow.least_saliency)
    whole = leave_one_out(images, cells_by(warps))(slice(None))
    there = cells.there[images.owner]
    features, saliency = cells.of(whole.features, images.owner), cells.of(whole.saliency, images.owner)
    torch.testing.assert_close(template.features[there], features[there], atol=1e-4, rtol=0)
    torch.testing.assert_close(template.saliency, saliency, atol=1e-5, rtol=0)
    assert 0.05 < float(there.float().sum(1).max()) / 24**2 < 0.6


def test_values_at_cells_are_laid_out_where_they_were_and_nothing_elsewhere() -> None:
    saliency = torch.zeros((2, 6, 6))
    saliency[0, 1, 2], saliency[0, 4, 4], saliency[1, 0, 0] = 1.0, 0.5, 0.2
    cells, owner = Cells.salient(saliency, 0.1), torch.tensor([0, 1, 0])
    values = torch.rand((3, 6, 6, 2), generator=torch.Generator().manual_seed(0))
    back = cells.laid_out(cells.of(values, owner), owner, 6)
    chosen = (saliency > 0)[owner]
    assert torch.equal(back[chosen], values[chosen])
    assert not bool(back[~chosen].any())
    assert not bool(Cells.salient(torch.zeros((1, 6, 6)), 0.1).there.any())
