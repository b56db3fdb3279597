from __future__ import annotations

import math

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from congeal.geometry.warps import (
    Warps,
    flip,
    grid,
    inverted,
    jacobian_determinants,
    recentred,
    rigid,
    sample,
    smooth_fit,
    to_atlas,
    to_oriented,
    with_flow,
)

CPU = torch.device("cpu")
angles = st.floats(-math.pi, math.pi)
shifts = st.floats(-0.5, 0.5)


def one(angle: float, scale: float, x: float, y: float, resolution: int = 16) -> Warps:
    a = torch.polar(torch.tensor([scale]), torch.tensor([angle]))
    return rigid(a, torch.complex(torch.tensor([x]), torch.tensor([y])), torch.tensor([False]), resolution)


def swirl(strength: float, resolution: int = 16) -> torch.Tensor:
    u = grid(resolution, 1.0, CPU)
    return strength * torch.stack([torch.sin(2 * u[..., 1]), torch.sin(2 * u[..., 0])], -1)[None]


@settings(max_examples=30)
@given(angle=angles, scale=st.floats(0.3, 3), x=shifts, y=shifts)
def test_a_similarity_and_its_inverse_cancel(angle: float, scale: float, x: float, y: float) -> None:
    warps = one(angle, scale, x, y)
    points = grid(5, 0.9, CPU)[None]
    assert torch.allclose(to_atlas(warps, to_oriented(warps, points)), points, atol=1e-4)


@settings(max_examples=20)
@given(angle=angles, scale=st.floats(0.5, 2), strength=st.floats(-0.15, 0.15))
def test_a_flow_is_inverted_to_a_small_part_of_a_cell(angle: float, scale: float, strength: float) -> None:
    warps = with_flow(one(angle, scale, 0.1, -0.2), swirl(strength))
    points = grid(7, 0.8, CPU)[None]
    assert torch.allclose(to_atlas(warps, to_oriented(warps, points)), points, atol=2e-3)


@settings(max_examples=20)
@example(compression=3.0, x=0.5)
@given(compression=st.floats(0.0, 10.0), x=shifts)
def test_strong_compression_is_inverted_too(compression: float, x: float) -> None:
    u = grid(64, 1.0, CPU)
    flow = torch.stack(
        [compression * 0.2 * torch.tanh((u[..., 0] - x) / 0.2), torch.zeros_like(u[..., 0])], -1
    )
    points = grid(9, 0.5, CPU)[None]
    assert torch.allclose(inverted(flow[None], points + sample(flow[None], points)), points, atol=2e-3)


@settings(max_examples=20)
@given(strength=st.floats(-5.0, 5.0))
def test_where_a_flow_folds_its_inverse_leads_no_farther_away(strength: float) -> None:
    flow, points = swirl(strength), grid(9, 0.9, CPU)[None]
    found = inverted(flow, points)
    before = sample(flow, points).norm(dim=-1)
    after = (found + sample(flow, found) - points).norm(dim=-1)
    assert bool((after <= before + 1e-6).all())


def test_a_similarity_turns_scales_and_shifts_as_it_says() -> None:
    warps = one(math.pi / 2, 2.0, 0.1, 0.2)
    moved = to_oriented(warps, torch.tensor([[[0.25, 0.0]]]))
    assert torch.allclose(moved, torch.tensor([[[0.1, 0.7]]]), atol=1e-6)


def test_flip_is_its_own_inverse_and_touches_mirrored_images_only() -> None:
    points = torch.rand((2, 5, 2), generator=torch.Generator().manual_seed(0))
    mirrored = torch.tensor([True, False])
    turned = flip(points, mirrored)
    assert torch.equal(turned[1], points[1])
    assert torch.equal(turned[0, :, 0], -points[0, :, 0])
    assert torch.equal(flip(turned, mirrored), points)


def test_sampling_a_linear_field_is_exact_between_cell_centres() -> None:
    field = grid(8, 1.0, CPU)[None]
    at = torch.tensor([[[0.3, -0.41], [0.0, 0.6]]])
    assert torch.allclose(sample(field, at), at, atol=1e-6)
    assert torch.allclose(sample(field * 0.9, at * 0.9, extent=0.9), at * 0.9, atol=1e-6)


def test_grids_that_were_made_in_inference_mode_have_a_part_in_gradients() -> None:
    with torch.inference_mode():
        grid(23, 0.7, torch.device("cpu"))
    scale = torch.ones(2, requires_grad=True)
    (grid(23, 0.7, torch.device("cpu")) * scale).square().sum().backward()
    torch.testing.assert_close(scale.grad, 2 * grid(23, 0.7, torch.device("cpu")).square().sum((0, 1)))


def test_folds_show_as_determinants_below_zero() -> None:
    cells = grid(swirl(0.1).shape[1], 1.0, CPU)
    assert jacobian_determinants(cells + swirl(0.1)).min() > 0
    assert jacobian_determinants(cells + swirl(1.5)).min() < 0


def test_a_smooth_fit_reproduces_an_affine_field_where_there_is_evidence_and_damps_noise() -> None:
    u = grid(24, 1.0, CPU)
    affine = torch.stack([0.1 * u[..., 0] + 0.05, -0.1 * u[..., 1]], -1)[None]
    weight = (u.norm(dim=-1) < 0.8).float()[None]
    clean = smooth_fit(affine, weight, width=0.3, trust=1e-4, affine_ridge=1e-3)
    inside = weight[0] > 0
    assert (clean - affine)[0][inside].abs().max() < 0.01
    noise = 0.1 * torch.randn(affine.shape, generator=torch.Generator().manual_seed(0))
    noisy = smooth_fit(affine + noise, weight, width=0.3, trust=1e-4)
    assert (noisy - affine)[0][inside].abs().mean() < 0.3 * noise.abs().mean()


def test_without_evidence_a_smooth_fit_is_still() -> None:
    displacement = torch.ones((1, 8, 8, 2))
    assert smooth_fit(displacement, torch.zeros((1, 8, 8)), width=0.3, trust=0.02).abs().max() < 1e-4


def several(strengths: list[float], common: torch.Tensor) -> Warps:
    """Images in poses of their own, with flows of their own and one that all have in common."""
    flow = torch.cat([common + swirl(strength, 32) for strength in strengths])
    n = len(strengths)
    turn, size = torch.linspace(-0.5, 0.5, n), torch.linspace(0.7, 1.2, n)
    shift = torch.complex(torch.linspace(-0.1, 0.1, n), torch.zeros(n))
    return with_flow(rigid(torch.polar(size, turn), shift, torch.zeros(n, dtype=torch.bool), 32), flow)


def bulge(strength: float) -> torch.Tensor:
    """A flow that draws the middle of the atlas larger."""
    u = grid(32, 1.0, CPU)
    return -strength * (u * torch.exp(-4 * (u**2).sum(-1, keepdim=True)))[None]


def test_what_all_flows_have_in_common_goes_into_the_shape_of_the_atlas() -> None:
    warps = several([-0.05, 0.02, 0.03], bulge(0.3))
    owner = torch.zeros(3, dtype=torch.int64)
    found = recentred(warps, torch.ones(3), owner, 1)
    assert float(warps.displacement.mean(0).norm(dim=-1).max()) > 0.06
    assert float(found.displacement.mean(0).norm(dim=-1).max()) < 0.006


def test_recentred_warps_join_the_same_points() -> None:
    warps = several([-0.05, 0.02, 0.03], bulge(0.3))
    found = recentred(warps, torch.tensor([1.0, 0.5, 0.0]), torch.zeros(3, dtype=torch.int64), 1)
    first = to_oriented(warps[:1], grid(9, 0.7, CPU)[None]).expand(3, -1, -1, -1)
    before = to_oriented(warps, to_atlas(warps[:1], first[:1]).expand(3, -1, -1, -1))
    after = to_oriented(found, to_atlas(found[:1], first[:1]).expand(3, -1, -1, -1))
    assert torch.allclose(before, after, atol=3e-3)


def test_every_set_has_a_mean_shape_of_its_own_and_outliers_have_no_say() -> None:
    warps = several([0.04, 0.04, -0.06, -0.06, 0.2], torch.zeros((1, 32, 32, 2)))
    owner, weight = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    found = recentred(warps, weight, owner, 2).displacement
    assert float(found[:4].abs().max()) < 0.005
    assert float(found[4].abs().max()) > 0.2
