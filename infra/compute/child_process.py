"""A process that calls functions for this one: the memory of what they import and need goes with it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from infra.compute.numeric_libraries import settle_arenas
from infra.compute.picklable_errors import picklable
from infra.compute.sigint import kept_from_children
from infra.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

# Not a method of multiprocessing: those have a process more beside it, or import the main module again.
_START = (
    "import sys, congeal_floors.first; "
    "from infra.compute.child_process import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_TICK = 1.0  # seconds between two looks at whether whoever started it is still there
_PATIENCE = 5.0  # seconds that it has to end by itself


class ChildProcess:
    """Use as a context manager; at the end the process is gone.

    folder: where its temporary files lie, which it leaves to whoever starts it.
    """

    def __init__(self, folder: Path) -> None:
        self._here, there = Pipe()
        path = os.pathsep.join(place for place in sys.path if place)
        arguments = [str(there.fileno()), str(os.getpid())]
        try:
            with kept_from_children():  # whoever was interrupted ends this one
                self._process = subprocess.Popen(  # noqa: S603 - Python itself
                    [sys.executable, "-P", "-c", _START, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # standard output is for answers
                    pass_fds=[there.fileno()],
                    env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(folder)},
                )
        except BaseException:
            self._here.close()
            raise
        finally:
            there.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the process, whatever it does."""
        self._here.close()
        try:
            self._process.wait(_PATIENCE if kind is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, or its error. function: of a module; it and all it is given are pickled.

        Raises UserError if the process ends instead.
        """
        try:
            self._here.send_bytes(pickle.dumps((function, args, kwargs)))
            error, result = pickle.loads(self._here.recv_bytes())  # noqa: S301 - of our own process
        except (EOFError, ConnectionError) as fault:
            status = self._process.wait()
            raise UserError(
                f"The process that this was tried in has ended (exit code {status}), most likely of an image "
                "or for want of memory: give it more, or fewer images."
            ) from fault
        if error is not None:
            raise error
        found: R = result
        return found


def serve(descriptor: int, parent: int) -> None:
    """Call what is asked for, one after the other, until nobody asks any more; the process then ends."""
    settle_arenas()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    while True:
        try:
            task = connection.recv_bytes()
            connection.send_bytes(_answer(task))
        except (EOFError, ConnectionError):
            os._exit(0)


def _answer(task: bytes) -> bytes:
    result: Any
    try:
        function, args, kwargs = pickle.loads(task)  # noqa: S301 - of our own process
        error, result = None, function(*args, **kwargs)
        return pickle.dumps((error, result))
    except Exception as fault:
        if not isinstance(fault, UserError):
            fault.add_note(traceback.format_exc())
        traceback.clear_frames(fault.__traceback__)
        return pickle.dumps((picklable(fault), None))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_TICK)
    os._exit(1)
