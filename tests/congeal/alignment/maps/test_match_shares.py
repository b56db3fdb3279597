"""Shares and spreads of matches, by separable priors, beside the same from tables of distances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.alignment.maps.match_shares import likelihood, near_share, offsets, share_and_spread
from congeal.geometry.warps import grid

CPU = torch.device("cpu")
NEAR, WIDE = 0.1, 0.2


@given(st.integers(2, 12), st.integers(0, 1000), st.floats(0.3, 2.0), st.floats(1.0, 20.0))
def test_they_are_those_of_tables_of_distances(g: int, seed: int, scale: float, sharp: float) -> None:
    random = torch.Generator().manual_seed(seed)
    tokens = grid(g, 1.0, CPU)
    places = 3 * torch.rand((30, 2), generator=random) - 1.5  # off the grid, too
    score = sharp * (2 * torch.rand((30, g * g), generator=random) - 1)  # as cosines over a temperature
    square = (torch.cdist(places, tokens.view(-1, 2)) / scale) ** 2
    near = (torch.softmax(score, -1) * torch.exp(square / (-2 * NEAR**2))).sum(-1)
    around = torch.softmax(score - square / (2 * WIDE**2), -1)
    spread = (around * square).sum(-1).sqrt()
    x, y = offsets(places, tokens[0, :, 0], scale)
    likely = likelihood(score.clone(), g)
    torch.testing.assert_close(near_share(likely, x, y, NEAR), near, rtol=1e-4, atol=1e-5)
    found = share_and_spread(likely, x, y, NEAR, WIDE)
    torch.testing.assert_close(found[0], near, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], spread, rtol=1e-3, atol=1e-4)


def test_far_from_all_tokens_the_spread_is_the_distance_to_the_nearest() -> None:
    x, y = offsets(torch.tensor([[9.0, 0.0]]), grid(8, 1.0, CPU)[0, :, 0], 1.0)
    share, spread = share_and_spread(likelihood(torch.zeros((1, 64)), 8), x, y, NEAR, WIDE)
    assert float(share) == 0
    assert float(spread) == pytest.approx(9 - 7 / 8, rel=0.02)
