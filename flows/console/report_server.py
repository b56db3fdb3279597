"""A server for a report on this machine alone: files of one folder, whole or in ranges, read only."""

from __future__ import annotations

import functools
import os
import re
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from infra.errors import UserError
from infra.storage.location import Location
from tasks.report.report_key import FOLDER, INDEX

HOST = "127.0.0.1"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webp": "image/webp",
    ".txt": "text/plain; charset=utf-8",
}


def root_of(destination: Location, out: Location | None) -> tuple[Path, str]:
    """The folder that is served, and the path of the page in it. UserError for what lies elsewhere."""
    place = destination if out is None else out
    folder = place.local_path()
    if folder is None:
        raise UserError(
            f"--serve serves what lies on this machine, not {place}: open the page straight from the bucket "
            "(docs/report.md has the CORS rule), or make it here with --out DIR."
        )
    return folder, f"/{FOLDER}/{INDEX}" if out is None else f"/{INDEX}"


def serve(destination: Location, out: Location | None, port: int = 0) -> None:
    """Say where the report is, and serve until the process is interrupted."""
    folder, page = root_of(destination, out)
    try:
        server = server_of(folder, port)
    except OSError as error:
        raise UserError(
            f"Port {port} cannot be used ({error.strerror}): give another, or leave --port out."
        ) from error
    with server:
        sys.stderr.write(f"http://{HOST}:{server.server_port}{page} (Ctrl+C ends it)\n")
        sys.stderr.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def server_of(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder on the loopback interface, not yet serving. port 0: any that is free."""
    return ThreadingHTTPServer((HOST, port), functools.partial(_Handler, directory=str(folder)))


# These have names of their own content; pages, pointers and markers change under theirs.
_LASTING = (".js", ".css", ".webp")


class _Handler(SimpleHTTPRequestHandler):
    """GET and HEAD of files, with one range; no listing of folders, nothing outside the folder."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "congeal", ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Nothing: a page asks for hundreds of files."""

    def do_GET(self) -> None:
        """A file, or a range of it."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """What GET would say of it."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if not self._is_own():
            self.send_error(HTTPStatus.FORBIDDEN, "Only this machine's own pages are served")
            return
        path = self._file()
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            part = _part(self.headers.get("Range"), size)
            if part is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start, stop, whole = part
            self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Type", _KINDS.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("X-Content-Type-Options", "nosniff")
            lasts = path.suffix in _LASTING
            self.send_header("Cache-Control", "max-age=3600" if lasts else "no-cache")
            if not whole:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.end_headers()
            if body:
                _copy(file, self.wfile, start, stop)

    def _is_own(self) -> bool:
        """Whether the request names this machine: a foreign page whose name was bent here does not."""
        host = (self.headers.get("Host") or "").partition(":")[0]
        return host in (HOST, "localhost")

    def _file(self) -> Path | None:
        root = Path(self.directory).resolve()
        path = Path(self.translate_path(urlsplit(self.path).path)).resolve()
        # Links may lead out of the folder.
        return path if path.is_file() and path.is_relative_to(root) else None


def _part(asked: str | None, size: int) -> tuple[int, int, bool] | None:
    """Start, stop and whether that is all; None for a range that there is not. Several ranges: all."""
    found = _RANGE.fullmatch(asked.strip()) if asked else None
    if found is None or found.groups() == ("", ""):
        return 0, size, True
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return (size - length, size, False) if length else None
    start, stop = int(first), min(int(last) + 1 if last else size, size)
    return (start, stop, False) if start < stop else None


def _copy(source: IO[bytes], target: Any, start: int, stop: int) -> None:
    source.seek(start)
    left = stop - start
    while left > 0:
        data = source.read(min(left, 1 << 20))
        if not data:
            return
        try:
            target.write(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # whoever asked has gone
        left -= len(data)
