from __future__ import annotations

import pytest
import torch
from synthetic import GRID, Pose, Thing, scene

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.maps.flow_registration import TemplateFor, cells_by, leave_one_out
from congeal.alignment.maps.map_batches import compute_maps
from congeal.geometry.warps import rigid

SHIFT = 0.3  # frame units by which the second image's thing lies elsewhere than its warp says


def _images(weight: list[float]) -> Oriented:
    """A thing; the same, shifted; and strangers, for weights of 0."""
    things = [Thing(0) if each else Thing(9) for each in weight]
    poses = [Pose(scale=0.6), *[Pose(scale=0.6, shift=(SHIFT, 0.0))] * (len(weight) - 1)]
    made = scene(things, poses, noise=0.05)
    features = torch.nn.functional.normalize(torch.tensor(made.features), dim=-1)
    saliency = torch.tensor(made.saliency).clamp(0, 1)
    owner = torch.zeros(len(weight), dtype=torch.int64)
    return Oriented(features, saliency, torch.ones_like(saliency), 1.0, torch.tensor(weight), owner, 1)


@pytest.mark.parametrize("weight", [[1.0, 1.0], [1.0, 1.0, 0.0]])
def test_of_two_images_matched_cell_by_cell_one_goes_to_the_other(weight: list[float]) -> None:
    """Each matched with where the other has just been, they would change places and stay as far apart."""
    images = _images(weight)
    n = len(images)
    warps = rigid(
        torch.ones(n, dtype=torch.complex64), torch.zeros(n, dtype=torch.complex64), torch.zeros(n) > 0, GRID
    )

    def placed(rows: torch.Tensor, places: torch.Tensor) -> TemplateFor:
        return leave_one_out(images[rows], places)

    config, everyone = SolverConfig(), torch.ones(n, dtype=torch.bool)
    template_for = leave_one_out(images, cells_by(warps))
    maps, _ = compute_maps(template_for, images, warps, everyone, GRID, GRID, config, placed)
    thing = images.saliency[0] > 0.9
    apart = (maps.forward[1] - maps.forward[0])[thing][:, 0]
    assert 0.8 * SHIFT < float(apart.median()) < 1.1 * SHIFT
    back = (maps.backward[1] - maps.backward[0])[thing & (images.saliency[1] > 0.9)][:, 0]
    assert 0.8 * SHIFT < -float(back.median()) < 1.1 * SHIFT
    torch.testing.assert_close(maps.forward[0], cells_by(warps)[0], atol=1e-5, rtol=0)
