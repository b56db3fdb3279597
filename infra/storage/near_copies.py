"""Copies, on this machine's disk, of what a run has read from a store elsewhere or has written to it.

A copy only spares a request. It is named by what is in it, is checked as the object itself would be, and goes
with the run; where there is none, or no room for one, the store is asked.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NEAR = ("file", "memory")  # protocols of stores that are as near as a copy
_LOOKS = 64  # how often the folder is measured while it fills
_lock = threading.Lock()


@dataclass(frozen=True)
class Copies:
    """A folder for copies of at most so many bytes, which the processes of a run share. Picklable."""

    folder: str
    most: int


class _State:
    """What this process knows. bytes: in the folder, when it was measured; since: written here after that."""

    copies: Copies | None = None
    bytes = 0
    since = 0


_state = _State()


def copies_of(folder: Path, most: int) -> Copies:
    """Copies in a folder; they leave three quarters of what is free on its disk."""
    free = 0
    with suppress(OSError, AttributeError):
        facts = os.statvfs(folder)
        free = facts.f_bavail * facts.f_frsize
    return Copies(str(folder), min(most, free // 4))


def active() -> Copies | None:
    """Where this process keeps copies; None: nowhere."""
    return _state.copies


def use(copies: Copies | None) -> None:
    """Keep copies there from now on, and look for them. A folder that another machine has is of no use."""
    with _lock:
        if copies != _state.copies:
            usable = copies is not None and copies.most > 0 and Path(copies.folder).is_dir()
            _state.copies = copies if usable else None
            _state.bytes = _state.since = 0


@contextmanager
def used(copies: Copies | None) -> Iterator[None]:
    """The same for a block."""
    before = active()
    use(copies)
    try:
        yield
    finally:
        use(before)


def keep(name: str, data: bytes, protocol: str) -> None:
    """Keep a copy, if there is room. name: by what is in it; protocol: of its store."""
    copies = active()
    if copies is None or protocol in NEAR or not _room(copies, len(data)):
        return
    try:
        handle, passing = tempfile.mkstemp(dir=copies.folder, prefix="new-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(passing).replace(Path(copies.folder, name))
    except OSError:
        with suppress(OSError):
            Path(passing).unlink()


def read(name: str, start: int = 0, stop: int | None = None) -> bytes | None:
    """A copy, or its part; a start below 0 counts from the end. None: there is none."""
    copies = active()
    if copies is None or not name:
        return None
    try:
        with Path(copies.folder, name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            begin = max(0, size + start) if start < 0 else start
            file.seek(begin)
            return file.read() if stop is None else file.read(max(0, stop - begin))
    except OSError:
        return None


def drop(name: str) -> None:
    """A copy goes that is not wanted any more."""
    copies = active()
    if copies is not None:
        with suppress(OSError):
            Path(copies.folder, name).unlink()


def _room(copies: Copies, size: int) -> bool:
    with _lock:
        # Others write there, too: what there is, is looked at from time to time.
        if _state.bytes == 0 or _state.since > copies.most // _LOOKS:
            with suppress(OSError), os.scandir(copies.folder) as found:
                _state.bytes = 1 + sum(_size(entry) for entry in found)
            _state.since = 0
        if _state.bytes + _state.since + size > copies.most:
            return False
        _state.since += size
        return True


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0
