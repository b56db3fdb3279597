"""Where a result comes from: when, where and with what it was made, and what it cost."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Self

from infra.storage.usage import Usage

if TYPE_CHECKING:
    import psutil

LOOKS = 10  # at memory, of which one looks for new children, too


class Stopwatch:
    """Adds up seconds by phase; phases may run in several threads at once.

    started: UTC, ISO 8601. seconds: wall time since the watch was made. timings: seconds by phase.
    """

    def __init__(self) -> None:
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self._begin = time.perf_counter()
        self._timings: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's wall time under ``name``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - begin)

    def add(self, name: str, seconds: float) -> None:
        """Count ``seconds`` that were measured elsewhere under ``name``."""
        with self._lock:
            self._timings[name] = self._timings.get(name, 0.0) + seconds

    @property
    def seconds(self) -> float:
        """Wall time since the watch was made."""
        return time.perf_counter() - self._begin

    @property
    def timings(self) -> dict[str, float]:
        """Seconds by phase so far."""
        with self._lock:
            return dict(self._timings)


@dataclass(frozen=True)
class Provenance:
    """What a marker says about the making of its unit; nothing of it enters the unit's outputs."""

    code_version: str
    host: str
    python: str
    platform: str
    started: str
    seconds: float
    timings: dict[str, float]
    peak_memory_bytes: int
    device: str = ""
    requests: dict[str, dict[str, int]] = field(default_factory=dict)
    read_bytes: int = 0
    written_bytes: int = 0

    @classmethod
    def of(cls, watch: Stopwatch, peak: int | None = None, used: Usage | None = None) -> Provenance:
        """The facts of this process and of ``watch``; ``peak`` in bytes, None: this process's.

        used: of stores, for the unit.
        """
        used = used or Usage()
        return cls(
            code_version=code_version(),
            host=socket.gethostname(),
            python=platform.python_version(),
            platform=platform.platform(),
            started=watch.started,
            seconds=round(watch.seconds, 6),
            timings={name: round(seconds, 6) for name, seconds in sorted(watch.timings.items())},
            peak_memory_bytes=peak_memory_bytes() if peak is None else peak,
            device=device(),
            requests={protocol: dict(kinds) for protocol, kinds in used.requests.items()},
            read_bytes=used.read_bytes,
            written_bytes=used.written_bytes,
        )


def device() -> str:
    """The accelerator that this process has used, "cuda"; else "cpu"."""
    torch = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_initialized() else "cpu"


@lru_cache(maxsize=1)
def code_version() -> str:
    """The installed package's version, or "unknown" for a bare checkout."""
    try:
        return importlib.metadata.version("congeal")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def peak_memory_bytes() -> int:
    """The largest resident size that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """The resident size of this process now."""
    import psutil

    return int(psutil.Process(os.getpid()).memory_info().rss)


class PeakMemory:
    """Samples the resident size of this process and its children during the block; ``bytes``: the peak.

    To find the children every process of the machine is looked at, so that is done in one look of LOOKS.
    """

    def __init__(self, interval: float = 0.2) -> None:
        self.bytes = 0
        self._interval = interval
        self._looks = 0
        self._known: list[psutil.Process] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._looks = 0
        self._sample()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._sample()

    def _sample(self) -> None:
        import psutil

        if self._looks % LOOKS == 0:
            me = psutil.Process(os.getpid())
            self._known = [me, *me.children(recursive=True)]
        self._looks += 1
        total = 0
        for process in self._known:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                # It has ended since it was listed.
                continue
        self.bytes = max(self.bytes, total)
