"""The owner's columns as the report's map has them: every value is found again by the page's rules."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.report.owner_columns import ALL_OTHERS, LARGEST, MOST_VALUES, OwnerColumn, owner_column


def column(values: list[object], kind: pa.DataType) -> OwnerColumn:
    return owner_column("n", pa.chunked_array([pa.array(values, kind)]))


def amounts(found: OwnerColumn) -> list[float]:
    return [math.nan if code == 0 else found.lo + (code - 1) * found.step for code in found.codes.tolist()]


@settings(max_examples=20)
@given(st.lists(st.floats() | st.none(), min_size=1, max_size=20))
@example([0.0, 1.7976931348623157e308])
@example([-1.7976931348623157e308, None, 1.7976931348623157e308])
@example([5e-324, 0.0])
def test_numbers_are_found_again(values: list[float | None]) -> None:
    found = column(list(values), pa.float64())
    assert found.facts["kind"] == "number"
    for value, code, amount in zip(values, found.codes, amounts(found), strict=True):
        if value is None or not math.isfinite(value):
            assert code == 0
        else:
            assert amount == pytest.approx(min(max(value, -LARGEST), LARGEST), abs=found.step)


@pytest.mark.parametrize(
    ("values", "kind", "name"),
    [
        ([datetime.date(1850, 1, 1), None, datetime.date(2024, 2, 29)], pa.date32(), "date"),
        (
            [datetime.datetime(2024, 1, 1, 10, 20, 30), datetime.datetime(2024, 1, 2)],
            pa.timestamp("us"),
            "time",
        ),
        (list(range(-40, 60)), pa.int64(), "number"),
    ],
)
def test_days_seconds_and_whole_numbers_are_exact(values: list[object], kind: pa.DataType, name: str) -> None:
    found = column(values, kind)
    assert found.kind == name
    whole = pa.array(values, kind)
    whole = whole.cast(pa.int32() if name == "date" else pa.int64()).to_pylist()
    wanted = [None if one is None else one / 1e6 if name == "time" else one for one in whole]
    assert [None if math.isnan(one) else one for one in amounts(found)] == wanted


def test_values_are_listed_by_how_many_have_them() -> None:
    found = column(["b", "a", None, "b", "<i>"], pa.string())
    assert (found.values, found.counts, found.others) == (("b", "<i>", "a"), (2, 1, 1), 0)
    assert found.codes.tolist() == [1, 3, 0, 1, 2]
    years = column([2024, 2023, 2024], pa.int64())
    assert (years.values, years.codes.tolist()) == (("2023", "2024"), [2, 1, 2])
    assert column([True, False], pa.bool_()).values == ("false", "true")
    many = column([f"{number:05d}" for number in range(MOST_VALUES + 7)], pa.string())
    assert (len(many.values), many.others) == (MOST_VALUES, 7)
    assert np.count_nonzero(many.codes == ALL_OTHERS) == 7
