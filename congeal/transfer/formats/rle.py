"""COCO's run-length encoding of masks: runs of 0 and 1 in turn down the columns, plain or packed as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError

Flags = npt.NDArray[np.bool_]

MOST_PIXELS = 178_956_970
OFFSET = 48  # a packed character stands for its code less this


def encode(mask: Flags) -> dict[str, Any]:
    """A mask [h, w] as {"size": [h, w], "counts": packed text}."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": [int(side) for side in mask.shape], "counts": _packed(counts)}


def decode(runs: Any) -> Flags:
    """The mask, bool [h, w], of packed or plain runs; CongealError for what is none."""
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


def _packed(counts: list[int]) -> str:
    """From the fourth run on, the difference to the run before the last; digits of 5 bits, lowest first."""
    text = []
    for place, count in enumerate(counts):
        value = count - (counts[place - 2] if place > 2 else 0)
        while True:
            digit, value = value & 31, value >> 5
            # The highest bit of the last digit is the sign.
            last = value == (-1 if digit & 16 else 0)
            text.append(chr(OFFSET + (digit if last else digit | 32)))
            if last:
                break
    return "".join(text)


def _unpacked(text: str) -> list[int]:
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
