from __future__ import annotations

import numpy as np
import pytest

from congeal.coordinates import Frame
from congeal.errors import CongealError
from congeal.evaluation import Annotated, bounding_unit, identity, nearest_neighbour, pck


def annotated(points: list[list[float]], size: tuple[int, int] = (100, 100)) -> Annotated:
    array = np.array(points, np.float64)
    return Annotated(Frame(*size), array, bounding_unit(array))


def test_perfect_and_useless_transfers_score_100_and_0() -> None:
    images = [annotated([[10, 10], [50, 60]]), annotated([[20, 15], [70, 65]])]
    assert pck(images, lambda a, b, p: images[b].points, 0.1) == 100
    assert pck(images, lambda a, b, p: images[b].points + 99, 0.1) == 0


def test_the_threshold_counts_up_to_and_with_alpha_times_the_unit() -> None:
    images = [annotated([[0, 0], [50, 0]]), annotated([[0, 0], [50, 0]])]
    assert pck(images, lambda a, b, p: p + np.array([5, 0]), 0.1) == 100
    assert pck(images, lambda a, b, p: p + np.array([5.01, 0]), 0.1) == 0


def test_keypoints_hidden_in_either_image_do_not_count() -> None:
    hidden = [np.nan, np.nan]
    images = [annotated([[0, 0], [50, 0], hidden]), annotated([hidden, [50, 0], [60, 9]])]
    seen: list[int] = []

    def transfer(source: int, target: int, points: np.ndarray) -> np.ndarray:
        seen.append(len(points))
        return points

    assert pck(images, transfer, 0.1) == 100
    assert seen == [1, 1]


def test_identity_keeps_the_place_in_the_frame() -> None:
    images = [
        Annotated(Frame(100, 100), np.array([[49.5, 49.5]]), 10.0),
        Annotated(Frame(300, 200), np.array([[149.5, 99.5]]), 10.0),
    ]
    assert pck(images, identity(images), 0.01) == 100


def test_nearest_neighbour_finds_the_same_token() -> None:
    features = np.random.default_rng(0).normal(0, 1, (1, 8, 8, 32)).astype(np.float32)
    moved = np.roll(features, 2, axis=2)
    images = [
        Annotated(Frame(80, 80), np.array([[14.5, 44.5]]), 10.0),
        Annotated(Frame(80, 80), np.array([[34.5, 44.5]]), 10.0),
    ]
    transfer = nearest_neighbour(images, np.concatenate([features, moved]))
    assert np.allclose(transfer(0, 1, images[0].points), images[1].points, atol=1e-4)


def test_nothing_in_common_is_said() -> None:
    hidden = [np.nan, np.nan]
    first = Annotated(Frame(9, 9), np.array([[1.0, 1.0], hidden]), 1.0)
    second = Annotated(Frame(9, 9), np.array([hidden, [1.0, 1.0]]), 1.0)
    with pytest.raises(CongealError, match="share a visible keypoint"):
        pck([first, second], identity([first, second]), 0.1)
    with pytest.raises(CongealError, match="two visible"):
        bounding_unit(np.array([[1.0, 1.0]]))
