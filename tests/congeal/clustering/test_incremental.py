from __future__ import annotations

import numpy as np
import pytest
from synthetic import kinds

from congeal.clustering.incremental import join
from congeal.errors import CongealError


def sorted_but(truth: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels of those who are there already, -1 for newcomers; who is known."""
    labels = np.where(new, -1, truth).astype(np.int32)
    return labels, labels >= 0


def last(count: int, n: int) -> np.ndarray:
    return np.arange(n) >= n - count


@pytest.mark.parametrize("sizes", [[40, 30, 20], [60, 12, 9], [50]])
def test_newcomers_go_where_they_belong_and_nobody_else_moves(sizes: list[int]) -> None:
    points, truth = kinds(sizes, spread=0.5)
    new = last(len(truth) // 4, len(truth))
    labels, reference = sorted_but(truth, new)
    found = join(points, labels, reference, new)
    assert (found.labels[~new] == truth[~new]).all()
    assert (found.labels[new] == truth[new]).mean() > 0.9
    assert found.labels.max() < len(sizes)
    assert found.distances[new].max() < 0.5
    assert (found.distances[~new] == 1).all()


def test_a_new_kind_founds_a_set_and_strangers_belong_to_none() -> None:
    points, truth = kinds([30, 25, 20, 12])
    random = np.random.default_rng(9)
    strangers = random.normal(0, 1, (4, points.shape[1]))
    points = np.concatenate([points, strangers / np.linalg.norm(strangers, axis=1, keepdims=True)])
    truth = np.append(truth, [4] * 4)
    new = truth >= 3
    labels, reference = sorted_but(truth, new)
    found = join(points.astype(np.float32), labels, reference, new)
    assert set(found.labels[truth == 3]) == {3}
    assert (found.labels[truth == 4] == -1).sum() >= 3
    assert found.labels.max() == 3


def test_a_new_kind_that_resembles_an_old_one_does_not_vanish_in_it() -> None:
    points, truth = kinds([40, 40, 40], seed=3)
    random = np.random.default_rng(1)
    cousins = _unit(points[truth == 2].mean(0)) + 0.5 * _unit(random.normal(0, 1, 32))
    cousins = cousins + 0.2 * random.normal(0, 1, (30, 32)) / np.sqrt(32)
    points = np.concatenate([points, _unit(cousins)]).astype(np.float32)
    labels, reference = sorted_but(np.append(truth, [3] * 30), last(30, 150))
    for row in (120, 130, 140):  # each alone is near enough to be taken in
        rows = [*range(120), row]
        assert join(points[rows], labels[rows], reference[rows], last(1, 121)).labels[-1] == 2
    assert (join(points, labels, reference, last(30, 150)).labels[120:] == 3).all()


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_it_does_not_matter_who_came_first() -> None:
    points, truth = kinds([60, 50, 40])
    new = last(40, len(truth))
    labels, reference = sorted_but(truth, new)
    once = join(points, labels, reference, new).labels
    early = np.arange(len(truth)) < len(truth) - 15
    first = join(points[early], labels[early], reference[early], new[early]).labels
    labels = np.append(first, labels[~early])
    twice = join(points, labels, reference, ~early).labels
    assert np.array_equal(once, twice)


def test_without_newcomers_nothing_changes() -> None:
    # Not even where outliers are alike: they were judged when they came.
    points, truth = kinds([30, 20, 8])
    labels = np.where(truth == 2, -1, truth).astype(np.int32)
    nobody = np.zeros(len(truth), bool)
    assert np.array_equal(join(points, labels, labels >= 0, nobody).labels, labels)


def test_outliers_from_before_help_to_found_a_set() -> None:
    points, truth = kinds([30, 20, 8])
    new = (truth == 2) & (np.cumsum(truth == 2) > 2)
    labels = np.where(truth == 2, -1, truth).astype(np.int32)
    assert (join(points, labels, labels >= 0, new).labels[truth == 2] == 2).all()


def test_a_set_whose_first_images_have_gone_is_known_by_the_others() -> None:
    points, truth = kinds([30, 20], spread=0.5)
    new = last(10, 50)
    labels, reference = sorted_but(truth, new)
    found = join(points, labels, reference & (truth != 1), new)
    assert (found.labels[new] == truth[new]).mean() > 0.9


def test_a_sample_founds_the_sets_of_many() -> None:
    points, truth = kinds([60, 50, 90, 80], spread=0.5)
    new = truth >= 2
    labels, reference = sorted_but(truth, new)
    found = join(points, labels, reference, new, sample=60).labels
    for kind in (2, 3):
        count = np.bincount(found[truth == kind] + 1)
        assert count[3:].max() > 0.8 * count.sum()


def test_no_set_and_no_numbers_are_refused() -> None:
    points, _ = kinds([10])
    nothing = np.full(10, -1, np.int32)
    everybody = np.ones(10, bool)
    with pytest.raises(CongealError, match="no set to join"):
        join(points, nothing, ~everybody, everybody)
    points[3, 1] = np.nan
    with pytest.raises(CongealError, match="finite"):
        join(points, np.zeros(10, np.int32), everybody, ~everybody)
