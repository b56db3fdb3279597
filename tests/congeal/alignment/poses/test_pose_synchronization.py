from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.alignment.config.poses import PosesConfig
from congeal.alignment.poses import pose_synchronization
from congeal.alignment.poses.pair_plan import sparse_pairs
from congeal.alignment.poses.pose_synchronization import (
    consistency,
    leading_eigenvector,
    synchronize_mirroring,
    synchronize_poses,
)

CONFIG = PosesConfig()


def pairs(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pair_a = a[None, :] / a[:, None]
    return pair_a, b[None, :] - pair_a * b[:, None]


def poses(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    a = random.uniform(0.5, 1.5, n) * np.exp(1j * random.uniform(-1, 1, n))
    b = random.normal(0, 0.3, n) + 1j * random.normal(0, 0.3, n)
    return torch.tensor(a, dtype=torch.complex64), torch.tensor(b, dtype=torch.complex64)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), n=st.integers(2, 15))
def test_exact_pairs_give_the_poses_back(seed: int, n: int) -> None:
    a, b = poses(n, seed)
    pair_a, pair_b = pairs(a, b)
    weight = 1 - torch.eye(n)
    found_a, found_b, support = synchronize_poses(pair_a, pair_b, weight, CONFIG)
    again_a, again_b = pairs(found_a, found_b)
    assert torch.allclose(again_a, pair_a, atol=1e-3)
    assert torch.allclose(again_b, pair_b, atol=1e-3)
    assert float(support.min()) > 0.99


def test_a_third_of_wrong_pairs_does_not_matter() -> None:
    a, b = poses(12, 3)
    pair_a, pair_b = pairs(a, b)
    random = np.random.default_rng(0)
    for i, j in [pair for pair in combinations(range(12), 2) if random.random() < 0.33]:
        wrong_a = complex(np.exp(1j * random.uniform(-3, 3)) * random.uniform(0.4, 2))
        wrong_b = complex(random.normal(), random.normal())
        pair_a[i, j], pair_b[i, j] = wrong_a, wrong_b
        pair_a[j, i], pair_b[j, i] = 1 / wrong_a, -wrong_b / wrong_a
    found_a, found_b, _ = synchronize_poses(pair_a, pair_b, 1 - torch.eye(12), CONFIG)
    true_a, true_b = pairs(a, b)
    again_a, again_b = pairs(found_a, found_b)
    assert float((again_a - true_a).abs().median()) < 0.03
    assert float((again_b - true_b).abs().median()) < 0.03


def test_an_image_whose_pairs_disagree_has_little_support() -> None:
    a, b = poses(8, 5)
    pair_a, pair_b = pairs(a, b)
    random = np.random.default_rng(1)
    for j in range(1, 8):
        pair_a[0, j] = complex(random.normal(), random.normal())
        pair_b[0, j] = complex(random.normal(), random.normal())
        pair_a[j, 0], pair_b[j, 0] = 1 / pair_a[0, j], -pair_b[0, j] / pair_a[0, j]
    _, _, support = synchronize_poses(pair_a, pair_b, 1 - torch.eye(8), CONFIG)
    assert int(support.argmin()) == 0
    assert float(support[0]) < 0.6 * float(support[1:].min())


@settings(max_examples=50)
@given(st.integers(3, 9), st.integers(0, 8), st.integers(0, 1000))
def test_an_image_without_evidence_stays_finite(n: int, alone: int, seed: int) -> None:
    a, b = poses(n, seed)
    pair_a, pair_b = pairs(a, b)
    weight = torch.tensor(np.random.default_rng(seed).uniform(0.5, 3, (n, n)), dtype=torch.float32)
    weight = (weight + weight.T).fill_diagonal_(0)
    alone %= n
    weight[alone] = weight[:, alone] = 0
    found_a, found_b, _ = synchronize_poses(pair_a, pair_b, weight, CONFIG)
    assert bool(torch.isfinite(torch.view_as_real(found_a)).all())
    assert bool(torch.isfinite(torch.view_as_real(found_b)).all())


@settings(max_examples=20)
@given(st.lists(st.booleans(), min_size=3, max_size=15), st.integers(0, 100))
def test_mirror_states_are_found_up_to_the_whole(truth: list[bool], seed: int) -> None:
    mirrored = torch.tensor(truth)
    equal = mirrored[:, None] == mirrored[None]
    noise = torch.rand((len(truth), len(truth)), generator=torch.Generator().manual_seed(seed))
    noise = (noise + noise.T) / 2
    same = torch.where(equal, 10.0, 4.0) + noise
    opposite = torch.where(equal, 4.0, 10.0) + noise
    found = synchronize_mirroring(same, opposite, CONFIG)
    assert torch.equal(found, mirrored) or torch.equal(found, ~mirrored)
    assert int(found.sum()) * 2 <= len(truth)  # the minority is mirrored


def test_pairs_that_agree_on_mirror_states_are_told_from_pairs_that_contradict_each_other() -> None:
    n = 12
    truth = torch.arange(n) % 3 == 0
    crossed = truth[:, None] != truth[None]
    # Weak evidence, but all pairs say the same.
    same, opposite = torch.where(crossed, 1.0, 1.3), torch.where(crossed, 1.3, 1.0)
    mirrored = synchronize_mirroring(same, opposite, CONFIG)
    assert consistency(same, opposite, mirrored, CONFIG) > 0.99
    # The same strength of evidence, every pair for itself.
    noise = torch.rand((n, n), generator=torch.Generator().manual_seed(0)) < 0.5
    noise = noise.triu(1) | noise.triu(1).T
    same, opposite = torch.where(noise, 1.0, 1.3), torch.where(noise, 1.3, 1.0)
    mirrored = synchronize_mirroring(same, opposite, CONFIG)
    assert 0.2 < consistency(same, opposite, mirrored, CONFIG) < 0.75


def sparse(n: int, seed: int) -> torch.Tensor:
    """bool [n, n], the pairs that are compared."""
    first, second, _ = sparse_pairs(np.random.default_rng(seed).normal(size=(n, 4)), 4, 8, seed)
    compared = torch.zeros((n, n), dtype=torch.bool)
    compared[first, second] = compared[second, first] = True
    return compared


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), turned=st.booleans())
def test_the_leading_eigenvector_of_a_large_sparse_matrix_is_that_of_all(seed: int, turned: bool) -> None:
    n = pose_synchronization.DENSE_UP_TO + 40
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand((n, n), generator=generator) * sparse(n, seed)
    if turned:
        values = torch.polar(values, torch.rand((n, n), generator=generator) - 0.5)
    matrix = (values + values.mH) / 2
    found, expected = leading_eigenvector(matrix), torch.linalg.eigh(matrix)[1][:, -1]
    assert found.dtype == matrix.dtype
    assert float(torch.vdot(found, expected).abs()) > 1 - 1e-4
    assert torch.equal(found, leading_eigenvector(matrix))


@pytest.mark.parametrize("kind", [torch.float32, torch.complex64])
def test_a_large_matrix_of_zeros_has_an_eigenvector_too(kind: torch.dtype) -> None:
    n = pose_synchronization.DENSE_UP_TO + 1
    found = leading_eigenvector(torch.zeros((n, n), dtype=kind))
    assert found.dtype == kind
    assert float(found.abs().square().sum()) == pytest.approx(1)


def test_poses_of_a_large_set_come_from_the_pairs_that_there_are() -> None:
    n = pose_synchronization.DENSE_UP_TO + 20
    a, b = poses(n, 4)
    pair_a, pair_b = pairs(a, b)
    weight = sparse(n, 1).float()
    missing = weight == 0
    pair_a[missing], pair_b[missing] = 1, 0
    pair_a.fill_diagonal_(1)
    found_a, found_b, support = synchronize_poses(pair_a, pair_b, weight, CONFIG)
    true_a, true_b = pairs(a, b)
    again_a, again_b = pairs(found_a, found_b)
    assert torch.allclose(again_a, true_a, atol=2e-2)
    assert torch.allclose(again_b, true_b, atol=2e-2)
    assert float(support.min()) > 0.99


def test_mirror_states_of_a_large_set_are_found_from_a_part_of_its_pairs() -> None:
    n = pose_synchronization.DENSE_UP_TO + 20
    mirrored, compared = torch.arange(n) % 3 == 1, sparse(n, 2)
    equal = mirrored[:, None] == mirrored[None]
    same = torch.where(equal, 10.0, 6.0) * compared
    opposite = torch.where(equal, 6.0, 10.0) * compared
    share = float(compared.sum()) / (n * (n - 1))
    assert torch.equal(synchronize_mirroring(same, opposite, CONFIG, share), mirrored)
    assert consistency(same, opposite, mirrored, CONFIG, share) > 0.99
