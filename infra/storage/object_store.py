"""Object stores through fsspec: S3 page by page through s3fs, and every other protocol fsspec knows."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, Protocol

from fsspec import AbstractFileSystem

from infra.storage.folder_listing import NOT_FOLLOWED, ObjectInfo, OnSkip, Skipped
from infra.storage.retrying_reads import protocols
from infra.storage.storage_errors import attempt, is_conflict, is_taken

_CHANGED = ("mtime", "created", "LastModified")  # what file systems call the time of a change


class Store(Protocol):
    """What ``Location`` asks of a store. Paths are without protocol; faults come out raw.

    What takes several requests makes its attempts itself, request by request: create, objects, children and
    delete. For the others ``Location`` does.
    """

    def kind(self, path: str) -> str | None:
        """Whether it is an "object", "folder", or None for nothing."""

    def size(self, path: str) -> int:
        """Bytes of the object."""

    def modified(self, path: str) -> datetime | None:
        """When the object was changed, UTC; None where the store does not say."""

    def info(self, path: str) -> ObjectInfo | None:
        """The object as a listing has it; None for a folder."""

    def read(self, path: str) -> bytes:
        """The whole object."""

    def read_range(self, path: str, start: int, stop: int | None) -> bytes:
        """The object from one byte to another; a start below 0 counts from the end."""

    def open(self, path: str) -> IO[bytes]:
        """A seekable file."""

    def write(self, path: str, data: bytes) -> None:
        """Write or replace the object, whole."""

    def create(self, path: str, data: bytes) -> bool:
        """Write the object unless there is one; True if written."""

    def objects(
        self, path: str, on_skip: OnSkip | None = None, follow_links: bool = True
    ) -> Iterator[ObjectInfo]:
        """Every object below, streamed."""

    def children(self, path: str) -> list[str]:
        """Names one level down."""

    def delete(self, path: str) -> None:
        """Remove the object and everything below."""


class S3Store:
    """Paths are ``bucket/key``."""

    def __init__(self, filesystem: Any) -> None:
        self.filesystem = filesystem

    def kind(self, path: str) -> str | None:
        """Whether it is an "object", "folder", or None for nothing."""
        bucket, key = _split(path)
        try:
            if not key:
                self._call("head_bucket", Bucket=bucket)
                return "folder"
            self._call("head_object", Bucket=bucket, Key=key)
            return "object"
        except FileNotFoundError:
            if not key:
                return None
        try:
            answer = self._call("list_objects_v2", Bucket=bucket, Prefix=key + "/", MaxKeys=1)
        except FileNotFoundError:
            return None
        return "folder" if answer.get("KeyCount") else None

    def size(self, path: str) -> int:
        """Bytes of the object."""
        bucket, key = _split(path)
        return int(self._call("head_object", Bucket=bucket, Key=key)["ContentLength"])

    def modified(self, path: str) -> datetime | None:
        """When the object was changed, UTC."""
        bucket, key = _split(path)
        return _utc(self._call("head_object", Bucket=bucket, Key=key).get("LastModified"))

    def info(self, path: str) -> ObjectInfo | None:
        """The object as a listing has it."""
        bucket, key = _split(path)
        found = self._call("head_object", Bucket=bucket, Key=key)
        etag = found["ETag"].strip('"')
        return ObjectInfo(path, int(found["ContentLength"]), etag, etag)

    def read(self, path: str) -> bytes:
        """The whole object."""
        return bytes(self.filesystem.cat_file(path, max_concurrency=self.filesystem.reads_at_once))

    def read_range(self, path: str, start: int, stop: int | None) -> bytes:
        """The object from one byte to another; a start below 0 counts from the end."""
        return bytes(self.filesystem.cat_file(path, start=start, end=stop))

    def open(self, path: str) -> IO[bytes]:
        """A seekable file."""
        file: IO[bytes] = self.filesystem.open(path, "rb")
        return file

    def write(self, path: str, data: bytes) -> None:
        """Write or replace the object, whole."""
        self.filesystem.pipe_file(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Write the object unless there is one; True if written."""
        # An answer lost on its way makes the next attempt meet our own object; then it is ours.
        attempts = 0

        def put() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                self.filesystem.pipe_file(path, data, mode="create")
            except OSError as fault:
                if not is_taken(fault):
                    raise
                return attempts > 1 and self._holds(path, data)
            return True

        return attempt(put, is_conflict)

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path) == data
        except FileNotFoundError:
            return False

    def objects(
        self, path: str, on_skip: OnSkip | None = None, follow_links: bool = True
    ) -> Iterator[ObjectInfo]:
        """Every object below, streamed."""
        bucket, key = _split(path)
        prefix = f"{key}/" if key else ""
        for page in self._pages(bucket, prefix):
            for found in page.get("Contents", ()):
                name = found["Key"][len(prefix) :]
                # Consoles mark an empty "folder" by an object whose name ends in a slash.
                if name and not name.endswith("/"):
                    etag = found["ETag"].strip('"')
                    yield ObjectInfo(name, int(found["Size"]), etag, etag)

    def children(self, path: str) -> list[str]:
        """Names one level down."""
        bucket, key = _split(path)
        prefix = f"{key}/" if key else ""
        names: list[str] = []
        for page in self._pages(bucket, prefix, Delimiter="/"):
            names += [found["Prefix"][len(prefix) : -1] for found in page.get("CommonPrefixes", ())]
            names += [found["Key"][len(prefix) :] for found in page.get("Contents", ())]
        return [name for name in names if name]

    def delete(self, path: str) -> None:
        """Remove the object and everything below."""
        bucket, key = _split(path)
        if key:
            attempt(lambda: self._call("delete_object", Bucket=bucket, Key=key))
        for page in self._pages(bucket, f"{key}/" if key else ""):
            keys = [{"Key": found["Key"]} for found in page.get("Contents", ())]
            if keys:
                self._delete_many(bucket, keys)

    def _delete_many(self, bucket: str, keys: list[dict[str, str]]) -> None:
        answer = attempt(
            lambda: self._call("delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        )
        for fault in answer.get("Errors", ()):
            kind = PermissionError if fault.get("Code") == "AccessDenied" else OSError
            raise kind(f"{fault.get('Key')}: {fault.get('Message')}")

    def _pages(self, bucket: str, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            arguments = {"Bucket": bucket, "Prefix": prefix, **options, **token}
            page = attempt(lambda arguments=arguments: self._call("list_objects_v2", **arguments))  # type: ignore[misc]
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.filesystem.call_s3(method, **arguments)
        return answer


class FsspecStore:
    """Any other fsspec file system; ``memory://`` is the one that everything is written to in tests."""

    # fsspec's memory checks and then writes; one lock a process makes that one step.
    _lock = threading.Lock()

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        self.filesystem: Any = filesystem

    def kind(self, path: str) -> str | None:
        """Whether it is an "object", "folder", or None for nothing."""
        try:
            return "folder" if self.filesystem.info(path)["type"] == "directory" else "object"
        except FileNotFoundError:
            return None

    def size(self, path: str) -> int:
        """Bytes of the object."""
        return int(self.filesystem.info(path)["size"])

    def modified(self, path: str) -> datetime | None:
        """When the object was changed, UTC; None where the store does not say."""
        facts = self.filesystem.info(path)
        return _utc(next((facts[name] for name in _CHANGED if facts.get(name)), None))

    def info(self, path: str) -> ObjectInfo | None:
        """The object as a listing has it; None for a folder."""
        facts = self.filesystem.info(path)
        return None if facts["type"] == "directory" else _info(path, facts)

    def read(self, path: str) -> bytes:
        """The whole object."""
        return bytes(self.filesystem.cat_file(path))

    def read_range(self, path: str, start: int, stop: int | None) -> bytes:
        """The object from one byte to another; a start below 0 counts from the end."""
        return bytes(self.filesystem.cat_file(path, start=start, end=stop))

    def open(self, path: str) -> IO[bytes]:
        """A seekable file."""
        if "memory" in protocols(self.filesystem):
            # fsspec hands out the stored object itself, with one position for all readers.
            return io.BytesIO(self.read(path))
        file: IO[bytes] = self.filesystem.open(path, "rb")
        return file

    def write(self, path: str, data: bytes) -> None:
        """Write or replace the object, whole."""
        self.filesystem.pipe_file(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Write the object unless there is one; True if written."""
        return attempt(lambda: self._create(path, data))

    def _create(self, path: str, data: bytes) -> bool:
        with self._lock:
            try:
                self.filesystem.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
        return True

    def objects(
        self, path: str, on_skip: OnSkip | None = None, follow_links: bool = True
    ) -> Iterator[ObjectInfo]:
        """Every object below, streamed."""
        skip = on_skip or (lambda _: None)
        root = self.filesystem._strip_protocol(path)
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = self._entries(f"{root}/{folder}" if folder else root)
            except FileNotFoundError:
                continue
            except PermissionError:
                if not folder:
                    raise
                skip(Skipped(folder, "a folder that cannot be listed: no permission"))
                continue
            for facts in entries:
                whole = facts["name"].rstrip("/")
                name = whole.rsplit("/", 1)[-1]
                relative = f"{folder}/{name}" if folder else name
                if facts["type"] == "directory":
                    folders.append(relative)
                elif facts["type"] == "link" and not follow_links:
                    skip(Skipped(relative, NOT_FOLLOWED))
                elif whole != root.rstrip("/"):
                    yield _info(relative, facts)

    def _entries(self, path: str) -> list[dict[str, Any]]:
        return list(attempt(lambda: self.filesystem.ls(path, detail=True)))

    def children(self, path: str) -> list[str]:
        """Names one level down."""
        try:
            entries = self._entries(path)
        except FileNotFoundError:
            return []
        return [entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries]

    def delete(self, path: str) -> None:
        """Remove the object and everything below."""
        try:
            attempt(lambda: self.filesystem.rm(path, recursive=True))
        except FileNotFoundError:
            return


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("/")
    return bucket, key


def _info(path: str, facts: dict[str, Any]) -> ObjectInfo:
    size = int(facts["size"] or 0)
    etag = facts.get("ETag") or facts.get("etag")
    changed = etag or next((facts[name] for name in _CHANGED if facts.get(name)), None)
    return ObjectInfo(path, size, f"{changed}-{size}", etag.strip('"') if etag else None)


def _utc(time: Any) -> datetime | None:
    if isinstance(time, int | float):
        return datetime.fromtimestamp(time, UTC)
    if not isinstance(time, datetime):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
