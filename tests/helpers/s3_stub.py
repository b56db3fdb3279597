"""A small S3 server in this process that answers a conditional put as some server in the field does.

named: 412 that names the condition (Amazon, moto). unnamed: 412 without (Ceph's radosgw, ministack).
bare: 412 without any body. conflict: 409 once before each 412. ignored: 200, and the object is replaced
(rclone serve s3, s3rver, fauxqs).
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ERRORS = {
    "named": "<Code>PreconditionFailed</Code><Condition>If-None-Match</Condition>",
    "unnamed": "<Code>PreconditionFailed</Code>",
    "conflict": "<Code>PreconditionFailed</Code>",
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, condition: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.condition = condition
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.sent: list[tuple[str, dict[str, str]]] = []  # method and headers of each request
        self.listable = True
        self.fault: tuple[int, str] | None = None  # what every request is answered with
        self.trouble: list[str] = []  # what the next reads of objects meet: "503", "reset" or "cut"
        self.met = False
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self._body()
        address = urlsplit(self.path)
        key, query = unquote(address.path).lstrip("/"), parse_qs(address.query, keep_blank_values=True)
        with self.server.lock:
            self.server.requests.append(f"{self.command} {key}")
            self.server.sent.append(
                (self.command, {name.lower(): text for name, text in self.headers.items()})
            )
            trouble = self.server.trouble.pop(0) if self.command == "GET" and self.server.trouble else None
            if trouble is not None:
                self._fail(trouble)
            elif self.server.fault is not None:
                status, code = self.server.fault
                self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())
            elif self.command == "PUT":
                self._put(key, body)
            elif self.command == "POST" and "delete" in query:
                self._delete_many(key, body)
            elif self.command == "DELETE":
                self.server.objects.pop(key, None)
                self._answer(204)
            elif self.command == "GET" and "list-type" in query and not self.server.listable:
                self._answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
            elif self.command == "GET" and "list-type" in query:
                self._list(key.rstrip("/"), query)
            elif self.command == "HEAD" and "/" not in key:
                self._answer(200)
            else:
                self._get(key)

    def _fail(self, trouble: str) -> None:
        if trouble == "503":
            self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
            return
        self.close_connection = True
        if trouble == "cut":
            # Less than the header promises.
            self.send_response(206)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"PAR1")
        self.connection.shutdown(socket.SHUT_RDWR)

    def _put(self, key: str, body: bytes) -> None:
        condition = self.server.condition
        if self.headers.get("If-None-Match") == "*" and key in self.server.objects and condition != "ignored":
            if condition == "conflict" and not self.server.met:
                self.server.met = True
                self._answer(409)
                return
            self.server.met = False
            error = ERRORS.get(condition)
            self._answer(412, f"<Error>{error}<Message>no</Message></Error>".encode() if error else b"")
            return
        self.server.objects[key] = body
        self._answer(200, tag=body)

    def _get(self, key: str) -> None:
        data = self.server.objects.get(key)
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
            return
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._answer(200, data, tag=data)
            return
        last = len(data) - 1
        # Without a beginning it asks for so many bytes at the end.
        start = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
        stop = min(int(asked[2] or last), last) if asked[1] else last
        part = data[start : stop + 1]
        self._answer(206, part, {"Content-Range": f"bytes {start}-{stop}/{len(data)}"}, tag=data)

    def _delete_many(self, bucket: str, body: bytes) -> None:
        for key in re.findall(r"<Key>(.*?)</Key>", body.decode()):
            self.server.objects.pop(f"{bucket.rstrip('/')}/{key}", None)
        self._answer(200, b"<DeleteResult/>")

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        prefix = f"{bucket}/{query.get('prefix', [''])[0]}"
        found, folders = [], set()
        for key, data in sorted(self.server.objects.items()):
            rest = key[len(prefix) :]
            if not key.startswith(prefix):
                continue
            if "delimiter" in query and "/" in rest:
                folders.add(prefix[len(bucket) + 1 :] + rest.partition("/")[0] + "/")
                continue
            found.append(
                f"<Contents><Key>{escape(key[len(bucket) + 1 :])}</Key><Size>{len(data)}</Size>"
                f"<ETag>{_tag(data)}</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
            )
        common = [
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        ]
        count = f"<KeyCount>{len(found) + len(common)}</KeyCount><IsTruncated>false</IsTruncated>"
        text = f"<ListBucketResult>{count}{''.join(found)}{''.join(common)}</ListBucketResult>"
        self._answer(200, text.encode())

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        tag: bytes | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if tag is not None:
            self.send_header("ETag", _tag(tag))
            self.send_header("Last-Modified", formatdate(usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size + 2)[:-2])
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@contextmanager
def s3_stub(condition: str) -> Iterator[_Server]:
    """A running server; its URL is ``url_of(server)``. Every bucket exists."""
    server = _Server(condition)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def url_of(server: _Server) -> str:
    """The server's endpoint."""
    return f"http://127.0.0.1:{server.server_port}"
