from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.evaluation.pck import (
    Annotated,
    Renaming,
    all_pairs,
    bounding_unit,
    carry,
    identity,
    joined,
    nearest_neighbour,
    pck,
    unsure,
)
from congeal.geometry.frames import Frame


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


def test_a_method_that_gives_points_of_another_shape_is_named() -> None:
    images = [annotated([[10, 10], [50, 60]]), annotated([[20, 15], [70, 65]])]
    # One point for all, which NumPy would hold against each.
    with pytest.raises(
        CongealError, match=r"gives points \[2\] and confidence \[2\] for 2 points, not \[m, 2\]"
    ):
        pck(images, lambda a, b, p: p[0], 0.1)
    one_for_all: Any = lambda a, b, p: (p, 1.0)  # noqa: E731
    with pytest.raises(CongealError, match=r"gives points \[2, 2\] and confidence \[\] for 2 points"):
        carry(images, one_for_all, all_pairs(2))


def test_shares_by_keypoint_image_and_pair() -> None:
    hidden = [np.nan, np.nan]
    images = [
        annotated([[0, 0], [50, 0]]),
        annotated([[0, 0], [50, 0]]),
        annotated([[0, 0], [50, 0], [9, 9]]),
    ]
    images = [Annotated(one.frame, np.array([*one.points.tolist()[:2], hidden]), 50.0) for one in images]

    def transfer(source: int, target: int, points: np.ndarray) -> np.ndarray:
        # Into image 2, the second keypoint goes astray by 20 pixels; all else is right.
        return points + np.array([[0, 0], [20.0 * (target == 2), 0]])

    found = carry(images, unsure(transfer), all_pairs(3))
    assert len(found) == 12
    assert found.pck(0.1) == pytest.approx(100 * 10 / 12)
    assert found.pck(0.4) == 100
    assert found.by_keypoint(0.1) == [(0, 6, 100), (1, 6, pytest.approx(100 * 4 / 6))]
    assert found.by_image(0.1) == [(0, 8, 87.5), (1, 8, 87.5), (2, 8, 75)]
    assert found.pck_of_pairs(0.1) == pytest.approx((4 * 100 + 2 * 50) / 6)
    assert np.isnan(found.confidence).all()
    twice = joined([found, found])
    assert (len(twice), twice.pck(0.1)) == (24, found.pck(0.1))


def test_each_pair_counts_alike_in_the_share_of_pairs() -> None:
    hidden = [np.nan, np.nan]
    images = [
        Annotated(Frame(100, 100), np.array([[0, 0], [9, 9], [9, 0]], float), 10.0),
        Annotated(Frame(100, 100), np.array([[0, 0], [9, 9], [9, 0]], float), 10.0),
        Annotated(Frame(100, 100), np.array([[0, 0], hidden, hidden], float), 10.0),
    ]
    found = carry(images, unsure(lambda a, b, p: p + 50.0 * (b == 2)), [(0, 1), (0, 2)])
    assert found.pck(0.1) == 75
    assert found.pck_of_pairs(0.1) == 50


def sided() -> list[Annotated]:
    """Beak, left eye, right eye, each at its own place. A shows its left eye, B its right one, C both."""
    hidden = [np.nan, np.nan]
    return [
        Annotated(Frame(100, 100), np.array([[10, 10], [11, 11], hidden]), 10.0, origin=(-7.0, -8.0)),
        Annotated(Frame(100, 100), np.array([[20, 20], hidden, [22, 22]]), 10.0),
        Annotated(Frame(100, 60), np.array([[30, 30], [31, 31], [32, 32]]), 10.0),
    ]


Compared = list[tuple[int, list[float]]]


def compared(pair: tuple[int, int], renaming: Renaming | None) -> tuple[Compared, list[float]]:
    """Keypoint and start of every point that is carried, and its distance from the truth if it stays."""
    started: list[list[float]] = []

    def transfer(source: int, target: int, points: np.ndarray) -> np.ndarray:
        started.extend(points.tolist())
        return points

    found = carry(sided(), unsure(transfer), [pair], renaming)
    return list(zip(found.keypoint.tolist(), started, strict=True)), found.error.tolist()


def renaming(*mirrored: bool, early: bool = False, by_pair: bool = False) -> Renaming:
    return Renaming(np.array(mirrored), np.array([0, 2, 1]), early, by_pair)


def test_namesakes_are_compared_where_both_images_face_alike() -> None:
    assert compared((0, 1), None)[0] == [(0, [10, 10])]
    assert compared((0, 2), None)[0] == [(0, [10, 10]), (1, [11, 11])]
    for alike in (renaming(False, False, False), renaming(True, True, True, early=True)):
        assert compared((0, 2), alike)[0] == compared((0, 2), None)[0]


def test_left_becomes_right_where_one_image_is_mirrored() -> None:
    facing = renaming(True, False, False)
    # A's left eye stands where B shows its right one.
    assert compared((0, 1), facing)[0] == [(0, [10, 10]), (2, [11, 11])]
    assert compared((1, 0), facing)[0] == [(0, [20, 20]), (1, [22, 22])]
    assert compared((0, 2), facing)[0] == [(0, [10, 10]), (2, [11, 11])]
    assert compared((0, 1), facing)[1] == pytest.approx([np.hypot(10, 10), np.hypot(11, 11)])


def test_the_papers_order_counts_a_hidden_point_and_skips_a_visible_one() -> None:
    early = renaming(True, False, False, early=True)
    # Seen in both by name: the beak alone. A's left eye and B's right eye, which belong together, are not.
    assert compared((0, 1), early)[0] == [(0, [10, 10])]
    # The left eye is seen in A and C; renamed, it starts at A's right eye, which is hidden: at A's origin.
    assert compared((0, 2), early)[0] == [(0, [10, 10]), (1, [-7, -8])]
    # The other way round it is A, the earlier image, that is renamed still: the truth is its origin.
    points, errors = compared((2, 0), early)
    assert points == [(0, [30, 30]), (1, [31, 31])]
    assert errors == pytest.approx([np.hypot(20, 20), np.hypot(38, 39)])


def test_the_papers_listed_pairs_know_only_what_both_images_show() -> None:
    listed = renaming(False, False, True, early=True, by_pair=True)
    # B shows no left eye, so C's counts as hidden, too: renamed, the right eye starts at C's frame's corner.
    assert compared((2, 1), listed)[0] == [(0, [30, 30]), (2, [-0.5, -20.5])]
    assert compared((2, 1), renaming(False, False, True, early=True))[1] != compared((2, 1), listed)[1]
