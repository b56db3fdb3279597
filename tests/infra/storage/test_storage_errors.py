from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from infra.errors import StorageError
from infra.settings import StorageSettings
from infra.storage.location import Location
from infra.storage.storage_errors import ATTEMPTS


class FaultyFileSystem(MemoryFileSystem):
    """Memory that first raises what it is given."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    faults: ClassVar[list[Exception]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        path = path.removeprefix("faulty://").strip("/")
        return "/" + path if path else ""

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        self._fail()
        return bytes(super().cat_file(path, start, end, **options))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._fail()
        super().pipe_file(path, value, mode, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._fail()
        return super().ls(path, detail, **options)


@pytest.fixture
def faults(no_waiting: None) -> Iterator[list[Exception]]:
    """What the faulty store will raise next."""
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.faults.clear()
    FaultyFileSystem.store.clear()
    yield FaultyFileSystem.faults
    FaultyFileSystem.faults.clear()


@pytest.fixture
def place(faults: list[Exception]) -> Location:
    place = Location.parse("faulty://bucket/x")
    place.write_bytes(b"here")
    return place


PASSING = [
    OSError(errno.EBUSY, "Please reduce your request rate."),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError("timed out"),
    OSError(errno.EREMOTEIO, "Internal error"),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: type(fault).__name__)
def test_a_fault_that_passes_is_tried_again(
    place: Location, faults: list[Exception], fault: Exception
) -> None:
    faults += [fault, fault]
    assert place.read_bytes() == b"here"
    faults += [fault, fault]
    place.write_bytes(b"again")
    faults += [fault, fault]
    assert Location.parse("faulty://bucket/y").put_if_absent(b"new")
    assert faults == []
    assert place.read_bytes() == b"again"


def test_a_fault_that_stays_ends_in_a_sentence(place: Location, faults: list[Exception]) -> None:
    faults += [OSError(errno.EBUSY, "Please reduce your request rate.")] * 9
    with pytest.raises(StorageError) as caught:
        place.read_bytes()
    assert str(caught.value) == (
        f"The store of faulty://bucket/x failed {ATTEMPTS} times to read (Please reduce your request rate): "
        "try again later."
    )
    assert len(faults) == 9 - ATTEMPTS


def write(place: Location) -> None:
    place.write_bytes(b"1")


def put(place: Location) -> None:
    place.put_if_absent(b"1")


def read(place: Location) -> None:
    place.read_bytes()


def listing(place: Location) -> None:
    list(place.objects())


SENTENCES: list[tuple[Exception, Callable[[Location], None], str]] = [
    (
        OSError(errno.ENOSPC, "No space left on device"),
        write,
        "No space left on faulty://bucket/x: free some or",
    ),
    (
        OSError(errno.ENOSPC, "No space left on device"),
        put,
        "No space left on faulty://bucket/x: free some or",
    ),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), write, "the quota is used up; free some"),
    (
        PermissionError(errno.EACCES, "Permission denied"),
        read,
        "No permission to read faulty://bucket/x: grant",
    ),
    (PermissionError(errno.EACCES, "Permission denied"), write, "No permission to write faulty://bucket/x: "),
    (PermissionError("Access Denied"), listing, "No permission to list faulty://bucket/x: "),
    (OSError(errno.EROFS, "Read-only file system"), write, "read-only file system: choose another"),
    (OSError(errno.ENAMETOOLONG, "File name too long"), write, "too long for its store"),
    (
        OSError(errno.EIO, "Input/output error"),
        read,
        "Cannot read faulty://bucket/x: Input/output error; check",
    ),
    (NotImplementedError(), put, "cannot write as congeal needs it: use another store"),
]


@pytest.mark.parametrize(("fault", "act", "sentence"), SENTENCES)
def test_faults_become_sentences(
    place: Location,
    faults: list[Exception],
    fault: Exception,
    act: Callable[[Location], None],
    sentence: str,
) -> None:
    faults.append(fault)
    with pytest.raises(StorageError) as caught:
        act(place)
    assert sentence in str(caught.value)
    assert caught.value.__cause__ is fault


def test_a_programming_error_stays_what_it_is(place: Location, faults: list[Exception]) -> None:
    faults.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        place.read_bytes()


class _Scripted(BaseHTTPRequestHandler):
    """Answers like an S3 server that follows a script: a status and an error code for each request."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[list[tuple[int, str]]] = []
    requests: ClassVar[list[str]] = []

    def _answer(self) -> None:
        self._read_body()
        type(self).requests.append(self.command)
        status, code = self.script.pop(0) if self.script else (200, "")
        body = f"<Error><Code>{code}</Code><Message>{code} said</Message></Error>".encode() if code else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"abc"')
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _read_body(self) -> None:
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    do_GET = do_PUT = do_HEAD = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def scripted(no_waiting: None) -> Iterator[Location]:
    _Scripted.script.clear()
    _Scripted.requests.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Scripted)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings = StorageSettings(endpoint_url=f"http://127.0.0.1:{server.server_port}")
    yield Location.parse("s3://bucket/x", settings)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.s3
class TestS3:
    """The same through the real S3 client."""

    def test_slow_down_twice_then_success(self, scripted: Location) -> None:
        _Scripted.script += [(503, "SlowDown"), (503, "SlowDown")]
        scripted.write_bytes(b"data")
        assert _Scripted.requests == ["PUT"] * 3

    def test_an_error_of_the_server_is_tried_again(self, scripted: Location) -> None:
        _Scripted.script += [(500, "InternalError"), (503, "ServiceUnavailable")]
        assert scripted.put_if_absent(b"data")

    def test_two_conditional_writes_that_met_are_sent_again(self, scripted: Location) -> None:
        _Scripted.script += [(409, "ConditionalRequestConflict")]
        assert scripted.put_if_absent(b"data")
        assert _Scripted.requests == ["PUT"] * 2

    def test_attempts_do_not_multiply_over_the_layers(self, scripted: Location) -> None:
        _Scripted.script += [(503, "SlowDown")] * 100
        with pytest.raises(StorageError, match="failed 5 times to write"):
            scripted.write_bytes(b"data")
        assert len(_Scripted.requests) == ATTEMPTS

    def test_no_permission(self, scripted: Location) -> None:
        _Scripted.script += [(403, "AccessDenied")]
        with pytest.raises(StorageError, match="No permission to write s3://bucket/x"):
            scripted.write_bytes(b"data")
        assert len(_Scripted.requests) == 1

    def test_refused_credentials(self, scripted: Location) -> None:
        _Scripted.script += [(403, "InvalidAccessKeyId")]
        with pytest.raises(StorageError, match=r"refused the credentials.*AWS_ACCESS_KEY_ID"):
            scripted.write_bytes(b"data")

    def test_no_conditional_writes(self, scripted: Location) -> None:
        _Scripted.script += [(501, "NotImplemented")]
        with pytest.raises(StorageError, match="cannot write as congeal needs it"):
            scripted.put_if_absent(b"data")
        assert len(_Scripted.requests) == 1

    def test_no_credentials(self, scripted: Location, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with pytest.raises(
            StorageError, match=r"no credentials for s3://bucket/x: set AWS_ACCESS_KEY_ID and"
        ):
            scripted.read_bytes()

    def test_an_endpoint_that_cannot_be_reached(self, no_waiting: None) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            place = Location.parse("s3://b/x", StorageSettings(endpoint_url=f"http://127.0.0.1:{port}"))
            with pytest.raises(StorageError, match=r"endpoint of s3://b/x cannot be reached: check storage"):
                place.write_bytes(b"1")

    def test_an_endpoint_that_is_no_url(self) -> None:
        place = Location.parse("s3://b/x", StorageSettings(endpoint_url="nonsense"))
        with pytest.raises(StorageError, match=r"Invalid endpoint: nonsense: set storage\.endpoint_url"):
            place.read_bytes()

    def test_a_profile_that_does_not_exist(self, scripted: Location, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(StorageError, match=r"nobody.*set AWS_PROFILE"):
            scripted.read_bytes()
