from __future__ import annotations

from collections.abc import Callable

import pytest

from flows.runs import retries
from flows.runs.retries import retrying
from infra.errors import UserError


@pytest.fixture(autouse=True)
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("flows.runs.retries.time.sleep", waited.append)
    return waited


def failing(times: int, error: BaseException, calls: list[int]) -> Callable[[int], int]:
    def stage(number: int) -> int:
        calls.append(number)
        if len(calls) <= times:
            raise error
        return 2 * number

    return stage


NOTES: list[str] = []
with_retries = retrying(NOTES.append)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_fault_of_the_machinery_is_tried_again(times: int, delays: list[float]) -> None:
    calls: list[int] = []
    NOTES.clear()
    assert with_retries("features", failing(times, ConnectionResetError("gone"), calls), 21) == 42
    assert calls == [21] * (times + 1)
    assert delays == [2, 10][:times]
    said = [f"features: tried again in {delay} s, after ConnectionResetError: gone" for delay in (2, 10)]
    assert said[:times] == NOTES


def test_the_third_fault_ends_it(delays: list[float]) -> None:
    calls: list[int] = []
    with pytest.raises(ConnectionResetError, match="gone"):
        with_retries("features", failing(9, ConnectionResetError("gone"), calls), 1)
    assert len(calls) == 1 + len(retries.DELAYS) == 3
    assert delays == retries.DELAYS


@pytest.mark.parametrize("error", [UserError("free some space"), KeyboardInterrupt()])
def test_what_the_user_does_or_has_to_cure_is_not_tried_again(
    error: BaseException, delays: list[float]
) -> None:
    calls: list[int] = []
    with pytest.raises(type(error)):
        with_retries("features", failing(9, error, calls), 1)
    assert (calls, delays) == ([1], [])


def test_an_error_that_is_kept_holds_nothing_of_its_frames() -> None:
    class Large:
        pass

    def stage() -> None:
        large = Large()
        raise UserError(f"{type(large).__name__} does not fit")

    with pytest.raises(UserError) as caught:
        with_retries("features", stage)
    frames = []
    trace = caught.value.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    assert not any(isinstance(value, Large) for frame in frames for value in frame.f_locals.values())
