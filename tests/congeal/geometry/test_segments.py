from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.geometry.segments import Membership, sums

SIZES = st.lists(st.integers(0, 6), min_size=1, max_size=6)


@given(sizes=SIZES)
def test_sums_are_those_of_each_set_and_a_bad_set_spoils_its_own_alone(sizes: list[int]) -> None:
    members = Membership.of(sizes, "cpu")
    values = torch.rand(sum(sizes), 3, generator=torch.Generator().manual_seed(0))
    values[members.owner == 1] = torch.nan
    found = sums(values, members.owner, len(sizes))
    for number, rows in enumerate(members.slices):
        assert torch.allclose(found[number], values[rows].sum(0), equal_nan=True)
