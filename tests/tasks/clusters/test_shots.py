from __future__ import annotations

import numpy as np
import pytest

from tasks.clusters.cluster_roles import changing_first
from tasks.clusters.shots import shot_numbers


def course(kinds: list[int], step: float = 0.02) -> np.ndarray:
    """Embeddings of frames that show things of some kinds, each frame a little other than the one before."""
    random = np.random.default_rng(0)
    centres = np.eye(16, dtype=np.float32)[kinds]
    drift = np.cumsum(step * random.standard_normal(centres.shape), axis=0)
    found = centres + drift
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def test_cuts_are_found() -> None:
    assert shot_numbers(course([0] * 8 + [1] * 7 + [0] * 6)) == [0] * 8 + [1] * 7 + [2] * 6


def test_a_flash_and_slow_change_are_no_cuts() -> None:
    flash = course([0] * 8 + [3] + [0] * 8)
    assert shot_numbers(flash) == [0] * 17
    angle = np.linspace(0, np.pi / 2, 12)
    turning = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    assert shot_numbers(turning) == [0] * 12


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_frames(count: int) -> None:
    assert shot_numbers(course([0] * count)) == [0] * count


def test_builders_are_chosen_by_change_and_not_by_stride() -> None:
    still = course([0] * 20 + [1] + [2], step=0.0)
    order = changing_first(still, 3)
    assert order[0] == 0
    assert set(order[1:3].tolist()) == {20, 21}
    assert sorted(order.tolist()) == list(range(22))
