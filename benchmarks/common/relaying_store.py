"""A proxy before an S3 server, for stores that are slow or fail: what it hands on and how it answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Relay(BaseHTTPRequestHandler):
    """Requests are handed on to a server and its answers back, as far as a subclass asks for it."""

    protocol_version = "HTTP/1.1"

    def handed_on(self, upstream: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what the server at ``upstream`` (host:port) answers."""
        above = http.client.HTTPConnection(upstream)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
        headers["Content-Length"] = str(len(body))
        above.request(self.command, self.path, body, headers)
        answer = above.getresponse()
        data = answer.read()
        above.close()
        return answer.status, dict(answer.getheaders()), data

    def body(self) -> bytes:
        """What came with the request, in one piece or in many."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size + 2)[:-2])
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status: int, headers: Mapping[str, str], data: bytes, shown: int | None = None) -> None:
        """Answer; shown: so many bytes of the data alone, whatever the length that is told."""
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
            self.wfile.write(data[:shown])
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing is said of single requests."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """The URL of a server that answers while the block runs."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
