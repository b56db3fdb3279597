from __future__ import annotations

import pytest
import torch

from congeal.alignment.config.poses import PosesConfig
from congeal.alignment.poses.pairwise_matching import Similarities
from congeal.alignment.poses.pose_estimation import PairEvidence, solve_poses


def told(n: int, same: torch.Tensor, opposite: torch.Tensor) -> PairEvidence:
    """Evidence of images that all lie on each other; scores float32 [n, n]."""
    first, second = torch.triu_indices(n, n, 1)
    still = torch.ones(len(first), dtype=torch.complex64)
    alike, facing = (Similarities(still, 0 * still, score[first, second]) for score in (same, opposite))
    return PairEvidence(first, second, alike, facing, torch.zeros(len(first)))


def odd_one_out(n: int, ratio: float) -> PairEvidence:
    """The first image fits the others 1 / ratio times better if it is mirrored."""
    sign = torch.ones(n)
    sign[0] = -1
    equal = sign[:, None] * sign[None, :] > 0
    same = torch.where(equal, 10.0, 10.0 * ratio)
    return told(n, same, torch.where(equal, 10.0 * ratio, 10.0))


@pytest.mark.parametrize(
    ("images", "ratio", "mirrored"),
    [(2, 0.7, False), (2, 0.5, True), (3, 0.75, False), (3, 0.65, True), (8, 0.75, True), (8, 0.9, False)],
)
def test_the_fewer_pairs_the_clearer_they_must_say_that_an_image_faces_the_other_way(
    images: int, ratio: float, mirrored: bool
) -> None:
    [(poses, _)] = solve_poses(images, odd_one_out(images, ratio), PosesConfig())
    assert bool(poses.mirrored.any()) == mirrored
    if mirrored and images > 2:
        assert poses.mirrored.nonzero().tolist() == [[0]]
