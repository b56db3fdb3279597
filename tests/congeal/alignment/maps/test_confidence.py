from __future__ import annotations

import pytest
import torch

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.confidence import backward_likeness, lower_where_it_folds, measure
from congeal.alignment.maps.flow_registration import Template
from congeal.alignment.maps.guided_matching import DenseMaps
from congeal.geometry.warps import grid, rigid

CONFIG = SolverConfig()
CELLS = 16
ROW = 7


def thing(left: int, right: int) -> tuple[Template, Oriented]:
    """One image and an atlas that show the same, all of it different; salient in one row of cells."""
    features = torch.nn.functional.normalize(
        torch.randn((1, CELLS, CELLS, 64), generator=torch.Generator().manual_seed(0)), dim=-1
    )
    saliency = torch.zeros((1, CELLS, CELLS))
    saliency[:, ROW, left:right] = 1.0
    valid, one = torch.ones_like(saliency), torch.ones(1)
    image = Oriented(features, saliency, valid, 1.0, one, torch.zeros(1, dtype=torch.long), 1)
    return Template(features, saliency), image


def still() -> torch.Tensor:
    return torch.ones(1, dtype=torch.complex64)


def test_edges_of_a_thing_are_as_sure_as_its_middle_and_the_background_is_not() -> None:
    template, image = thing(4, 12)
    warps = rigid(still(), 0 * still(), torch.zeros(1, dtype=torch.bool), CELLS)
    likeness = measure(template, image, warps, CONFIG).likeness[0, ROW]
    assert likeness[3] > 0.6 * likeness[8] > 0.3
    assert likeness[0] == 0


def test_matching_is_asked_to_agree_with_the_match_not_with_its_average() -> None:
    template, image = thing(4, 12)
    warps = rigid(still(), 0 * still(), torch.zeros(1, dtype=torch.bool), CELLS)
    cells = grid(CELLS, 1.0, torch.device("cpu"))[None]
    beside = cells + torch.tensor([0.04, 0.0])
    by_itself = measure(template, image, warps, CONFIG, beside).likeness[0, ROW, 8]
    assert measure(template, image, warps, CONFIG, beside, cells).likeness[0, ROW, 8] > 1.02 * by_itself


def test_where_a_map_folds_confidence_is_never_high_and_elsewhere_it_stays() -> None:
    places = grid(CELLS, 1.0, torch.device("cpu"))[None].clone()
    places[:, :, 8:, 0] = places[:, :, 8:, 0].flip(2)  # the right half runs backwards
    sure = torch.full((1, CELLS, CELLS), 0.9)
    found = lower_where_it_folds(sure, places, CONFIG.confidence.fold_factor)
    assert bool((found[..., :6] == 0.9).all())
    assert bool((found[..., 10:] < 0.5).all())


@pytest.mark.parametrize(("cells", "known"), [(0.0, True), (0.9, True), (1.5, False)])
def test_what_lies_a_cell_beyond_the_atlas_is_known_too(cells: float, known: bool) -> None:
    there = grid(CELLS, 1.0, torch.device("cpu"))[None]
    saliency = torch.ones((1, CELLS, CELLS))
    moved = there.clone()
    moved[..., 0] += cells * 2 / CELLS + (1 - there[..., 0].max())
    back = there.clone()
    back[..., 0] -= cells * 2 / CELLS + (1 - there[..., 0].max())
    found = backward_likeness(DenseMaps(back, moved), saliency, saliency, 1.0, CONFIG.confidence)
    assert bool(found[0, ROW, -1] > 0.1) == known
