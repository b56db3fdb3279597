from __future__ import annotations

import math

import torch
from synthetic import GRID, Pose, Thing, scene

from congeal.dense import guided, resampled, warped
from congeal.mapping import needed_advantage
from congeal.registration import Oriented, Template
from congeal.warps import Warps, grid, rigid

SHIFT = 0.5  # frame units by which the second image's thing lies elsewhere than its warp says


def _pair(shift: float) -> tuple[Template, Oriented, Warps]:
    """An atlas that is a thing before a background, and one image of it, off by a shift; both poses unity."""
    made = scene([Thing(0)] * 2, [Pose(scale=0.6), Pose(scale=0.6, shift=(shift, 0.0))], noise=0.05)
    features = torch.nn.functional.normalize(torch.tensor(made.features), dim=-1)
    saliency = torch.tensor(made.saliency).clamp(0, 1)
    template = Template(features[:1], saliency[:1])
    owner = torch.zeros(1, dtype=torch.int64)
    image = Oriented(features[1:], saliency[1:], torch.ones_like(saliency[1:]), 1.0, torch.ones(1), owner, 1)
    one, still = torch.ones(1, dtype=torch.complex64), torch.zeros(1, dtype=torch.bool)
    return template, image, rigid(one, torch.zeros_like(one), still, GRID)


def _moved(advantage: float, shift: float) -> float:
    """How far the thing's cells go from where the warp puts them, in the direction of the shift."""
    template, image, warps = _pair(shift)
    found = guided(template, image, warps, advantage)
    cells = grid(GRID, 1.0, torch.device("cpu"))
    thing = template.saliency[0] > 0.9
    return float((found.forward[0] - cells)[thing][:, 0].median())


def test_a_match_that_is_much_more_alike_takes_the_place_of_the_warp() -> None:
    assert 0.8 * SHIFT < _moved(0.3, SHIFT) < 1.1 * SHIFT
    assert 0.8 * SHIFT < _moved(0.06, SHIFT) < 1.1 * SHIFT


def test_without_enough_advantage_the_warp_stays() -> None:
    assert _moved(2.0, SHIFT) == 0.0  # no cosine is larger by so much
    assert abs(_moved(0.3, 0.0)) < 0.01


def test_at_other_resolutions_matched_maps_are_exact_where_they_follow_the_warps() -> None:
    template, image, warps = _pair(SHIFT)
    a = torch.full((1,), 0.8, dtype=torch.complex64) * torch.exp(torch.tensor(0.2j))
    warps = rigid(a, torch.tensor([0.1 + 0.05j]), warps.mirrored, GRID)
    found = resampled(guided(template, image, warps, 2.0), warps, 1.0, 64, 50)
    smooth = warped(warps, 64, 50)
    torch.testing.assert_close(found.forward, smooth.forward, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.backward, smooth.backward, atol=1e-5, rtol=0)


def test_outliers_and_smooth_sets_have_no_leaps() -> None:
    owner = torch.tensor([0, 0, 1, 1, 2, 3])
    good = torch.tensor([True, False, True, False, True, True])
    needed = needed_advantage(["leaps", "guided", "rigid", "flow"], good, owner).tolist()
    assert needed[0] < 1 < needed[1]
    assert needed[2] == needed[3] < needed[0]
    assert needed[4:] == [math.inf, math.inf]
