from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.geometry.sampling import evenly


@given(count=st.integers(0, 3000), most=st.integers(1, 60))
def test_places_are_evenly_spaced_and_symmetric(count: int, most: int) -> None:
    places = evenly(count, most)
    assert len(places) == min(count, most)
    if count <= most:
        assert places.tolist() == list(range(count))
        return
    steps = places.diff()
    assert 0 <= int(places[0]) <= int(places[-1]) < count
    assert int(steps.min()) >= 1 if most > 1 else True
    assert int(steps.max() - steps.min()) <= 1 if most > 1 else True
    # As far from the first place to the start as from the last one to the end.
    assert abs(int(places[0]) - (count - 1 - int(places[-1]))) <= 1


def test_one_of_many_is_the_one_in_the_middle() -> None:
    assert evenly(9, 1).tolist() == [4]
    assert torch.equal(evenly(12, 3), torch.tensor([2, 6, 10]))
