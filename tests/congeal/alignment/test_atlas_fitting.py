from __future__ import annotations

import torch

from congeal.alignment.atlas_fitting import evenly_drawn


def test_a_few_good_images_stand_for_all_from_the_best_to_the_worst() -> None:
    order = torch.tensor([5, 3, 1, 0, 2, 4, 7, 6])
    good = torch.tensor([True, True, True, True, False, True, True, True])
    assert evenly_drawn(order, good, 8).tolist() == [5, 3, 1, 0, 2, 7, 6]
    assert evenly_drawn(order, good, 3).tolist() == [3, 0, 7]
    assert evenly_drawn(order, ~good, 3).tolist() == [4]
