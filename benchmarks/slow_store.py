"""A store that takes its time, as one elsewhere does: a proxy before an S3 server that waits and counts."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COUNT = "/-/requests"  # answers with the number of requests so far, and is none


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.latency = urlsplit(upstream).netloc, latency
        self.count = 0
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        if self.path == COUNT:
            self._answer(200, {}, str(self.server.count).encode())
            return
        with self.server.lock:
            self.server.count += 1
        time.sleep(self.server.latency)
        length = int(self.headers.get("Content-Length") or 0)
        above = http.client.HTTPConnection(self.server.upstream)
        above.request(self.command, self.path, self.rfile.read(length), dict(self.headers))
        answer = above.getresponse()
        self._answer(answer.status, dict(answer.getheaders()), answer.read())
        above.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 - names of http.server

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        length = str(len(data))
        for name, value in headers.items():
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is said of single requests."""


@contextmanager
def slowed(upstream: str, latency: float) -> Iterator[str]:
    """The URL of a server that answers as ``upstream`` does, ``latency`` seconds later."""
    server = _Server(upstream, latency)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
