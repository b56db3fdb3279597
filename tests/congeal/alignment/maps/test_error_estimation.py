from __future__ import annotations

import dataclasses

import pytest
import torch
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment.inputs.image_set import Arrays, prepare, read_inputs
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import Company
from congeal.alignment.maps.error_estimation import (
    Journeys,
    error_of_matching,
    error_of_warps,
    explained,
    travel,
)
from congeal.alignment.poses.pose_estimation import gather_evidence, solve_poses
from congeal.geometry.warps import Warps, rigid


def opened(made: Scene) -> Company:
    given = made.arguments()
    arrays = Arrays(
        given["features"], given["saliency"], given["mirrored_features"], given["mirrored_saliency"]
    )
    return Company.of(prepare(read_inputs(arrays, 1.0, "cpu")))


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def solved() -> tuple[Oriented, Warps, Journeys]:
    images = opened(scene([Thing(0)] * 6, varied_poses(6)))
    evidence = gather_evidence(images.tokens, images.mirrored_tokens, images.members, [0])
    [(poses, _)] = solve_poses(6, evidence[0])
    faced = images.facing(poses.mirrored, torch.ones(6))
    journeys = travel(faced, [0])
    assert journeys is not None
    return faced, rigid(poses.a, poses.b, poses.mirrored, 16), journeys


def test_right_maps_explain_matches_and_wrong_ones_are_told(
    solved: tuple[Oriented, Warps, Journeys],
) -> None:
    _, warps, journeys = solved
    assert error_of_warps(warps, journeys) < 0.05
    shifted = warps.b.clone()
    shifted[::2] += 0.5 * warps.a[::2]
    wrong = dataclasses.replace(warps, b=shifted)
    assert explained(wrong, journeys) < explained(warps, journeys) - 0.2
    # Three pairs in five have one shifted image.
    assert error_of_warps(wrong, journeys) == pytest.approx(0.6, abs=0.15)


def test_noise_makes_matching_err_and_is_not_blamed_on_the_warps(
    solved: tuple[Oriented, Warps, Journeys],
) -> None:
    faced, warps, clean = solved
    shape = faced.features.shape
    noise = torch.randn(shape, generator=seed(1)) * 0.7 / shape[-1] ** 0.5
    features = torch.nn.functional.normalize(faced.features + noise, dim=-1)
    noisy = travel(dataclasses.replace(faced, features=features), [0])
    assert noisy is not None
    assert error_of_matching(warps, noisy) > error_of_matching(warps, clean) + 0.1
    assert error_of_warps(warps, noisy) < error_of_matching(warps, noisy)


def test_two_images_are_followed_there_and_back_and_one_nowhere(
    solved: tuple[Oriented, Warps, Journeys],
) -> None:
    faced, warps, _ = solved
    two = travel(dataclasses.replace(faced, weight=torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])), [0])
    assert two is not None
    assert two.images.tolist() == [[1, 3, 1], [3, 1, 3]]
    assert explained(warps, two) > 0.8
    assert travel(dataclasses.replace(faced, weight=torch.eye(6)[2]), [0]) is None
