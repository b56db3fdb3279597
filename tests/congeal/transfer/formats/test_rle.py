from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from congeal.errors import CongealError
from congeal.transfer.formats.rle import decode, encode


@settings(max_examples=80)
@given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_there_and_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(mask)), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(max_examples=80)
@given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_others_write_the_masks_that_we_read(mask: np.ndarray) -> None:
    size = list(mask.shape)
    packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    np.testing.assert_array_equal(decode({"size": size, "counts": packed}), mask)
    flat = mask.ravel(order="F")
    plain = np.diff(np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1])), prepend=0).tolist()
    np.testing.assert_array_equal(decode({"size": size, "counts": plain}), mask)
    again = coco_mask.decode({"size": size, "counts": encode(mask)["counts"]})
    np.testing.assert_array_equal(again, mask)


def test_long_runs_and_falling_ones() -> None:
    mask = np.zeros((300, 200), bool)
    mask[10:290, 5] = True
    mask[3:5, 100] = True
    mask[:, 150:] = True
    np.testing.assert_array_equal(decode(encode(mask)), mask)


def test_the_format_is_the_one_of_others() -> None:
    # Runs 6, 1, 40, 4, 5, 4, 5, 4, 21 are an example in the documentation of the format's authors.
    plain = [6, 1, 40, 4, 5, 4, 5, 4, 21]
    mask = decode({"size": [9, 10], "counts": plain})
    assert encode(mask)["counts"] == "61X13mN000`0"
    np.testing.assert_array_equal(decode({"size": [9, 10], "counts": "61X13mN000`0"}), mask)
    assert mask[6, 0]
    assert mask.sum() == 13


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([1, 2], "size"),
        ({"size": [2, 2]}, "size"),
        ({"size": [2, 2], "counts": [1, 2]}, "do not add up"),
        ({"size": [2, 2], "counts": [5, -1]}, "do not add up"),
        ({"size": [2, 2], "counts": "12"}, "do not add up"),
        ({"size": [2, 2], "counts": "5"}, "do not add up"),
        ({"size": [2, 2], "counts": "1o"}, "size"),
        ({"size": [2, 2], "counts": "\x7f"}, "size"),
        ({"size": [2, 2], "counts": "oooooooooooooooo"}, "size"),
        ({"size": [10**9, 10**9], "counts": [10**18]}, "cannot be read"),
    ],
)
def test_what_is_no_mask(runs: Any, words: str) -> None:
    with pytest.raises(CongealError, match=words):
        decode(runs)
