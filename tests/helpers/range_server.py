"""A folder over http, with or without byte ranges: what a bucket is to a page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".webp": "image/webp"}


class Handler(BaseHTTPRequestHandler):
    """GET of files below `root`; `bytes=a-b` and `bytes=-n` are understood if `ranges` is true."""

    root: Path
    ranges: bool
    hidden: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        path = self.root / name
        if not path.is_file() or (self.hidden and self.hidden in name):
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = path.stat().st_size
        first, last = 0, whole - 1
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")) if self.ranges else None
        if asked:
            start, end = asked.groups()
            first = int(start) if start else max(0, whole - int(end))
            last = min(int(end), whole - 1) if start and end else whole - 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            self.wfile.write(file.read(last - first + 1))

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(root: Path, *, ranges: bool = True, hidden: str = "") -> Iterator[str]:
    """The address of a server of `root`, until the block ends; paths with `hidden` in them are missing."""
    kind = type("Bound", (Handler,), {"root": root, "ranges": ranges, "hidden": hidden})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
