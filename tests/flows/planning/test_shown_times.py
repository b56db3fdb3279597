"""Times of a plan as a person reads them."""

from __future__ import annotations

import pytest

from flows.planning.shown import _time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.0, "9.0 s"), (70, "70 s"), (150, "2.5 min"), (7200, "2.0 h"), (1e6, "277.8 h")],
)
def test_times_are_said_in_the_unit_that_a_person_would_use(seconds: float, words: str) -> None:
    assert _time(seconds) == words
