from __future__ import annotations

import numpy as np
import pytest

from congeal.errors import CongealError
from congeal.evaluation import cycle_consistency
from congeal.evaluation.cycle_consistency import cycle_pck
from congeal.evaluation.pck import Annotated, identity
from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import Frame


def images(count: int, hide: int | None = None) -> list[Annotated]:
    points = np.array([[10.0, 10.0], [20.0, 20.0]])
    found = [Annotated(Frame(100, 100), points.copy(), 100.0) for _ in range(count)]
    if hide is not None:
        found[hide].points[1] = np.nan
    return found


def drift(source: int, target: int, points: Doubles) -> Doubles:
    """Three pixels to the right at every step."""
    return points + np.array([3, 0])


def test_who_goes_nowhere_comes_back() -> None:
    assert cycle_pck(images(3), identity(images(3)), 2, [0.001]) == [100]


def test_what_is_lost_at_every_step_adds_up() -> None:
    assert cycle_pck(images(3), drift, 2, [0.05, 0.06]) == [0, 100]
    assert cycle_pck(images(3), drift, 3, [0.08, 0.09]) == [0, 100]


def test_points_lead_through_every_image_of_the_cycle_and_back_to_the_first() -> None:
    steps: list[tuple[int, int]] = []

    def transfer(source: int, target: int, points: Doubles) -> Doubles:
        steps.append((source, target))
        return points

    cycle_pck(images(3), transfer, 3, [0.1])
    assert len(steps) == 3 * 6
    for first in range(0, len(steps), 3):
        (a, b), (c, d), (e, f) = steps[first : first + 3]
        assert (b, d, f) == (c, e, a)
        assert {a, c, e} == {0, 1, 2}


def test_points_that_an_image_hides_do_not_count() -> None:
    seen: list[int] = []

    def transfer(source: int, target: int, points: Doubles) -> Doubles:
        seen.append(len(points))
        return points

    assert cycle_pck(images(3, hide=1), transfer, 3, [0.1]) == [100]
    assert set(seen) == {1}


def test_many_cycles_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle_consistency, "MOST_CYCLES", 20)

    def followed(seed: int) -> list[tuple[int, int]]:
        steps: list[tuple[int, int]] = []

        def transfer(source: int, target: int, points: Doubles) -> Doubles:
            steps.append((source, target))
            return points

        cycle_pck(images(6), transfer, 2, [0.1], seed)
        return steps

    assert len(followed(0)) == 2 * 20
    assert followed(0) == followed(0)
    assert followed(0) != followed(1)
    assert all(a != b for a, b in followed(0))


def test_a_cycle_needs_its_images() -> None:
    assert cycle_pck(images(2), drift, 3, [0.1]) is None
    with pytest.raises(CongealError, match="two images at least, not 1"):
        cycle_pck(images(2), drift, 1, [0.1])
