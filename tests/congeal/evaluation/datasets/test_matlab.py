from __future__ import annotations

import contextlib
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_sets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from congeal.errors import CongealError
from congeal.evaluation.datasets import load
from congeal.evaluation.datasets.matlab import matrix


def saved(compress: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=compress)
    return buffer.getvalue()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "u1", "i2", "i8"])
def test_what_scipy_writes_is_read(compress: bool, kind: str) -> None:
    values = np.arange(10).reshape(2, 5).astype(kind)
    data = saved(compress, note="by hand", other=np.eye(3), pts_coord=values, cell={"a": 1})
    np.testing.assert_array_equal(matrix(data, "pts_coord"), values)
    np.testing.assert_array_equal(matrix(data, "other"), np.eye(3))


def test_what_matlab_packs_into_small_elements_is_read() -> None:
    # Two bytes in a small element, as MATLAB stores whole doubles; the name in a small one, too.
    inside = (
        bytes.fromhex("0600000008000000 0600000000000000".replace(" ", ""))
        + bytes.fromhex("0500000008000000 0200000001000000".replace(" ", ""))
        + bytes.fromhex("01000200")
        + b"xy\0\0"
        + bytes.fromhex("02000200")
        + bytes([7, 9, 0, 0])
    )
    element = (14).to_bytes(4, "little") + len(inside).to_bytes(4, "little") + inside
    data = b"MATLAB 5.0".ljust(126) + b"IM" + element
    assert matrix(data, "xy").tolist() == [[7.0], [9.0]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no MATLAB file of version 5"),
        (b"x" * 300, "no MATLAB file of version 5"),
        (saved(pts_coord=np.eye(2))[:150], "cut short"),
        (saved(other=np.eye(2)), "no matrix pts_coord"),
        (saved(pts_coord="words"), "no matrix of real numbers"),
        (saved(pts_coord=np.eye(2) * 1j), "no matrix of real numbers"),
        (saved(pts_coord=np.zeros((2, 2, 2))), "no matrix of real numbers"),
        (saved(compress=True, pts_coord=np.zeros((1000, 1000))), "more than 4 MiB"),
        (saved(pts_coord=np.eye(2)).replace(b"\x02\0\0\0\x02\0\0\0", b"\x02\0\0\0\x09\0\0\0"), "is damaged"),
    ],
)
def test_what_is_no_such_matrix_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        matrix(data, "pts_coord")


@settings(max_examples=200)
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_are_refused_or_read(compress: bool, changes: list[tuple[int, int]]) -> None:
    data = bytearray(saved(compress, pts_coord=np.arange(20.0).reshape(2, 10) + 0.5, note="by hand"))
    for at, value in changes:
        data[126 + at % (len(data) - 126)] = value
    with contextlib.suppress(CongealError):
        assert matrix(bytes(data), "pts_coord").ndim == 2


def test_the_file_is_named(tmp_path: Path) -> None:
    folder = sample_sets.willow(tmp_path / "set") / "disc(S)"
    for content, words in (
        (zlib.compress(b"no matlab"), r"2\.mat holds no keypoints: it is no MATLAB file"),
        (saved(pts_coord=np.zeros((2, 5000))), r"2\.mat holds no keypoints: its pts_coord is 2 x 5000"),
        (saved(pts_coord=np.zeros((4, 2))), "its pts_coord is 4 x 2"),
        (saved(pts_coord=np.full((2, 4), np.inf)), "no finite number"),
        (b"\0" * 2**21, "more than 1024 KiB"),
    ):
        (folder / "2.mat").write_bytes(content)
        with pytest.raises(CongealError, match=words):
            load(folder)
