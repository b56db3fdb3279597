"""How often a stage is tried, and for which faults: of a run under Prefect and of one without it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from infra.errors import UserError

if TYPE_CHECKING:
    from flows.runs.stages import Step

P = ParamSpec("P")
R = TypeVar("R")

DELAYS: list[float] = [2, 10]  # seconds before each further try


def worth_another_try(error: object) -> bool:
    """Whether a stage that ended so is tried again: what the user has to cure is not."""
    return not isinstance(error, UserError)


def released(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The function's result; if it fails, its frames let go of what they hold, as the error may be kept."""
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def retrying(note: Callable[[str], None]) -> Step:
    """The step of a run without Prefect: a stage is called here, again where it is worth another try.

    Only what is not yet committed is done anew. note: is told of every further try. The last error is raised.
    """

    def step(name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        for delay in DELAYS:
            try:
                return released(function, *args, **kwargs)
            except Exception as error:
                if not worth_another_try(error):
                    raise
                note(f"{name}: tried again in {delay:g} s, after {type(error).__name__}: {error}")
            time.sleep(delay)
        return released(function, *args, **kwargs)

    return step
