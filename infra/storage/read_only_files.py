"""A file system for query engines: given objects, under names of its own, that can only be read.

A query engine needs no path of a destination: it gets these names, and no way to write.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem

from infra.errors import DamagedError
from infra.storage.location import Location
from infra.storage.seals import SealedRanges
from infra.storage.storage_errors import attempt, translated

PROTOCOL = "published"
# Published objects never change; an engine's cache asks when they did.
_CHANGED = datetime(2000, 1, 1, tzinfo=UTC)


class Sized(NamedTuple):
    """An object and its size in bytes, which need not be asked for again."""

    place: Location
    bytes: int


class PublishedFiles(AbstractFileSystem):  # type: ignore[misc]
    """fsspec's view of some objects, each under its key. Everything that would change one is refused."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, objects: Mapping[str, Sized]) -> None:
        super().__init__()
        self._objects = dict(objects)
        # What was found damaged: engines pass on no more than its text.
        self.damage: list[DamagedError] = []

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        """The object, to be read; PermissionError for any other mode."""
        if mode != "rb":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return _Reader(self._object(path), self.damage)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type of the object."""
        return {"name": self._strip_protocol(path), "size": self._object(path).bytes, "type": "file"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The object itself: there are no folders."""
        return [self.info(path) if detail else self._strip_protocol(path)]

    def glob(self, path: str, **_: Any) -> list[str]:
        """The object itself: names are not patterns."""
        key = self._strip_protocol(path)
        return [key] if key in self._objects else []

    def exists(self, path: str, **_: Any) -> bool:
        """True if there is such an object."""
        return self._strip_protocol(path) in self._objects

    def modified(self, path: str) -> datetime:
        """The same for all."""
        self._object(path)
        return _CHANGED

    def _object(self, path: str) -> Sized:
        key = self._strip_protocol(path)
        if key not in self._objects:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._objects[key]


class _Reader(io.RawIOBase):
    """An object, read in ranges: a remote store gets one request for each, and is asked nothing else.

    DuckDB's threads share it and seek before they read, so each has a position of its own. Threads are told
    apart by their numbers: those that are not Python's lose what threading.local keeps.
    """

    def __init__(self, found: Sized, damage: list[DamagedError]) -> None:
        super().__init__()
        self._size = found.bytes
        self._damage = damage
        seal = found.place.seal
        self._sealed = None if seal is None else SealedRanges(found.place.url, seal, self._range)
        self._at: dict[int, int] = {}
        self._file: int | None = None
        local = found.place.local_path()
        if local is not None:
            with translated("read", found.place.url):
                self._file = os.open(local, os.O_RDONLY)
            return
        filesystem, self._path = found.place.arrow_filesystem()
        self._filesystem: Any = filesystem.handler.fs

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + (0, self.tell(), self._size)[whence]
        self._at[threading.get_ident()] = at
        return at

    def tell(self) -> int:
        return self._at.get(threading.get_ident(), 0)

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()
        stop = self._size if size is None or size < 0 else min(start + size, self._size)
        if stop <= start:
            return b""
        try:
            data = self._range(start, stop) if self._sealed is None else self._sealed.range(start, stop)
        except DamagedError as error:
            self._damage.append(error)
            raise
        self._at[threading.get_ident()] = start + len(data)
        return data

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        super().close()

    def _range(self, start: int, stop: int) -> bytes:
        if self._file is not None:
            return os.pread(self._file, stop - start, start)
        return bytes(attempt(lambda: self._filesystem.cat_file(self._path, start=start, end=stop)))
