"""Scores near places, beside weighted cosines plus the logarithm of a prior."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.match_scores import MatchTable, columns_near_places, near_places, shares
from congeal.geometry.warps import grid

CPU = torch.device("cpu")
FLOOR = 0.05


def scene(seed: int, g: int, padding: bool = False) -> tuple[Tensor, Oriented, torch.Generator]:
    """Unit features of 20 cells, float32 [2, 20, 16], and two images of g x g tokens."""
    random = torch.Generator().manual_seed(seed)
    cells = torch.nn.functional.normalize(torch.randn((2, 20, 16), generator=random), dim=-1)
    tokens = torch.nn.functional.normalize(torch.randn((2, g, g, 16), generator=random), dim=-1)
    valid = torch.ones((2, g, g))
    if padding:
        valid[:, :, 0] = 0
    one = torch.ones(2)
    return cells, Oriented(tokens, valid, valid, 1.0, one, torch.zeros(2, dtype=torch.long), 1), random


def plainly(cosine: Tensor, places: Tensor, tokens: Tensor, width: float, weight: float) -> Tensor:
    """Weighted cosines [n, k, m] plus the log of the prior of tokens [m, 2] at places [n, k, 2]."""
    square = (places[:, :, None] - tokens).square().sum(-1)
    return weight * cosine + torch.log(FLOOR + torch.exp(square / (-2 * width**2)))


@given(st.integers(2, 9), st.integers(0, 1000), st.floats(0.1, 0.6), st.floats(1.0, 30.0))
def test_shares_are_those_of_weighted_cosines_and_log_priors(
    g: int, seed: int, width: float, weight: float
) -> None:
    features, images, random = scene(seed, g)
    table = MatchTable.of(features, images, weight)
    places = 3 * torch.rand((2, 20, 2), generator=random) - 1.5  # off the grid, too
    tokens = grid(g, 1.0, CPU)
    score = near_places(table.score, places, tokens[0, :, 0], width, FLOOR)
    expected = torch.softmax(plainly(table.cosine, places, tokens.view(-1, 2), width, weight), -1)
    every = torch.arange(g * g).expand(2, 20, -1)
    torch.testing.assert_close(shares(score, every, 2), expected, rtol=1e-3, atol=1e-6)


def test_those_of_columns_are_those_of_the_rows_of_the_table_on_its_side() -> None:
    random = torch.Generator().manual_seed(0)
    score = torch.rand((2, 36, 20), generator=random)  # of 6 x 6 cells and 20 places
    places = 2 * torch.rand((2, 20, 2), generator=random) - 1
    axis = grid(6, 1.0, CPU)[0, :, 0]
    columns = columns_near_places(score, places, axis, 0.25, FLOOR)
    rows = near_places(score.transpose(1, 2).contiguous(), places, axis, 0.25, FLOOR)
    torch.testing.assert_close(columns, rows.transpose(1, 2))
    assert columns.is_contiguous()  # else all that goes through it is slow


def test_a_token_on_padding_counts_as_one_that_is_less_alike() -> None:
    features, images, _ = scene(0, 5, padding=True)
    table = MatchTable.of(features, images, 20.0)
    less = torch.log(table.on_image(images)) / 20
    lower = (images.valid.flatten(1) <= 0).float()[:, None]
    torch.testing.assert_close(less, table.cosine - lower, rtol=0, atol=1e-4)
    _, whole, _ = scene(0, 5)
    assert table.on_image(whole) is table.score


def test_another_weight_is_that_of_the_same_cosines() -> None:
    features, images, _ = scene(1, 4)
    table = MatchTable.of(features, images, 20.0)
    assert table.weighted(20.0) is table
    torch.testing.assert_close(table.weighted(5.0).score, torch.exp(5 * table.cosine))
