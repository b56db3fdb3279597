from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.report import embedding_map
from congeal.report.embedding_map import fit, place, stratified, to_unit_square


def groups(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of three kinds of thing, and which is which."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(3, 16))
    kind = np.arange(n) % 3
    return (centres[kind] + 0.2 * random.normal(size=(n, 16))).astype(np.float32), kind


def apart(places: np.ndarray, kind: np.ndarray) -> bool:
    """Whether the nearest of each other is of its kind."""
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return bool((kind[distance.argmin(1)] == kind).all())


@pytest.mark.parametrize("n", [12, 90])
def test_alike_ones_lie_near_each_other_and_always_in_the_same_place(n: int) -> None:
    vectors, kind = groups(n)
    first, second = fit(vectors, seed=0), fit(vectors, seed=0)
    assert np.array_equal(first.places, second.places)
    assert apart(first.places, kind)
    assert first.method == ("PCA" if n == 12 else "t-SNE")


def test_others_lie_among_those_that_they_resemble() -> None:
    vectors, kind = groups(90)
    fitted = fit(vectors, seed=0)
    new, new_kind = groups(30, seed=1)
    found = place(fitted, new)
    assert np.isfinite(found).all()
    nearest = np.hypot(*(found[:, None] - fitted.places[None]).transpose(2, 0, 1)).argmin(1)
    assert (kind[nearest] == new_kind).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_images_have_places(n: int) -> None:
    fitted = fit(np.eye(n, 5, dtype=np.float32), seed=0)
    assert fitted.places.shape == (n, 2)
    assert np.isfinite(place(fitted, np.ones((2, 5), np.float32))).all()


def test_the_same_image_many_times() -> None:
    fitted = fit(np.ones((4, 5), np.float32), seed=0)
    assert np.isfinite(to_unit_square(fitted.places)).all()


def test_no_images_are_refused() -> None:
    with pytest.raises(CongealError, match="fitted on"):
        fit(np.zeros((0, 4), np.float32), seed=0)


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_map, "FITTED", 3)
    with pytest.raises(CongealError, match="fitted on"):
        fit(np.ones((4, 4), np.float32), seed=0)


def test_places_fill_the_square_with_the_same_scale_on_both_axes() -> None:
    found = to_unit_square(np.array([[0.0, 0.0], [10.0, 5.0], [np.nan, np.nan]]))
    assert ((found[:2] > 0) & (found[:2] < 1)).all()
    across, down = found[1] - found[0]
    assert across == pytest.approx(2 * down)
    assert found[:2].mean(0) == pytest.approx([0.5, 0.5])
    assert np.isnan(found[2]).all()


def test_a_sample_has_every_group_in_proportion() -> None:
    kind = np.repeat([0, 1, 2, -1], [800, 150, 49, 1])
    chosen = stratified(kind, 100, seed=0)
    assert len(chosen) == 100
    assert (np.diff(chosen) > 0).all()
    counts = np.bincount(kind[chosen] + 1)
    assert counts[0] == 1
    assert abs(counts[1] - 80) <= 2
    assert abs(counts[2] - 15) <= 2
    assert stratified(kind, 5_000, seed=0).tolist() == list(range(1_000))
