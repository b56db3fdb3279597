from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numcodecs import Zstd

from congeal.errors import CongealError
from congeal.report.quantization import (
    FORWARD_STEP,
    backward_step,
    packed_places,
    packed_shares,
    unpacked,
)

FIELDS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.just(2)),
    elements=st.floats(-5_000, 5_000, width=32),
)


@given(FIELDS)
def test_places_come_back_to_within_half_a_step(field: np.ndarray) -> None:
    found = unpacked(packed_places(field, FORWARD_STEP))
    spread = np.ptp(field.astype(np.float64), axis=(1, 2), keepdims=True)
    assert (np.abs(found - field) <= np.maximum(FORWARD_STEP, spread / 65_535) / 2 + 1e-6).all()


@given(FIELDS)
def test_shares_come_back_to_within_half_a_step(field: np.ndarray) -> None:
    shares = np.abs(field) / 5_000
    assert np.abs(unpacked(packed_shares(shares)) - shares).max() <= 0.5 / 255 + 1e-6


def test_what_is_no_number_is_in_range() -> None:
    field = np.array([[[[np.nan, 3.0], [5.0, np.inf]]]], np.float32)
    found = unpacked(packed_places(field, 0.5))
    assert found[0, 0, 1, 0] == 5
    assert found[0, 0, 0, 1] == 3
    assert np.isfinite(found).all()
    assert unpacked(packed_shares(field[..., :1]))[0, 0, 0, 0] == 0
    assert np.isfinite(unpacked(packed_places(np.full((1, 2, 2, 2), np.nan), 0.5))).all()


def test_a_page_undoes_it_as_the_documentation_says() -> None:
    field = np.array([[[[0.0], [2.0]], [[1.0], [4.0]]]])  # n, h, w, c
    facts = packed_places(field, 1.0).facts()
    assert facts["shape"] == [1, 2, 2, 1]
    data = np.frombuffer(Zstd().decode(base64.b64decode(facts["data"])), np.uint8).astype(int)
    low, high = data[:4], data[4:]
    e = low + 256 * high
    assert e.tolist() == [0, 2, 1, 1]  # 4 = 2 + 1 - 0 + 1
    q = [[e[0], e[0] + e[1]], [e[0] + e[2], e[3] + (e[0] + e[1]) + (e[0] + e[2]) - e[0]]]
    assert facts["lo"][0] + np.array(q) * facts["step"][0] == pytest.approx(field[0, ..., 0])


def test_a_smooth_map_is_small() -> None:
    v, u = np.mgrid[:64, :64] / 64
    field = np.stack([300 * u + 20 * np.sin(3 * v), 200 * v + 10 * u * v], -1)[None]
    assert len(packed_places(field, FORWARD_STEP).data) < 8_000


def test_the_step_in_the_atlas_follows_the_largest_image() -> None:
    assert backward_step([500, 1_000]) == pytest.approx(backward_step([500]) / 2)
    assert backward_step([1_000]) * 1_000 / 2 == pytest.approx(0.05)


def test_another_shape_is_refused() -> None:
    with pytest.raises(CongealError, match="shape"):
        packed_places(np.zeros((2, 2, 2)), 1.0)
