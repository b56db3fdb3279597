"""The losses of the published method: by hand, against a slow reference, and what leaves them alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from congeal.errors import CongealError
from congeal.neural import grids, losses
from congeal.neural.config import EVALUATION, LOSSES, PUBLISHED, LossWeights
from congeal.neural.losses import RIDGE, Seen

LEAST = math.sqrt(2) + math.sqrt(2) / (1 + RIDGE)  # of the rigidity


def poses(angle: float = 0.0, scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Tensor:
    return torch.tensor([[scale * math.cos(angle), scale * math.sin(angle), right, down]])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow_rigidity(places: Tensor, weight: Tensor, offset: int) -> float:
    """Cell by cell, in float64, with a general inverse."""
    found, total = 0.0, 0.0
    r = places.shape[1]
    for image in range(len(places)):
        for row in range(r - offset):
            for column in range(r - offset):
                here = places[image, row, column].double()
                right = (places[image, row, column + offset].double() - here) * r / 2 / offset
                down = (places[image, row + offset, column].double() - here) * r / 2 / offset
                jacobian = np.stack([right.numpy(), down.numpy()], 1)
                metric = jacobian.T @ jacobian
                inverse = np.linalg.inv(metric + RIDGE * np.eye(2))
                share = float(weight[image, row, column])
                found += share * float(np.linalg.norm(metric) + np.linalg.norm(inverse))
                total += share
    return found / total


def test_the_published_coefficients_are_those_of_the_paper() -> None:
    c = 4000
    published = LOSSES[PUBLISHED]
    assert published.keys_mse == 0.875 * c
    assert published.keys_cosine == c
    assert published.saliency == 1.25 * c
    assert published.scale == 0.025 * 8 * c
    assert published.magnitude == 0.025 * 80 * c
    assert published.local_rigidity == 0.025 * c
    assert published.global_rigidity == pytest.approx(0.025 * 3.5 * c)
    assert published.centre == 0.75 * c
    assert published.saliency_sparsity * published.l1_share == pytest.approx(0.75 * 0.075 * 2 * c)
    assert published.l1_share == 2 * published.l0_share
    assert published.keys_sparsity == pytest.approx(0.75 * 0.075 * 0.044 * c, rel=0.02)
    assert published.huber == 0.7
    softer = LOSSES[EVALUATION]
    assert (softer.local_rigidity, softer.global_rigidity) == (100 * 0.25, 100 * 0.9)
    assert softer == LossWeights(local_rigidity=25, global_rigidity=90)


def test_a_coefficient_below_nothing_is_refused_by_name() -> None:
    with pytest.raises(CongealError, match="keys_mse is a number from 0 on, not -1"):
        LossWeights(keys_mse=-1)


def test_keys_by_hand() -> None:
    atlas = torch.tensor([3.0, 4.0]).view(2, 1, 1)
    keys = torch.tensor([[4.0, 3.0], [0.0, 0.0]]).view(2, 2, 1, 1)
    mse, cosine = losses.key_distances(atlas, keys)
    assert mse.flatten().tolist() == pytest.approx([1.0, 12.5])
    assert cosine.flatten().tolist() == pytest.approx([1 - 24 / 25, 1.0])


def test_keys_agree_with_what_the_library_computes_channel_by_channel() -> None:
    atlas, keys = drawn(8, 5, 5), drawn(3, 8, 5, 5, seed=1)
    mse, cosine = losses.key_distances(atlas, keys)
    assert torch.allclose(mse, ((atlas - keys) ** 2).mean(1), atol=1e-5)
    wanted = 1 - torch.nn.functional.cosine_similarity(atlas[None].expand_as(keys), keys, dim=1)
    assert torch.allclose(cosine, wanted, atol=1e-5)


def test_the_cosine_does_not_see_how_long_keys_are() -> None:
    atlas, keys = drawn(8, 4, 4), drawn(2, 8, 4, 4, seed=1)
    assert torch.allclose(
        losses.key_distances(atlas, keys)[1], losses.key_distances(3 * atlas, 0.2 * keys)[1], atol=1e-5
    )


def test_only_salient_cells_inside_the_image_count_for_the_keys() -> None:
    weights = LossWeights()
    saliency = torch.tensor([[0.5, 0.25], [0.0, 1.0]])
    seen = Seen(
        torch.tensor([1.0, 2.0, 9.0, 9.0]).view(1, 1, 2, 2),
        torch.zeros(1, 2, 2),
        torch.tensor([[[1.0, 1.0], [1.0, 0.0]]]),
    )
    found = losses.matching_losses(torch.zeros(1, 2, 2), saliency, seen, weights)
    assert float(found["keys_mse"]) == pytest.approx((0.5 * 1 + 0.25 * 4) / 0.75)


def test_no_gradient_of_the_keys_reaches_the_saliency_that_weighs_them() -> None:
    saliency = torch.rand(4, 4).requires_grad_()
    keys = drawn(3, 4, 4).requires_grad_()
    seen = Seen(drawn(2, 3, 4, 4, seed=1), torch.rand(2, 4, 4), torch.ones(2, 4, 4))
    found = losses.matching_losses(keys, saliency, seen, LossWeights())
    (found["keys_mse"] + found["keys_cosine"]).backward()
    assert saliency.grad is None
    assert keys.grad is not None


def test_saliency_is_a_square_up_to_the_threshold_and_then_a_line() -> None:
    seen = Seen(torch.zeros(1, 1, 1, 2), torch.tensor([[[0.5, 1.0]]]), torch.ones(1, 1, 2))
    found = losses.saliency_loss(torch.zeros(1, 2), seen, 0.7)
    assert float(found) == pytest.approx((0.5 * 0.25 + 0.7 * (1 - 0.35)) / 2)


def test_scale_and_magnitude_by_hand() -> None:
    two = torch.cat([poses(scale=0.5, angle=1.0), poses(scale=1.5, right=3)])
    assert float(losses.scale_loss(two)) == pytest.approx(0.25)
    flow = torch.tensor([[[[0.3, 0.4], [1.0, 0.0]]]])
    assert float(losses.magnitude_loss(flow, torch.tensor([[[1.0, 0.0]]]))) == pytest.approx(0.25)


@given(angle=st.floats(-3, 3), right=st.floats(-1, 1), down=st.floats(-1, 1))
@settings(max_examples=15)
def test_turning_and_shifting_costs_nothing(angle: float, right: float, down: float) -> None:
    moved = poses(angle, 1.0, right, down)
    places = grids.composed(moved, torch.zeros(1, 8, 8, 2))
    assert float(losses.scale_loss(moved)) == pytest.approx(0, abs=1e-9)
    for offset in (1, 3):
        assert float(losses.rigidity_loss(places, torch.ones(1, 8, 8), offset)) == pytest.approx(
            LEAST, rel=1e-4
        )


@given(scale=st.floats(0.3, 3))
@settings(max_examples=15)
def test_rigidity_of_a_scale_by_hand_and_least_at_an_isometry(scale: float) -> None:
    places = grids.composed(poses(scale=scale), torch.zeros(1, 8, 8, 2))
    found = float(losses.rigidity_loss(places, torch.ones(1, 8, 8), 1))
    assert found == pytest.approx(math.sqrt(2) * (scale**2 + 1 / (scale**2 + RIDGE)), rel=1e-3)
    assert found > LEAST - 2e-3


def test_rigidity_has_no_gradient_where_nothing_bends() -> None:
    flow = torch.zeros(1, 8, 8, 2, requires_grad=True)
    loss = losses.rigidity_loss(grids.composed(poses(0.4), flow), torch.ones(1, 8, 8), 1)
    (slope,) = torch.autograd.grad(loss, flow)
    assert float(slope.abs().max()) < 1e-3  # what the ridge leaves
    bent = torch.zeros(1, 8, 8, 2)
    bent[0, 3, 3, 0] = 0.1
    bent.requires_grad_()
    (slope,) = torch.autograd.grad(
        losses.rigidity_loss(grids.composed(poses(0.4), bent), torch.ones(1, 8, 8), 1), bent
    )
    assert float(slope[0, 3, 3, 0]) > 1e-2


@pytest.mark.parametrize("offset", [1, 3])
def test_rigidity_agrees_with_the_slow_reference(offset: int) -> None:
    places = grids.composed(poses(0.3, 0.8), 0.05 * drawn(1, 9, 9, 2)).expand(2, -1, -1, -1).clone()
    places[1] += 0.02 * drawn(9, 9, 2, seed=2)
    weight = torch.rand((2, 9, 9), generator=torch.Generator().manual_seed(3))
    found = float(losses.rigidity_loss(places, weight, offset))
    assert found == pytest.approx(slow_rigidity(places, weight, offset), rel=1e-4)


def test_rigidity_of_a_map_that_collapses_is_large_but_a_number() -> None:
    places = torch.zeros(1, 6, 6, 2, requires_grad=True)
    loss = losses.rigidity_loss(places, torch.ones(1, 6, 6), 1)
    (slope,) = torch.autograd.grad(loss, places)
    assert float(loss.detach()) > 1000
    assert bool(torch.isfinite(slope).all())


def test_the_centre_of_a_symmetric_atlas_is_its_middle() -> None:
    everywhere = torch.ones(6, 6)
    assert float(losses.centre_loss(everywhere, everywhere)) == pytest.approx(0, abs=1e-12)
    corner = torch.zeros(2, 2)
    corner[0, 1] = 1  # its cell lies at (0.5, -0.5)
    assert float(losses.centre_loss(corner, torch.ones(2, 2))) == pytest.approx(0.25)


def test_sparsity_by_hand() -> None:
    weights = LossWeights()
    half = torch.full((3, 3), 0.5)
    count = 2 * (1 / (1 + math.exp(-2.5)) - 0.5)
    assert float(losses.saliency_sparsity(half, weights)) == pytest.approx(0.5 + 0.5 * count)
    keys = torch.tensor([[[1.0, -2.0]], [[3.0, 0.0]]])
    saliency = torch.tensor([[0.75, 0.0]])
    assert float(losses.keys_sparsity(keys, saliency)) == pytest.approx((0.25 * 4 + 1 * 2) / 1.25)


def test_every_term_has_a_coefficient_and_the_total_is_their_sum() -> None:
    weights = LossWeights()
    values = {name: torch.tensor(float(at + 1)) for at, name in enumerate(losses.TERMS)}
    wanted = sum(getattr(weights, name) * (at + 1) for at, name in enumerate(losses.TERMS))
    assert float(losses.total(values, weights)) == pytest.approx(wanted)
    flow = torch.zeros(1, 16, 16, 2)
    one = Seen(drawn(1, 4, 16, 16), torch.rand(1, 16, 16), torch.ones(1, 16, 16))
    found = {
        **losses.matching_losses(drawn(4, 16, 16), torch.rand(16, 16), one, weights),
        **losses.mapping_losses(poses(), flow, torch.rand(16, 16), torch.ones(1, 16, 16), weights),
        **losses.atlas_losses(drawn(4, 16, 16), torch.rand(16, 16), torch.ones(16, 16), weights),
    }
    assert set(found) == set(losses.TERMS)
    assert set(losses.mapping_losses(poses(), None, torch.rand(4, 4), torch.ones(1, 4, 4), weights)) == {
        "scale"
    }


def test_where_nothing_counts_a_loss_is_nothing() -> None:
    nowhere = torch.zeros(1, 8, 8)
    places = grids.composed(poses(), torch.zeros(1, 8, 8, 2))
    assert float(losses.rigidity_loss(places, nowhere, 1)) == 0
    assert float(losses.magnitude_loss(torch.ones(1, 8, 8, 2), nowhere)) == 0


def test_the_distance_of_every_image_is_its_own_keys_loss() -> None:
    weights, saliency, atlas = LossWeights(), torch.rand(5, 5), drawn(4, 5, 5)
    seen = Seen(drawn(3, 4, 5, 5, seed=1), torch.rand(3, 5, 5), torch.ones(3, 5, 5))
    found = losses.image_distances(atlas, saliency, seen, weights)
    for row in range(3):
        alone = Seen(*(part[row : row + 1] for part in (seen.keys, seen.saliency, seen.inside)))
        terms = losses.matching_losses(atlas, saliency, alone, weights)
        wanted = losses.total({name: terms[name] for name in ("keys_mse", "keys_cosine")}, weights)
        assert float(found[row]) == pytest.approx(float(wanted), rel=1e-5)
