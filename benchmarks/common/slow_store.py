"""A store that takes its time, as one elsewhere does: a proxy before an S3 server that waits and counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

from benchmarks.common.relaying_store import Relay, serving

COUNT = "/-/requests"  # answers with the number of requests so far, and is none


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.latency = urlsplit(upstream).netloc, latency
        self.count = 0
        self.lock = threading.Lock()


class _Handler(Relay):
    server: _Server

    def _handle(self) -> None:
        if self.path == COUNT:
            self.answer(200, {}, str(self.server.count).encode())
            return
        with self.server.lock:
            self.server.count += 1
        time.sleep(self.server.latency)
        self.answer(*self.handed_on(self.server.upstream, self.body()))

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 - names of http.server


@contextmanager
def slowed(upstream: str, latency: float) -> Iterator[str]:
    """The URL of a server that answers as ``upstream`` does, ``latency`` seconds later."""
    with serving(_Server(upstream, latency)) as url:
        yield url
