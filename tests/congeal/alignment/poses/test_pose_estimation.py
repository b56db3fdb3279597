from __future__ import annotations

import pytest
import torch

from congeal.alignment.config.poses import PosesConfig
from congeal.alignment.poses.pairwise_matching import Similarities
from congeal.alignment.poses.pose_estimation import PairEvidence, solve_poses
from congeal.alignment.poses.pose_synchronization import DENSE_UP_TO


def told(n: int, same: torch.Tensor, opposite: torch.Tensor) -> PairEvidence:
    """Evidence of images that all lie on each other; scores float32 [n, n]."""
    first, second = torch.triu_indices(n, n, 1)
    still = torch.ones(len(first), dtype=torch.complex64)
    alike, facing = (Similarities(still, 0 * still, score[first, second]) for score in (same, opposite))
    chance, drawn = torch.zeros(len(first)), torch.zeros(len(first), dtype=torch.bool)
    return PairEvidence(first, second, alike, facing, chance, drawn)


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
    [(poses, _)] = solve_poses(images, odd_one_out(images, ratio), PosesConfig(), 0.0)
    assert bool(poses.mirrored.any()) == mirrored
    if mirrored and images > 2:
        assert poses.mirrored.nonzero().tolist() == [[0]]


@pytest.mark.parametrize(("ratio", "mirrored"), [(0.75, False), (0.7, True)])
def test_things_that_look_the_same_in_a_mirror_stay_as_they_are(ratio: float, mirrored: bool) -> None:
    """All pairs agree, and yet it fits hardly better mirrored: (1 - 0.75) / (1 + 0.75) is under 0.15."""
    [(poses, _)] = solve_poses(8, odd_one_out(8, ratio), PosesConfig(), 0.15)
    assert bool(poses.mirrored.any()) == mirrored


@pytest.mark.parametrize("images", [3, DENSE_UP_TO + 1])
def test_images_whose_pairs_say_nothing_stay_as_they_are(images: int) -> None:
    nothing = torch.zeros((images, images))
    [(poses, margin)] = solve_poses(images, told(images, nothing, nothing), PosesConfig(), 0.0)
    assert not bool(poses.mirrored.any())
    assert torch.allclose(poses.a, torch.ones_like(poses.a), atol=1e-4)
    assert torch.allclose(poses.b, torch.zeros_like(poses.b), atol=1e-4)
    assert float(poses.support.max()) == 0
    assert margin == 0
