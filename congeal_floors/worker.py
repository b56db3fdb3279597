"""What Dask loads in each worker that a run starts on this machine."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ctrl-C reaches all processes of a terminal, but only ours answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
