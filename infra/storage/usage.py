"""What this process has asked of its stores: requests by kind, and bytes; for what a unit and a run cost."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

GET, HEAD, PUT, LIST, DELETE = "get", "head", "put", "list", "delete"


@dataclass(frozen=True)
class Usage:
    """requests: how many by protocol and kind. read_bytes, written_bytes: out of stores, and into them."""

    requests: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    read_bytes: int = 0
    written_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return self._with(other, 1)

    def __sub__(self, other: Usage) -> Usage:
        return self._with(other, -1)

    def _with(self, other: Usage, sign: int) -> Usage:
        merged = {protocol: dict(kinds) for protocol, kinds in self.requests.items()}
        for protocol, kinds in other.requests.items():
            mine = merged.setdefault(protocol, {})
            for kind, count in kinds.items():
                mine[kind] = mine.get(kind, 0) + sign * count
        counted = {
            protocol: {kind: count for kind, count in sorted(kinds.items()) if count}
            for protocol, kinds in sorted(merged.items())
        }
        return Usage(
            {protocol: kinds for protocol, kinds in counted.items() if kinds},
            self.read_bytes + sign * other.read_bytes,
            self.written_bytes + sign * other.written_bytes,
        )


NOTHING = Usage()


class _Meter:
    """Counts of a process, from all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str], int] = {}
        self._read = self._written = 0

    def add(self, protocol: str, kind: str, *, read: int = 0, written: int = 0) -> None:
        """Count a request."""
        with self._lock:
            self._requests[protocol, kind] = self._requests.get((protocol, kind), 0) + 1
            self._read += read
            self._written += written

    @property
    def total(self) -> Usage:
        """All since the process began."""
        with self._lock:
            requests: dict[str, dict[str, int]] = {}
            for (protocol, kind), count in self._requests.items():
                requests.setdefault(protocol, {})[kind] = count
            return Usage(requests, self._read, self._written)


meter = _Meter()
