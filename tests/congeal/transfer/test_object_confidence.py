from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from congeal.transfer.object_confidence import object_confidence

SIDE = 6
shares = arrays(np.float32, (SIDE, SIDE), elements=st.floats(0, 1, width=32))


def test_the_room_around_the_object_does_not_count() -> None:
    saliency = np.zeros((SIDE, SIDE))
    saliency[2:4, 2:4] = 0.5
    confidence = np.zeros((2, SIDE, SIDE))
    confidence[:, 2:4, 2:4] = [[[0.9]], [[0.4]]]
    assert object_confidence(confidence, saliency, 0.1).tolist() == pytest.approx([0.9, 0.4])


def test_a_cell_counts_as_much_as_it_is_salient() -> None:
    saliency, confidence = np.zeros((SIDE, SIDE)), np.zeros((1, SIDE, SIDE))
    saliency[0, :3] = 0.75, 0.25, 0.05  # the last is below what shows the object
    confidence[0, 0, :3] = 1.0, 0.2, 0.0
    assert object_confidence(confidence, saliency, 0.1).tolist() == pytest.approx([0.8])


@given(shares, shares)
def test_it_is_a_mean(confidence: np.ndarray, saliency: np.ndarray) -> None:
    (found,) = object_confidence(confidence[None], saliency, 0.1)
    assert confidence.min() - 1e-6 <= found <= confidence.max() + 1e-6


def test_without_an_object_it_is_the_plain_mean() -> None:
    confidence = np.linspace(0, 1, SIDE * SIDE).reshape(1, SIDE, SIDE)
    assert object_confidence(confidence, np.zeros((SIDE, SIDE)), 0.1).tolist() == pytest.approx([0.5])
