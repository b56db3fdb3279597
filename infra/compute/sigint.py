"""Ctrl-C that is not lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


class Interrupts:
    """Whether SIGINT has come, even where Python threw its KeyboardInterrupt away.

    The exception is raised wherever the main thread happens to be. In a callback of the garbage collector,
    and Dask has one, it ends as a line on stderr, and the program goes on waiting for its workers.
    """

    def __init__(self) -> None:
        self.pending = False
        self.waits = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block an interrupt waits, so that nothing is left half made.

        Raises ``KeyboardInterrupt`` at the end if one has come.
        """
        self.waits = True
        try:
            yield
        finally:
            self.waits = False
        self.check()

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if one has come and was lost."""
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started within the block never hear of SIGINT, from their first moment on.

    A terminal sends it to all that runs there, and one that still imports what it needs would answer with a
    traceback. For this process it waits until the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def kept_interrupts() -> Iterator[Interrupts]:
    """Record SIGINT within the block, besides what is done about it anyway; only in the main thread."""
    interrupts = Interrupts()
    previous = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or not callable(previous):
        yield interrupts
        return

    def record(number: int, frame: FrameType | None) -> None:
        interrupts.pending = True
        if not interrupts.waits:
            previous(number, frame)

    signal.signal(signal.SIGINT, record)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, previous)
