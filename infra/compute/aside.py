"""A call in a process of its own, forked from the one that workers are forked from.

What the call imports and holds goes with that process: where workers do the work, the process that plans it
has no need of torch, which takes half a gigabyte.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from congeal_floors import answer
from infra.compute.forked_workers import start
from infra.compute.picklable_errors import picklable
from infra.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Aside:
    """Makes such calls. preloaded: modules that workers share. died: the sentence for a process that dies."""

    preloaded: Sequence[str]
    died: str

    def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``function``, of a module, returns there; what it raises is raised here.

        Arguments and result are picklable. Raises ``UserError`` if the process dies.
        """
        start(self.preloaded)
        context = multiprocessing.get_context("forkserver")
        mine, theirs = context.Pipe(duplex=False)
        task = pickle.dumps((_outcome, function, args, kwargs))
        process = context.Process(target=answer, args=(theirs, task), daemon=True)
        process.start()
        theirs.close()
        try:
            outcome = mine.recv()
        except EOFError as fault:
            raise UserError(self.died) from fault
        finally:
            process.kill()
            process.join()
            mine.close()
        if isinstance(outcome, _Raised):
            raise outcome.error
        return cast("R", outcome)


@dataclass(frozen=True)
class _Raised:
    """An error on its way back."""

    error: Exception


def _outcome(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return _Raised(picklable(error))
