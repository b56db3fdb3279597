"""Whether a Dask cluster has any workers at all: without them a client waits, and says nothing, for ever."""

from __future__ import annotations

import time
from typing import Any

from infra.errors import UserError

LOOK = 15.0  # seconds between two looks
PATIENCE = 300.0  # seconds without a worker: longer than a restart takes anywhere


class Attendance:
    """Looks now and then whether a client's cluster has workers."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._looked = self._seen = time.monotonic()

    def check(self) -> None:
        """Raise ``UserError`` if there has been no worker for PATIENCE seconds."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        if self._present():
            self._seen = now
        elif now - self._seen > PATIENCE:
            raise UserError(
                f"All Dask workers have been gone for {PATIENCE:.0f} s: see why they died (memory?) "
                "and run again; nothing that is done is lost."
            )

    def _present(self) -> bool:
        try:
            return bool(self._client.nthreads())
        except (OSError, TimeoutError):
            return False
