from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.geometry.interpolation import interpolated, weighted_rows


def by_grid_sample(field: torch.Tensor, at: torch.Tensor, extent: float) -> torch.Tensor:
    """The same by torch's own function, channel by channel."""
    places = (at / extent).reshape(len(at), 1, -1, 2)
    planes = field.permute(0, 3, 1, 2)
    found = torch.nn.functional.grid_sample(planes, places, align_corners=False, padding_mode="border")
    return found[:, :, 0].transpose(1, 2).reshape(*at.shape[:-1], field.shape[-1])


@given(
    seed=st.integers(0, 2**31 - 1),
    n=st.integers(1, 3),
    side=st.integers(2, 9),
    channels=st.integers(1, 30),
    extent=st.floats(0.3, 1.5),
)
def test_values_are_those_of_grid_sample_within_and_beyond_the_border(
    seed: int, n: int, side: int, channels: int, extent: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    field = torch.randn((n, side, side, channels), generator=generator)
    at = torch.randn((n, 4, 5, 2), generator=generator) * extent
    torch.testing.assert_close(
        interpolated(field, at, extent), by_grid_sample(field, at, extent), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("place", [float("nan"), float("inf"), float("-inf"), 1e30])
def test_places_that_are_no_numbers_or_far_off_are_looked_up_within_the_field(place: float) -> None:
    field = torch.arange(9.0).view(1, 3, 3, 1)
    found = float(interpolated(field, torch.tensor([[[place, 0.0]]])))
    assert 3.0 <= found <= 5.0


def test_rows_are_weighted_and_added_up_and_no_bags_give_no_rows() -> None:
    table = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    found = weighted_rows(table, torch.tensor([[0, 1, 1]]), torch.tensor([[1.0, 0.5, 0.25]]))
    assert found.tolist() == [[2.5, 25.0]]
    nothing = weighted_rows(table, torch.zeros((0, 3), dtype=torch.int64), torch.zeros((0, 3)))
    assert nothing.shape == (0, 2)
