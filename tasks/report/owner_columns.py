"""Columns of the collection's owner as the map of the report shows them: a number of two bytes an image.

0 says that there is no value. A value out of a list is its position there, from 1 on; ALL_OTHERS stands for
those that are too many to be listed. Of numbers, dates and times it is ``lo + (q - 1)·step``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MOST_VALUES = 500  # of a column that are listed, the most frequent ones
LONGEST = 100  # characters of a value that are shown
FEW = 12  # different whole numbers that are values of a list rather than amounts
ALL_OTHERS = 0xFFFF
LEVELS = ALL_OTHERS - 1
LARGEST = 1e300  # numbers farther from 0 are shown as this
VALUES, NUMBER, DATE, TIME = "values", "number", "date", "time"

Codes = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class OwnerColumn:
    """A column: codes uint16 [n], and what they mean.

    kind: VALUES, NUMBER, DATE (days since 1970-01-01) or TIME (seconds since then). values, counts: of
    VALUES, what code k + 1 is and how many images have it; others: how many different values ALL_OTHERS
    stands for. lo, step: of the other kinds.
    """

    name: str
    kind: str
    codes: Codes
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    others: int = 0
    lo: float = 0.0
    step: float = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """As the report's index has them."""
        facts: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.kind == VALUES:
            return facts | {"values": self.values, "counts": self.counts, "others": self.others}
        return facts | {"lo": self.lo, "step": self.step}


def owner_column(name: str, column: pa.ChunkedArray) -> OwnerColumn:
    """A column [n] of one of the types of `congeal.results.schema.own_fields.KINDS`."""
    kind = column.type
    if pa.types.is_date(kind):
        return _amounts(name, DATE, _doubles(column.cast(pa.int32())), whole=True)
    if pa.types.is_timestamp(kind):
        return _amounts(name, TIME, np.floor(_doubles(column.cast(pa.int64())) / 1e6), whole=True)
    if pa.types.is_floating(kind):
        return _amounts(name, NUMBER, _doubles(column), whole=False)
    if pa.types.is_integer(kind) and pc.count_distinct(column).as_py() > FEW:
        return _amounts(name, NUMBER, _doubles(column), whole=True)
    return _listed(name, column)


def _doubles(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    values = column.cast(pa.float64(), safe=False).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _amounts(name: str, kind: str, values: npt.NDArray[np.float64], *, whole: bool) -> OwnerColumn:
    known = np.isfinite(values)
    # The page adds and multiplies what it is given: nothing of that may leave the doubles.
    values = values.clip(-LARGEST, LARGEST)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    step = (high - low) / (LEVELS - 1)
    if whole:
        step = max(1.0, math.ceil(step))
    step = step or 1.0
    codes = np.zeros(len(values), np.uint16)
    codes[known] = 1 + np.rint((values[known] - low) / step).clip(0, LEVELS - 1).astype(np.uint16)
    return OwnerColumn(name, kind, codes, lo=low, step=step)


def _listed(name: str, column: pa.ChunkedArray) -> OwnerColumn:
    """The most frequent values, the most frequent first; numbers in their own order."""
    counted = column.drop_null().value_counts()
    pairs = [(one["values"], int(one["counts"])) for one in counted.to_pylist()]
    chosen = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]
    if pa.types.is_integer(column.type):
        chosen.sort()
    codes = np.zeros(len(column), np.uint16)
    at = pc.index_in(column, value_set=pa.array([value for value, _ in chosen], column.type))
    found = pc.fill_null(at, -1).to_numpy()
    codes[:] = np.where(found >= 0, found + 1, ALL_OTHERS)
    codes[pc.is_null(column).to_numpy()] = 0
    return OwnerColumn(
        name,
        VALUES,
        codes,
        tuple(_said(value) for value, _ in chosen),
        tuple(count for _, count in chosen),
        len(pairs) - len(chosen),
    )


def _said(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
