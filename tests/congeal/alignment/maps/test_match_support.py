"""What single members say of a smooth map, on images whose every token is unlike all others."""

from __future__ import annotations

import numpy as np
import torch

from congeal.alignment.config.maps import MatchSupportConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.match_support import FIELD, match_support
from congeal.alignment.model import Exemplars
from congeal.geometry.segments import Membership
from congeal.geometry.warps import Warps, grid, rigid

CELLS = 12
CPU = torch.device("cpu")
CONFIG = MatchSupportConfig()
TOKENS = torch.nn.functional.normalize(
    torch.randn((CELLS, CELLS, 48), generator=torch.Generator().manual_seed(0)), dim=-1
)


def images(count: int) -> Oriented:
    """All show the same at the same place."""
    ones = torch.ones((count, CELLS, CELLS))
    owner = torch.zeros(count, dtype=torch.long)
    return Oriented(TOKENS.expand(count, -1, -1, -1), ones, ones, 1.0, torch.ones(count), owner, 1)


def exemplars(count: int) -> Exemplars:
    features = TOKENS.reshape(1, -1, TOKENS.shape[-1]).repeat(count, 1, 1).half().numpy()
    places = grid(CELLS, 1.0, CPU).reshape(1, -1, 2).repeat(count, 1, 1).numpy()
    return Exemplars(features, places, np.ones(places.shape[:2], np.float32))


def still(count: int) -> Warps:
    one = torch.ones(count, dtype=torch.complex64)
    return rigid(one, 0 * one, torch.zeros(count, dtype=torch.bool), CELLS)


def support(forward: torch.Tensor, kept: list[int] | None = None, few: int = 2) -> torch.Tensor:
    count = len(forward)
    own = None if kept is None else [torch.tensor(kept)]
    members = Membership.of([count], CPU)
    return match_support([exemplars(few)], own, [True], members, images(count), still(count), forward, CONFIG)


def identity(count: int) -> torch.Tensor:
    return grid(CELLS, 1.0, CPU).expand(count, -1, -1, -1).clone()


def test_a_right_map_is_borne_out_everywhere_and_a_wrong_part_of_it_is_not() -> None:
    right = identity(1)
    wrong = identity(1)
    wrong[:, :, CELLS // 2 :, 0] -= 0.8
    good, bad = support(right)[0], support(wrong)[0]
    assert good.shape == (FIELD, FIELD)
    assert good.min() > 0.5
    left, changed = slice(0, FIELD // 2 - 4), slice(FIELD // 2 + 4, None)
    assert bad[:, left].mean() > 0.9 * good[:, left].mean()
    assert bad[:, changed].mean() < 0.3 * good[:, changed].mean()


def test_no_image_is_matched_with_itself() -> None:
    """Two of three are exemplars: the first has the second alone to be matched with."""
    by_both, by_second = support(identity(3), [0, 1])[2], support(identity(3), [0, 1])[0]
    assert torch.allclose(by_both, by_second, atol=1e-5)  # they are alike
    assert bool((support(identity(1), [0], few=1) == 1).all())  # nobody else: nothing is said


def test_it_is_computed_for_the_sets_that_it_is_asked_for() -> None:
    members = Membership.of([1, 1], CPU)
    owner = torch.tensor([0, 1])
    shown = Oriented(**{**vars(images(2)), "owner": owner, "sets": 2})
    both = [exemplars(2), exemplars(2)]
    found = match_support(both, None, [False, True], members, shown, still(2), identity(2), CONFIG)
    assert bool((found[0] == 1).all())
    assert torch.equal(found[1], support(identity(1))[0])


def test_an_image_has_the_same_support_in_any_company() -> None:
    alone = support(identity(1))
    assert torch.equal(support(identity(3))[1], alone[0])


def test_a_smaller_object_is_held_to_smaller_distances() -> None:
    moved = identity(1)
    moved[..., 0] += 0.1
    size = still(1)
    small = Warps(**{**vars(size), "a": 0.4 * size.a})
    members = Membership.of([1], CPU)
    large = match_support([exemplars(1)], None, [True], members, images(1), size, moved, CONFIG)
    assert (
        match_support([exemplars(1)], None, [True], members, images(1), small, moved, CONFIG).mean()
        < large.mean()
    )
