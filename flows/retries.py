"""How often a stage is tried, and for which faults: of a run under Prefect and of one without it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from infra.errors import UserError

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


def with_retries(name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run one stage here, again where it is worth another try; the last error is raised.

    Only what is not yet committed is done anew.
    """
    for delay in DELAYS:
        try:
            return released(function, *args, **kwargs)
        except Exception as error:
            if not worth_another_try(error):
                raise
        time.sleep(delay)
    return released(function, *args, **kwargs)
