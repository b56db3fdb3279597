"""Bursts: many images that are nearly the same say no more of how a collection is split than one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import v_measure_score
from synthetic import kinds

from congeal.clustering.agglomerative import Rule, cluster
from congeal.clustering.near_copies import groups_of_copies, no_copies, one_of_each


def burst(image: np.ndarray, count: int, seed: int = 0, spread: float = 0.1) -> np.ndarray:
    """Near copies of an image's embedding, [count, d]."""
    noise = np.random.default_rng(seed).normal(0, spread, (count, len(image))) / np.sqrt(len(image))
    found = image + noise
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def left(points: np.ndarray) -> np.ndarray:
    return one_of_each(points, groups_of_copies(points))


@pytest.mark.parametrize("frames", [7, 20, 40])
@pytest.mark.parametrize("sizes", [[30], [30, 25]])
def test_bursts_of_kinds_there_are_stay_with_their_kind(sizes: list[int], frames: int) -> None:
    points, truth = kinds(sizes)
    bursts = [burst(points[at], frames, at) for at in range(3)]
    labels = cluster(np.concatenate([points, *bursts])).labels
    kind = np.append(truth, np.repeat(truth[:3], frames))
    assert labels.max() + 1 == len(sizes)
    assert v_measure_score(kind, labels) == pytest.approx(1)


def test_counted_in_full_bursts_break_up_what_they_are_in() -> None:
    points, _ = kinds([30])
    together = np.concatenate([points, *(burst(points[at], 20, at) for at in range(3))])
    assert cluster(together, rule=Rule(thin_out=False)).labels.max() > 2


def test_a_burst_of_something_else_is_a_set_of_its_own() -> None:
    points, truth = kinds([30, 25, 1])
    other = truth == 2
    together = np.concatenate([points[~other], burst(points[other][0], 40)])
    labels = cluster(together).labels
    assert len(set(labels[55:])) == 1
    assert v_measure_score(np.append(truth[~other], np.full(40, 2)), labels) > 0.95


def test_strangers_beside_a_burst_are_no_set() -> None:
    points, _ = kinds([30, 25, 20])
    random = np.random.default_rng(9)
    strangers = random.normal(0, 1, (4, points.shape[1]))
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    labels = cluster(np.concatenate([points, burst(points[0], 20), strangers.astype(np.float32)])).labels
    assert labels.max() == 2
    assert (labels[-4:] == -1).sum() >= 3


@pytest.mark.parametrize("frames", [3, 20])
def test_nothing_but_a_burst_is_one_set(frames: int) -> None:
    points, _ = kinds([1])
    assert cluster(burst(points[0], frames)).labels.tolist() == [0] * frames


def test_without_near_copies_nothing_is_thinned_out() -> None:
    points, _ = kinds([20, 15])
    assert left(points.astype(np.float64)).tolist() == list(range(35))
    thinned, whole = cluster(points), cluster(points, rule=Rule(thin_out=False))
    assert np.array_equal(thinned.labels, whole.labels)


@given(st.integers(6, 12), st.integers(1, 4), st.integers(0, 100))
def test_one_of_each_is_left_whatever_the_order(images: int, copies: int, seed: int) -> None:
    points, _ = kinds([images], seed=seed)
    many = np.concatenate([burst(point, copies, at) for at, point in enumerate(points)]).astype(np.float64)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    order = np.random.default_rng(seed).permutation(len(many))
    kept = left(many[order])
    assert sorted(order[kept] // copies) == list(range(images))


def test_of_a_burst_the_first_image_alone_is_no_copy() -> None:
    points, _ = kinds([10])
    many = np.concatenate([burst(points[0], 60), points]).astype(np.float64)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    assert no_copies(many, 24).tolist() == [0, *range(61, 70)]
    assert no_copies(many, 5).tolist() == [0, 61, 62, 63, 64]
    assert no_copies(many[60:], 24).tolist() == list(range(10))
    assert no_copies(many[:1], 24).tolist() == [0]


def test_frames_of_nothing_but_a_burst_are_no_copies_of_each_other() -> None:
    points, _ = kinds([1])
    many = burst(points[0], 40).astype(np.float64)
    assert no_copies(many / np.linalg.norm(many, axis=1, keepdims=True), 24).tolist() == list(range(24))
