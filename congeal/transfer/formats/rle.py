"""COCO's run-length encoding of masks: runs of 0 and 1 in turn down the columns, plain or packed as text."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from congeal.errors import CongealError
from congeal.geometry.arrays import Flags

MOST_PIXELS = 178_956_970
OFFSET = 48  # a packed character stands for its code less this


def encode(mask: Flags) -> dict[str, Any]:
    """A mask [h, w] as {"size": [h, w], "counts": packed text}."""
    counts: Any = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return {"size": [int(side) for side in mask.shape], "counts": counts.decode("ascii")}


def decode(runs: Any) -> Flags:
    """The mask, bool [h, w], of packed or plain runs; CongealError for what is none."""
    # Not by pycocotools: 2.0.11 accepts runs that end before the mask does, and the rest is memory that was
    # never written. They must be counted first; then numpy is as fast (both 1.3 ms for 1000 x 1500 pixels).
    try:
        height, width = (int(side) for side in runs["size"])
        counts = runs["counts"]
        numbers = _unpacked(counts) if isinstance(counts, str) else [int(count) for count in counts]
    except (KeyError, TypeError, ValueError) as error:
        raise CongealError("a run-length mask has a size [height, width] and counts") from error
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise CongealError(f"a run-length mask of {width} x {height} pixels cannot be read")
    if min(numbers, default=0) < 0 or sum(numbers) != height * width:
        raise CongealError(f"the runs of a mask do not add up to its {width} x {height} pixels")
    values = np.arange(len(numbers)) % 2 == 1
    return np.repeat(values, numbers).reshape((height, width), order="F")


def _unpacked(text: str) -> list[int]:
    """From the fourth run on, the difference to the run before the last; digits of 5 bits, lowest first."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - OFFSET
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError(character)
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError(text[-1:])
    return counts
