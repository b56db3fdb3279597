"""Local and network file systems, with the atomic operations that the commits stand on.

fsspec's own local files do not flush to the disk, and its `pipe_file(mode="create")` looks first and writes
then (2026.9): two writers may both be told that theirs is the object.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path

from infra.storage.folder_listing import PARTIAL, ObjectInfo, OnSkip, Skipped, walk
from infra.storage.storage_errors import attempt
from infra.storage.usage import GET, PUT, meter

__all__ = ["FileStore", "ObjectInfo", "Skipped"]


class FileStore:
    """Absolute POSIX paths. What it raises is raw ``OSError``."""

    def kind(self, path: str) -> str | None:
        """Whether it is an "object", "folder", or None for nothing."""
        try:
            mode = Path(path).stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "folder" if stat.S_ISDIR(mode) else "object"

    def size(self, path: str) -> int:
        """Bytes of the object."""
        return Path(path).stat().st_size

    def modified(self, path: str) -> datetime | None:
        """When the object was changed, UTC."""
        return datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)

    def info(self, path: str) -> ObjectInfo | None:
        """The object as a listing has it; None for a folder."""
        facts = Path(path).stat()
        if stat.S_ISDIR(facts.st_mode):
            return None
        return ObjectInfo(path, facts.st_size, f"{facts.st_mtime_ns}-{facts.st_size}", None)

    def read(self, path: str) -> bytes:
        """The whole object."""
        data = Path(path).read_bytes()
        meter.add("file", GET, read=len(data))
        return data

    def read_range(self, path: str, start: int, stop: int | None) -> bytes:
        """The object from one byte to another; a start below 0 counts from the end."""
        with Path(path).open("rb") as file:
            if start < 0:
                start = max(0, file.seek(0, os.SEEK_END) + start)
            file.seek(start)
            data = file.read() if stop is None else file.read(max(0, stop - start))
        meter.add("file", GET, read=len(data))
        return data

    def open(self, path: str) -> BufferedReader:
        """A seekable file."""
        return Path(path).open("rb")

    def write(self, path: str, data: bytes) -> None:
        """Write or replace the object, whole."""
        partial = _write_partial(Path(path).parent, data)
        try:
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def create(self, path: str, data: bytes) -> bool:
        """Write the object unless there is one; True if written."""
        return attempt(lambda: self._create(path, data))

    def _create(self, path: str, data: bytes) -> bool:
        if os.path.lexists(path):
            return False
        partial = _write_partial(Path(path).parent, data)
        try:
            # A hard link appears whole or not at all, and only one writer gets the name.
            Path(path).hardlink_to(partial)
        except FileExistsError:
            return False
        except OSError as fault:
            if fault.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise OSError(errno.ENOSYS, "its file system has no hard links") from fault
            raise
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(Path(path).parent)
        return True

    def objects(
        self, path: str, on_skip: OnSkip | None = None, follow_links: bool = True
    ) -> Iterator[ObjectInfo]:
        """Every object below, streamed; see ``infra.storage.folder_listing.walk``."""
        return walk(path, on_skip, follow_links)

    def children(self, path: str) -> list[str]:
        """Names one level down."""
        try:
            entries = attempt(lambda: list(Path(path).iterdir()))
            return [entry.name for entry in entries if not PARTIAL.match(entry.name)]
        except FileNotFoundError:
            return []

    def delete(self, path: str) -> None:
        """Remove the object and everything below."""
        attempt(lambda: self._delete(Path(path)))

    def _delete(self, place: Path) -> None:
        try:
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
        except FileNotFoundError:
            return


def partials(folder: Path, before: datetime) -> list[Path]:
    """What killed writers have left below a folder until some time; no other listing shows it."""
    found = []
    for place, _, names in os.walk(folder):
        for name in filter(PARTIAL.match, names):
            path = Path(place) / name
            try:
                if path.lstat().st_mtime <= before.timestamp():
                    found.append(path)
            except OSError:
                continue
    return found


def _write_partial(folder: Path, data: bytes) -> Path:
    """Write ``data`` to a new file with a passing name, on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    meter.add("file", PUT, written=len(data))
    partial = folder / f".{secrets.token_hex(8)}.partial"
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
