from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from placed_maps import placed

from congeal.geometry.frames import Frame
from congeal.transfer.individual_choice import (
    Individual,
    Look,
    assigned,
    compared_cells,
    likeness,
    look_of,
    rivals,
)


def test_a_look_is_what_the_map_leads_to() -> None:
    shown = np.zeros((64, 64, 3), np.uint8)
    shown[:, :32], shown[:, 32:] = (255, 0, 0), (0, 0, 255)
    cells = np.ones((16, 16), bool)
    left, right, same = (
        look_of(shown, placed(Frame(80, 60), 0.3, (x, 0.0), turn), cells)
        for x, turn in ((-0.6, 0.0), (0.6, 0.0), (-0.5, 0.2))
    )
    assert likeness(left, same) > 0.99
    assert likeness(left, right) < 0.34
    beyond = look_of(shown, placed(Frame(80, 60), 0.3, (3.0, 0.0)), cells)
    assert beyond.weight.max() == 0
    assert likeness(left, beyond) == 0
    # What nobody is sure to see says little.
    unsure = replace(right, weight=np.where(np.arange(256) < 128, 1.0, 1e-6))
    assert likeness(unsure, right) > 0.99


@given(st.integers(1, 40), st.floats(0.0, 1.0))
def test_looks_are_compared_on_what_the_atlas_shows(side: int, least: float) -> None:
    saliency = np.random.default_rng(side).random((side, side)) * least
    cells = compared_cells(saliency)
    assert cells.shape == saliency.shape
    assert 1 <= cells.sum() <= 256
    if (saliency >= 0.5).any():
        assert saliency[cells].min() >= 0.5


@given(st.permutations(range(5)), st.integers(1, 5), st.integers(1, 5))
def test_each_is_found_where_all_look_different(order: list[int], people: int, things: int) -> None:
    alike = np.eye(5)[order][:people, :things]
    for apart in (True, False):
        found = assigned(alike, apart)
        for who, where in zip(order, found, strict=False):
            if who < things:
                assert where == who
        taken = [one for one in found if one is not None]
        assert not apart or len(set(taken)) == len(taken) == min(people, things)


def test_who_is_left_without_an_instance_is_not_there() -> None:
    assert assigned(np.array([[0.9], [0.95]]), apart=True) == [None, 0]
    assert assigned(np.array([[0.9], [0.95]]), apart=False) == [0, 0]
    assert assigned(np.zeros((2, 0)), apart=True) == [None, None]


def test_rivals_are_those_who_were_seen_apart() -> None:
    one, other = Individual(0, {"a": 0, "b": 0}), Individual(1, {"a": 0, "c": 1})
    assert not rivals([one, other])
    assert rivals([one, other, Individual(2, {"b": 1})])
    look = Look(np.ones((1, 3)), np.ones(1))
    assert likeness(look, look) == 1
