"""What bears the places of a map out, and the confidence made of it, on tokens unlike all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.alignment.config.maps import ConfidenceConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import probability, shifted
from congeal.alignment.maps.flow_registration import Template, fixed_template
from congeal.alignment.maps.match_support import FIELD
from congeal.alignment.maps.point_evidence import (
    PointEvidence,
    cells_of_evidence,
    level_of,
    levels,
    point_evidence,
    usual_level,
)
from congeal.alignment.model import Atlas, Exemplars
from congeal.geometry.segments import Membership
from congeal.geometry.warps import grid, rigid

CPU = torch.device("cpu")
CONFIG = ConfidenceConfig()
TOKENS = torch.nn.functional.normalize(
    torch.randn((FIELD, FIELD, 48), generator=torch.Generator().manual_seed(0)), dim=-1
)
ONES = torch.ones((1, FIELD, FIELD))


def evidence(forward: torch.Tensor, support: float = 0.4) -> PointEvidence:
    """Of one image that shows the atlas as it is; forward: [1, 32, 32, 2]."""
    image = Oriented(TOKENS[None], ONES, ONES, 1.0, torch.ones(1), torch.zeros(1, dtype=torch.long), 1)
    one = torch.ones(1, dtype=torch.complex64)
    warps = rigid(one, 0 * one, torch.zeros(1, dtype=torch.bool), FIELD)
    atlas = fixed_template(Template(TOKENS[None], ONES))
    places = cells_of_evidence(forward)
    return point_evidence(atlas, image, warps, places, torch.full_like(ONES, support), CONFIG)


def test_where_a_map_is_wrong_its_match_is_neither_near_nor_in_one_place() -> None:
    forward = grid(FIELD, 1.0, CPU)[None].clone()
    forward[:, :, FIELD // 2 :, 0] -= 0.5
    terms = evidence(forward).terms
    left, changed = slice(2, FIELD // 2 - 6), slice(FIELD // 2 + 2, FIELD - 2)
    right, wrong = (terms[:, 2:-2, columns].mean((0, 1, 2)) for columns in (left, changed))
    assert bool((right[:2] > wrong[:2] + 0.5).all())
    assert right[2] == pytest.approx(wrong[2])


def test_the_usual_place_of_a_set_has_the_usual_odds() -> None:
    found = evidence(grid(FIELD, 1.0, CPU)[None])
    usual = found.usual(Membership.of([1], CPU), torch.ones(1))
    smooth, by_cell = levels(usual.repeat(2, 1), [False, True], CONFIG)
    assert usual_level(CONFIG) - usual_level(CONFIG, by_cell=True) == pytest.approx(smooth - by_cell)
    for level, odds in ((smooth, CONFIG.level), (by_cell, CONFIG.level_by_cell)):
        sure = probability(torch.ones(1), usual, torch.tensor([level]), CONFIG)
        assert float(sure) == pytest.approx(1 / (1 + np.exp(-odds)) ** 2, abs=1e-4)


@pytest.mark.parametrize("deformation", ["rigid", "flow", "guided"])
def test_an_atlas_of_an_earlier_version_is_no_surer_than_its_kind_of_maps_and_matching_allow(
    deformation: str,
) -> None:
    empty = np.zeros((0,), np.float32)
    members = Exemplars(np.zeros((9, 1, 1), np.float16), np.zeros((9, 1, 2)), np.ones((9, 1), np.float32))
    old = Atlas(np.zeros((0,), np.float16), *[empty] * 4, members, deformation=deformation)
    usual = usual_level(CONFIG, by_cell=deformation == "guided")
    assert level_of(old, CONFIG) == usual
    assert level_of(replace(old, match_agreement=0.4), CONFIG) < usual - 1
    assert level_of(replace(old, confidence_level=0.5, match_agreement=0.4), CONFIG) == 0.5


def test_images_without_weight_have_no_say_in_what_is_usual() -> None:
    terms = torch.stack([torch.zeros((FIELD, FIELD, 3)), torch.ones((FIELD, FIELD, 3))])
    found = PointEvidence(terms, torch.ones((2, FIELD, FIELD)))
    assert found.usual(Membership.of([2], CPU), torch.tensor([1.0, 0.0])).abs().max() == 0


def test_where_the_object_does_not_show_nothing_is_sure() -> None:
    assert float(probability(torch.zeros(1), torch.full((1, 3), 9.0), torch.tensor([9.0]), CONFIG)) == 0


@given(
    terms=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    which=st.integers(0, 2),
    more=st.floats(0, 3),
    likeness=st.floats(0, 1),
)
def test_more_evidence_of_any_kind_never_lowers_confidence(
    terms: list[float], which: int, more: float, likeness: float
) -> None:
    before = torch.tensor([terms])
    after = before.clone()
    after[0, which] += more
    level, shows = torch.tensor([usual_level(CONFIG)]), torch.tensor([likeness])
    low, high = (float(probability(shows, some, level, CONFIG)) for some in (before, after))
    assert 0 <= low <= high + 1e-6 <= 1 + 1e-6


@given(odds=st.floats(-6, 6), by=st.floats(-4, 4))
def test_a_level_that_is_raised_afterwards_is_as_if_it_had_been_so(odds: float, by: float) -> None:
    terms, shows = torch.zeros((1, 3)), torch.ones(1)
    before, asked = (
        probability(shows, terms, torch.tensor([level]), CONFIG).numpy() for level in (odds, odds + by)
    )
    np.testing.assert_allclose(shifted(before, by), asked, atol=1e-4)
    assert shifted(np.array([0.0, 1.0], np.float32), by).tolist() == [0, 1]
