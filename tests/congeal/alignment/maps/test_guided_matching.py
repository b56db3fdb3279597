from __future__ import annotations

from dataclasses import replace

import torch
from synthetic import GRID, Pose, Thing, scene

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import Figures, where_it_folds
from congeal.alignment.maps.flow_registration import Template, fixed_template
from congeal.alignment.maps.guided_matching import DenseMaps, Expected, averaged, guided, resampled, warped
from congeal.alignment.maps.map_batches import Placed, compute_maps
from congeal.geometry.complex_math import length
from congeal.geometry.warps import Warps, grid, rigid

CONFIG = SolverConfig()
DISTANCE = CONFIG.guided.neighbour_distance
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


def _moved(shift: float, config: SolverConfig = CONFIG) -> float:
    """How far the thing's cells go from where the warp puts them, in the direction of the shift."""
    template, image, warps = _pair(shift)
    found = guided(template, image, Expected.by(warps, image), length(warps.a), config)
    cells = grid(GRID, 1.0, torch.device("cpu"))
    thing = template.saliency[0] > 0.9
    return float((found.forward[0] - cells)[thing][:, 0].median())


def test_a_match_that_is_much_more_alike_takes_the_place_of_the_warp() -> None:
    assert 0.8 * SHIFT < _moved(SHIFT) < 1.1 * SHIFT


def test_an_atlas_that_stays_gives_the_maps_of_one_that_comes_out_the_same_each_round() -> None:
    template, image, warps = _pair(SHIFT)
    same = fixed_template(template)
    every = torch.ones(1, dtype=torch.bool)

    def made(placed: Placed | None) -> tuple[DenseMaps, Figures]:
        return compute_maps(same, image, warps, every, GRID, GRID, CONFIG, placed)

    (fixed, judged), (rebuilt, again) = made(None), made(lambda *_: same)
    for one, other in ((fixed.forward, rebuilt.forward), (fixed.backward, rebuilt.backward)):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    torch.testing.assert_close(judged.likeness, again.likeness, atol=1e-6, rtol=0)


def test_without_enough_advantage_the_warp_stays() -> None:
    assert abs(_moved(0.0)) < 0.01
    # No cosine is larger by so much.
    assert _moved(SHIFT, CONFIG.replace({"guided.advantage": 2})) == 0.0


def test_nothing_is_matched_with_what_does_not_show_the_thing() -> None:
    template, image, warps = _pair(SHIFT)
    dark = replace(image, saliency=torch.zeros_like(image.saliency))
    found, still = (
        guided(template, dark, Expected.by(warps, dark), length(warps.a), CONFIG),
        warped(warps, GRID, GRID),
    )
    torch.testing.assert_close(found.forward, still.forward)
    torch.testing.assert_close(found.backward, still.backward)


def _averaged(offset: torch.Tensor) -> torch.Tensor:
    distance = torch.full((len(offset),), DISTANCE)
    return averaged(offset, torch.ones_like(offset[..., 0]), distance, CONFIG.guided)


def test_neighbours_that_agree_undo_the_snapping_of_matches_to_tokens() -> None:
    cells = grid(GRID, 1.0, torch.device("cpu"))[None]
    token = 4.5 / GRID  # more than two cells snap to each
    snapped = (cells / token).round() * token
    assert float(where_it_folds(snapped).float().mean()) > 0.3
    inner = (slice(None), slice(3, -3), slice(3, -3))
    smooth = cells + _averaged(snapped - cells)
    assert not bool(where_it_folds(smooth)[inner].any())
    assert float((smooth - cells)[inner].abs().max()) < 0.5 * float((snapped - cells)[inner].abs().max())


def test_a_seam_between_parts_that_move_by_themselves_stays() -> None:
    offset = torch.zeros((1, GRID, GRID, 2))
    offset[:, :, GRID // 2 :, 0] = 6 * DISTANCE
    assert float((_averaged(offset) - offset).abs().max()) < 0.05 * DISTANCE


def test_at_other_resolutions_matched_maps_are_exact_where_they_follow_the_warps() -> None:
    _, image, warps = _pair(SHIFT)
    a = torch.full((1,), 0.8, dtype=torch.complex64) * torch.exp(torch.tensor(0.2j))
    warps = rigid(a, torch.tensor([0.1 + 0.05j]), warps.mirrored, GRID)
    smooth = warped(warps, 64, 50)
    matched = warped(warps, GRID, image.saliency.shape[1])
    found = resampled(matched, Expected.by(warps, image), 1.0, smooth)
    torch.testing.assert_close(found.forward, smooth.forward, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.backward, smooth.backward, atol=1e-5, rtol=0)
