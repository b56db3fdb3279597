from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score, v_measure_score
from synthetic import kinds

from congeal.clustering.agglomerative import Rule, cluster
from congeal.clustering.set_halves import silhouette
from congeal.errors import CongealError


@pytest.mark.parametrize("sizes", [[30, 30], [40, 20, 10, 8], [12] * 9, [60, 12, 9]])
def test_kinds_are_found_with_their_number(sizes: list[int]) -> None:
    points, truth = kinds(sizes)
    found = cluster(points)
    assert found.labels.max() + 1 == len(sizes)
    assert v_measure_score(truth, found.labels) > 0.97


def test_a_large_set_is_not_cut_up() -> None:
    points, _ = kinds([600])
    assert cluster(points).labels.max() == 0


def test_strangers_are_outliers_and_not_forced_in() -> None:
    points, truth = kinds([30, 25, 20])
    random = np.random.default_rng(9)
    strangers = random.normal(0, 1, (4, points.shape[1]))
    together = np.concatenate([points, strangers / np.linalg.norm(strangers, axis=1, keepdims=True)])
    found = cluster(together.astype(np.float32))
    assert (found.labels[-4:] == -1).sum() >= 3
    assert (found.labels[:-4] >= 0).mean() > 0.95
    assert v_measure_score(truth, found.labels[:-4]) > 0.95
    assert found.distances[-4:].min() > np.median(found.distances[:-4])


def test_a_sample_sorts_the_whole_and_finds_what_it_missed() -> None:
    points, truth = kinds([400, 300, 12], spread=0.5)
    found = cluster(points, sample=120)
    assert v_measure_score(truth, found.labels) > 0.9
    assert (found.labels[truth == 2] >= 0).mean() > 0.8
    assert len(np.unique(found.labels[truth == 2])) == 1


def test_the_same_seed_gives_the_same_clusters_and_order_hardly_matters() -> None:
    points, _ = kinds([40, 30, 20, 10])
    first = cluster(points, seed=3)
    again = cluster(points, seed=3)
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.medoids, again.medoids)
    order = np.random.default_rng(0).permutation(len(points))
    assert v_measure_score(cluster(points[order]).labels, first.labels[order]) > 0.98


def test_medoids_are_members_nearest_their_centre() -> None:
    points, _ = kinds([30, 20])
    found = cluster(points)
    for label, medoid in enumerate(found.medoids):
        members = np.flatnonzero(found.labels == label)
        assert medoid in members
        assert found.distances[medoid] == found.distances[members].min()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_tiny_collections(count: int) -> None:
    points, _ = kinds([count])
    found = cluster(points)
    assert found.labels.tolist() == ([-1] * count if count < 3 else [0] * count)
    assert len(found.medoids) == int(count >= 3)


def test_silhouette_agrees_with_the_textbook() -> None:
    points, truth = kinds([20, 15, 9])
    assert silhouette(points.astype(np.float64), truth) == pytest.approx(
        silhouette_score(points, truth, metric="cosine"), abs=1e-6
    )


def test_embeddings_that_are_no_numbers_are_refused() -> None:
    points, _ = kinds([10])
    points[3, 1] = np.nan
    with pytest.raises(CongealError, match="finite"):
        cluster(points)
    with pytest.raises(CongealError, match=r"\[n, d\]"):
        cluster(points[0])


def test_whoever_is_in_a_set_of_few_stays_in_it() -> None:
    random = np.random.default_rng(3)
    centres = np.eye(2, 48)
    near = np.repeat(centres, 12, 0) + random.normal(0, 0.08, (24, 48))
    near[5] += 0.4 * np.eye(48)[7]  # like its kind, but less than the others
    far = np.eye(48)[20:23]  # like nothing here
    found = cluster(np.concatenate([near, far]))
    assert np.bincount(found.labels[:24]).tolist() == [12, 12]
    assert (found.labels[24:] == -1).all()
    before = cluster(np.concatenate([near, far]), rule=Rule(keep_few=False))
    assert np.flatnonzero(before.labels[:24] == -1).tolist() == [5]
