"""A store that fails as one elsewhere does: a proxy before an S3 server that answers some requests badly."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

from benchmarks.common.relaying_store import Relay, serving

EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Faults:
    """Shares of requests: answered 503, connections reset, bodies cut short; and what comes late.

    late: share that waits so many `seconds`. expires_at: from this request on, credentials have expired.
    """

    unavailable: float = 0.0
    reset: float = 0.0
    cut: float = 0.0
    late: float = 0.0
    seconds: float = 2.0
    expires_at: int | None = None
    seed: int = 0
    met: Counter[str] = field(default_factory=Counter)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.faults = urlsplit(upstream).netloc, faults
        self.chance = random.Random(faults.seed)
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was cut off is no news."""


class _Handler(Relay):
    server: _Server

    def _handle(self) -> None:
        faults = self.server.faults
        body = self.body()
        with self.server.lock:
            number = faults.met["requests"]
            faults.met["requests"] += 1
            met = self._met(self.server.chance.random(), number)
            late = self.server.chance.random() < faults.late
            faults.met[met] += 1
            faults.met["late"] += late
        if late:
            time.sleep(faults.seconds)
        if met == "expired":
            self.answer(400, {}, EXPIRED)
            return
        if met == "unavailable":
            self.answer(503, {}, SLOW_DOWN)
            return
        if met == "reset":
            self._hang_up()
            return
        status, headers, data = self.handed_on(self.server.upstream, body)
        cut = met == "cut" and bool(data)
        self.answer(status, headers, data, len(data) // 2 if cut else None)
        if cut:
            self._hang_up()

    def _met(self, drawn: float, number: int) -> str:
        faults = self.server.faults
        if faults.expires_at is not None and number >= faults.expires_at:
            return "expired"
        for name in ("unavailable", "reset", "cut"):
            share = getattr(faults, name)
            if drawn < share:
                return name if name != "cut" or self.command == "GET" else "answered"
            drawn -= share
        return "answered"

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 - names of http.server

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def faulty(upstream: str, faults: Faults) -> Iterator[str]:
    """The URL of a server that answers as ``upstream`` does, with these faults."""
    with serving(_Server(upstream, faults)) as url:
        yield url
