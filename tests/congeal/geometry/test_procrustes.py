from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.geometry.procrustes import principal_components, procrustes

SHAPE = np.array([[0.0, 0.0], [10.0, 0.0], [12.0, 6.0], [4.0, 9.0], [-3.0, 5.0]])


def moved(shape: np.ndarray, turn: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cosine, sine = np.cos(turn), np.sin(turn)
    return shape @ np.array([[cosine, sine], [-sine, cosine]]) * scale + shift


def test_place_turn_and_size_go() -> None:
    shapes = [moved(SHAPE, t, s, (40 * t, -7 * s)) for t, s in ((0.0, 1.0), (1.3, 2.0), (3.0, 0.5))]
    found = procrustes(shapes)
    np.testing.assert_allclose(found.aligned, np.broadcast_to(found.mean, found.aligned.shape), atol=1e-9)
    np.testing.assert_allclose(found.sizes / found.sizes[0], [1, 2, 0.5])
    np.testing.assert_allclose(found.distances, 0, atol=1e-6)
    np.testing.assert_allclose((found.aligned**2).sum((1, 2)), 1)
    assert principal_components(found).share.tolist() == [0, 0]
    # The mean is turned as the first shape.
    unit = (SHAPE - SHAPE.mean(0)) / np.sqrt(((SHAPE - SHAPE.mean(0)) ** 2).sum())
    np.testing.assert_allclose(found.mean, unit, atol=1e-9)


def test_a_mirrored_shape_fits_only_if_it_may() -> None:
    flipped = SHAPE * [-1, 1]
    shapes = [SHAPE, moved(SHAPE, 0.4, 2, (1, 2)), moved(flipped, 0.7, 3, (5, 5))]
    assert procrustes(shapes).distances[2] > 0.1
    found = procrustes(shapes, mirror=True)
    assert found.mirrored.tolist() == [False, False, True]
    np.testing.assert_allclose(found.distances, 0, atol=1e-6)


def test_the_direction_that_varies_is_found() -> None:
    random = np.random.default_rng(0)
    direction = np.array([[0, 0], [0, 0], [1.0, 0.5], [0, 0], [0, 0]])
    amounts = random.normal(size=40)
    shapes = [
        moved(SHAPE + 0.5 * a * direction, random.uniform(0, 6), random.uniform(1, 9), (a, 3))
        for a in amounts
    ]
    space = principal_components(procrustes(shapes), 3)
    assert space.share[0] > 0.99
    assert abs(np.corrcoef(space.scores[:, 0], amounts)[0, 1]) > 0.999
    assert (np.diff(space.variance) <= 0).all()
    np.testing.assert_allclose(space.scores[:, 0].var(ddof=1), space.variance[0])
    np.testing.assert_allclose(
        np.einsum("ikl,jkl->ij", space.components, space.components), np.eye(3), atol=1e-9
    )


def test_a_shape_comes_back_from_its_scores() -> None:
    random = np.random.default_rng(1)
    shapes = procrustes(SHAPE + random.normal(scale=0.3, size=(12, 5, 2)))
    space = principal_components(shapes)
    back = space.shape_at(space.scores[4])
    tangent = shapes.aligned[4] / (shapes.aligned[4] * shapes.mean).sum()
    np.testing.assert_allclose(back, tangent, atol=1e-9)
    assert space.components.shape[0] == 6


@pytest.mark.parametrize(
    ("landmarks", "words"),
    [
        (np.zeros((3, 4)), r"\[shapes, landmarks, 2\]"),
        (np.zeros((1, 4, 2)), "cannot be compared"),
        (np.zeros((3, 2, 2)), "cannot be compared"),
        (np.full((2, 4, 2), np.nan), "landmark 0 of shape 0 is missing"),
        (np.zeros((2, 4, 2)), "all lie on one point"),
    ],
)
def test_what_is_no_set_of_shapes(landmarks: np.ndarray, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        procrustes(landmarks)
    with pytest.raises(CongealError, match="1 to 1 components, not 2"):
        principal_components(procrustes([SHAPE, SHAPE**2]), 2)
