"""A store that fails as one elsewhere does: a proxy before an S3 server that answers some requests badly."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        faults = self.server.faults
        body = self._body()
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
            self._answer(400, {}, EXPIRED)
            return
        if met == "unavailable":
            self._answer(503, {}, SLOW_DOWN)
            return
        if met == "reset":
            self._hang_up()
            return
        above = http.client.HTTPConnection(self.server.upstream)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        above.request(self.command, self.path, body, headers)
        answer = above.getresponse()
        data = answer.read()
        above.close()
        self._answer(answer.status, dict(answer.getheaders()), data, cut=met == "cut")

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

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size + 2)[:-2])
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 - names of http.server

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        length = str(len(data))
        for name, value in headers.items():
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut and data:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is said of single requests."""


@contextmanager
def faulty(upstream: str, faults: Faults) -> Iterator[str]:
    """The URL of a server that answers as ``upstream`` does, with these faults."""
    server = _Server(upstream, faults)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
