"""Local and network file systems, with the atomic operations that the commits stand on."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path


@dataclass(frozen=True)
class ObjectInfo:
    """One stored object.

    path: relative to the place that was listed, POSIX. bytes: its size. token: changes when the object does.
    etag: the store's, unquoted; None where the store has none.
    """

    path: str
    bytes: int
    token: str
    etag: str | None


_PARTIAL = re.compile(r"^\.[0-9a-f]{16}\.partial$")


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

    def read(self, path: str) -> bytes:
        """The whole object."""
        return Path(path).read_bytes()

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

    def objects(self, path: str) -> Iterator[ObjectInfo]:
        """Every object below, streamed."""
        root = Path(path).resolve()
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                entries = os.scandir(root / folder)
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    relative = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(relative)
                    elif info := _info(entry, relative, root):
                        yield info

    def children(self, path: str) -> list[str]:
        """Names one level down."""
        try:
            return [entry.name for entry in Path(path).iterdir() if not _PARTIAL.match(entry.name)]
        except FileNotFoundError:
            return []

    def delete(self, path: str) -> None:
        """Remove the object and everything below."""
        place = Path(path)
        try:
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()
        except FileNotFoundError:
            return


def _write_partial(folder: Path, data: bytes) -> Path:
    """Write ``data`` to a new file with a passing name, on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
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


def _info(entry: os.DirEntry[str], relative: str, root: Path) -> ObjectInfo | None:
    if _PARTIAL.match(entry.name):
        return None
    try:
        facts = entry.stat()
    except OSError as fault:
        # A link that leads nowhere or round in a circle, or a file that has just gone.
        if fault.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    if not stat.S_ISREG(facts.st_mode):
        return None
    if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
        return None
    # A name that is no UTF-8 fits in no table; escaped, it is listed and then refused by name.
    shown = os.fsencode(relative).decode("utf-8", "backslashreplace")
    return ObjectInfo(shown, facts.st_size, f"{facts.st_mtime_ns}-{facts.st_size}", None)
