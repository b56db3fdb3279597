"""Sets of few images whose halves stand apart, and those that are one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from synthetic import kinds

from congeal.clustering.agglomerative import Rule, cluster
from congeal.clustering.incremental import join
from congeal.clustering.set_halves import LEAST, halves_apart, nearest


def cousins(
    each: int, apart: float = 0.7, seed: int = 2, spread: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Two kinds that resemble each other (0 and 1), beside one that does not (2); so many images of each."""
    random = np.random.default_rng(seed)
    first, between, other = (unit(random.normal(0, 1, 64)) for _ in range(3))
    centres = np.stack([first, unit(first + apart * between), 3 * unit(other)])
    truth = np.repeat(np.arange(3), each)
    points = centres[truth] + spread * random.normal(0, 1, (len(truth), 64)) / np.sqrt(64)
    return unit(points).astype(np.float32), truth


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@pytest.mark.parametrize("each", [6, 12, 14])
def test_two_kinds_alike_beside_a_third_are_told_apart(each: int) -> None:
    points, truth = cousins(each)
    assert partition(cluster(points).labels) == partition(truth)
    # Collections that were split before go on as they were.
    assert partition(cluster(points, rule=Rule(halve_small=False)).labels) == partition(
        np.minimum(truth // 2, 1)
    )


@pytest.mark.parametrize("seed", range(5))
def test_one_kind_is_one_set_however_few(seed: int) -> None:
    for each in (10, 20, 29):
        points, _ = kinds([each], seed=seed)
        assert halves_apart(points.astype(np.float64), 3, seed) is None


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_the_nearest_others_are_those_that_scikit_learn_finds(n: int, d: int, seed: int) -> None:
    points = unit(np.random.default_rng(seed).normal(size=(n, d)) + 1e-3)
    k = min(5, n - 1)
    found = nearest(points, k)
    expected, _ = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    away = np.linalg.norm(points[:, None] - points[found], axis=-1)
    np.testing.assert_allclose(away, expected, atol=1e-6)
    assert not (found == np.arange(n)[:, None]).any()


def test_a_part_of_few_is_no_half() -> None:
    points, truth = cousins(12)

    def halves(of_the_second: int, smallest: int = 3) -> set[frozenset[int]] | None:
        rows = np.flatnonzero((truth == 0) | ((truth == 1) & (np.arange(len(truth)) < 12 + of_the_second)))
        labels = halves_apart(points[rows].astype(np.float64), smallest, 0)
        return None if labels is None else partition(labels)

    assert halves(LEAST - 1) is None
    assert halves(8) == partition(truth[:20])
    assert halves(8, smallest=9) is None


@given(st.integers(0, 1000), st.integers(2, 40), st.floats(0, 2))
def test_halves_are_large_enough_and_do_not_depend_on_the_order(seed: int, each: int, apart: float) -> None:
    points = cousins(each, apart, seed)[0][: 2 * each].astype(np.float64)
    labels = halves_apart(points, 3, 0)
    if labels is None:
        return
    assert set(labels.tolist()) == {0, 1}
    assert np.bincount(labels).min() >= LEAST
    if len(points) < 30:
        order = np.random.default_rng(seed).permutation(len(points))
        again = halves_apart(points[order], 3, 0)
        assert again is not None
        assert partition(again) == partition(labels[order])


def test_images_that_are_all_the_same_are_one_set() -> None:
    assert halves_apart(np.tile(unit(np.ones(8)), (12, 1)), 3, 0) is None


def test_kinds_alike_that_come_later_found_sets_as_they_would_from_the_start() -> None:
    points, truth = cousins(12)
    known = -points[truth == 2]
    labels = np.append(np.full(len(truth), -1), np.zeros(len(known))).astype(np.int32)
    new = labels < 0
    together = np.concatenate([points, known])
    assert partition(join(together, labels, ~new, new).labels[new]) == partition(truth)
    before = join(together, labels, ~new, new, rule=Rule(halve_small=False)).labels[new]
    assert partition(before) == partition(np.minimum(truth // 2, 1))
