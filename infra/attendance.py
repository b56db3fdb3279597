"""Whether a Dask cluster has any workers at all: without them a client waits, and says nothing, for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

LOOK = 15.0  # seconds between two looks
PATIENCE = 300.0  # seconds without a worker: longer than a restart takes anywhere


class Attendance:
    """Calls `give_up`, once, when a client's cluster has had no worker for PATIENCE seconds.

    deserted: whether that has happened.
    """

    def __init__(self, client: Any, give_up: Callable[[], object]) -> None:
        self.deserted = False
        self.patience = PATIENCE
        self._client = client
        self._give_up = give_up
        self._closed = Event()
        self._thread = Thread(target=self._watch, name="attendance", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _watch(self) -> None:
        seen = time.monotonic()
        while not self._closed.wait(LOOK):
            try:
                present = bool(self._client.nthreads())
            except (OSError, TimeoutError):
                present = False
            if present:
                seen = time.monotonic()
            elif time.monotonic() - seen > self.patience:
                self.deserted = True
                self._give_up()
                return
