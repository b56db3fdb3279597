"""The end of a command's process: what it wrote is out, and its libraries are not taken down."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable


def run_to_exit(command: Callable[[], object]) -> None:
    """Call ``command``; the process then ends with the exit code that Python itself would give it.

    Arrow's threads may be in the last steps of a scan when a command has its answer. The destructors of a
    process that ends in that moment abort it, "terminate called without an active exception", exit code 134
    (pyarrow 26.0.1 and before; https://github.com/apache/arrow/issues/39862). So what Python does at its end
    is done, threads waited for, everything registered with ``atexit`` called, both streams flushed, and the
    process ends there: destructors of native libraries have nothing to add. A stream that cannot be flushed
    and an error that nobody caught take the usual way out.

    Call it before libraries are imported: what they register with ``atexit`` is to run first.
    """
    end = _End()
    atexit.register(end)
    try:
        command()
        end.code = 0
    except SystemExit as given:
        end.code = _exit_code(given)
        raise


class _End:
    def __init__(self) -> None:
        self.code: int | None = None
        self.process = os.getpid()

    def __call__(self) -> None:
        """Called last of all that is registered with ``atexit``."""
        if self.code is None or self.process != os.getpid():
            return
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                # A fault is reported by the interpreter's own flush, which follows, as exit code 120.
                stream.flush()
        os._exit(self.code)


def _exit_code(given: SystemExit) -> int:
    """As ``sys.exit`` documents it: nothing is 0, a number itself, anything else is printed and 1."""
    if given.code is None:
        return 0
    return given.code & 0xFF if isinstance(given.code, int) else 1
