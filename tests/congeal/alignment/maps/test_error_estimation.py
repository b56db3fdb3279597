from __future__ import annotations

import dataclasses

import pytest
import torch
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays, prepare, read_tensors
from congeal.alignment.inputs.oriented import Oriented
from congeal.alignment.inputs.set_batch import SetBatch
from congeal.alignment.maps.error_estimation import (
    Cycles,
    agreement,
    error_of_matching,
    match_cycles,
    share_explained,
)
from congeal.alignment.poses.pose_estimation import gather_evidence, match_pairs, solve_poses
from congeal.geometry.warps import Warps, rigid

CONFIG = SolverConfig()
ERRORS = CONFIG.errors


def opened(made: Scene) -> SetBatch:
    given = made.arguments()
    arrays = ImageArrays(
        given["features"], given["saliency"], given["mirrored_features"], given["mirrored_saliency"]
    )
    read = read_tensors(arrays, 1.0, "cpu")
    return SetBatch.of([prepare(read, CONFIG.features, CONFIG.cosaliency)], CONFIG.tokens)


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def error_of_warps(warps: Warps, cycles: Cycles) -> torch.Tensor:
    return agreement(warps, cycles, ERRORS).error(error_of_matching(warps, cycles, ERRORS))


@pytest.fixture(scope="module")
def solved() -> tuple[Oriented, Warps, Cycles]:
    images = opened(scene([Thing(0)] * 6, varied_poses(6)))
    matches = match_pairs(images.tokens, images.mirrored_tokens, images.members, [0], CONFIG.matching)
    evidence = gather_evidence(matches, images.members, [0], CONFIG.matching)
    [(poses, _)] = solve_poses(6, evidence[0], CONFIG.poses, CONFIG.deformation.symmetric_margin)
    faced = images.oriented(poses.mirrored, torch.ones(6))
    cycles = match_cycles(faced, [0], ERRORS)
    assert cycles is not None
    return faced, rigid(poses.a, poses.b, poses.mirrored, 16), cycles


def test_right_maps_explain_matches_and_wrong_ones_are_told(
    solved: tuple[Oriented, Warps, Cycles],
) -> None:
    _, warps, cycles = solved
    assert error_of_warps(warps, cycles) < 0.05
    shifted = warps.b.clone()
    shifted[::2] += 0.5 * warps.a[::2]
    wrong = dataclasses.replace(warps, b=shifted)
    assert share_explained(wrong, cycles, ERRORS) < share_explained(warps, cycles, ERRORS) - 0.2
    # Three pairs in five have one shifted image.
    assert error_of_warps(wrong, cycles) == pytest.approx(0.6, abs=0.15)


def test_noise_makes_matching_err_and_is_not_blamed_on_the_warps(
    solved: tuple[Oriented, Warps, Cycles],
) -> None:
    faced, warps, clean = solved
    shape = faced.features.shape
    noise = torch.randn(shape, generator=seed(1)) * 0.7 / shape[-1] ** 0.5
    features = torch.nn.functional.normalize(faced.features + noise, dim=-1)
    noisy = match_cycles(dataclasses.replace(faced, features=features), [0], ERRORS)
    assert noisy is not None
    assert error_of_matching(warps, noisy, ERRORS) > error_of_matching(warps, clean, ERRORS) + 0.1
    assert error_of_warps(warps, noisy) < error_of_matching(warps, noisy, ERRORS)


def test_a_sample_of_the_tokens_tells_what_all_of_them_tell(
    solved: tuple[Oriented, Warps, Cycles],
) -> None:
    faced, warps, _ = solved
    shifted = warps.b.clone()
    shifted[::2] += 0.3 * warps.a[::2]
    wrong = dataclasses.replace(warps, b=shifted)
    found = []
    for matches in (120 * 50, 10**9):
        config = dataclasses.replace(ERRORS, matches=matches)
        cycles = match_cycles(faced, [0], config)
        assert cycles is not None
        found.append([float(share_explained(each, cycles, config)) for each in (warps, wrong)])
        assert cycles.weight.shape[1] == min(matches // 120, ERRORS.tokens)
    assert found[0] == pytest.approx(found[1], abs=0.03)


def test_of_few_images_every_triple_is_followed_once(solved: tuple[Oriented, Warps, Cycles]) -> None:
    faced, _, _ = solved
    four = match_cycles(
        dataclasses.replace(faced, weight=torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])), [0], ERRORS
    )
    assert four is not None
    assert len(four.images) == len({tuple(row) for row in four.images.tolist()}) == 24


def test_two_images_are_followed_there_and_back_and_one_nowhere(
    solved: tuple[Oriented, Warps, Cycles],
) -> None:
    faced, warps, _ = solved
    two = match_cycles(
        dataclasses.replace(faced, weight=torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])), [0], ERRORS
    )
    assert two is not None
    assert two.images.tolist() == [[1, 3, 1], [3, 1, 3]]
    assert share_explained(warps, two, ERRORS) > 0.8
    assert match_cycles(dataclasses.replace(faced, weight=torch.eye(6)[2]), [0], ERRORS) is None
