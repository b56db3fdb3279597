"""What is known of a stored object since it was written: its size, its SHA-256, a CRC of every block.

Whole objects are checked by SHA-256 when they are read. Of what is read in parts, the blocks that a part lies
in are read and checked, so that a reader of ranges (a table's footer, a column of it) is told as well.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import IO, Any, Protocol, cast

from congeal_floors.plurals import counted
from infra.errors import DamagedError, MissingError

BLOCK = 262_144  # bytes
_OTHER = "its bytes are not those that were written"


class Seal(Protocol):
    """Size in bytes, hex SHA-256, and the CRC32C of each BLOCK bytes, 8 hex digits each; "": not known."""

    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def blocks(self) -> str: ...  # noqa: D102


Seals = Mapping[str, Seal]


def block_sums(data: bytes) -> str:
    """The CRC32C of every block of ``data``, 8 hex digits each."""
    import google_crc32c

    view = memoryview(data)
    blocks = (bytes(view[start : start + BLOCK]) for start in range(0, len(data), BLOCK))
    return "".join(f"{google_crc32c.value(block):08x}" for block in blocks)


def below(seals: Seals, part: str) -> dict[str, Seal]:
    """Seals by path, of what lies under ``part``; the seal of ``part`` itself is called ""."""
    prefix = f"{part}/"
    found = {path.removeprefix(prefix): seal for path, seal in seals.items() if path.startswith(prefix)}
    return found | ({"": seals[part]} if part in seals else {})


def damaged(url: str, what: str = _OTHER) -> DamagedError:
    """The error for something in a destination that is not what was written, with the cure."""
    destination = next((url.partition(mark)[0] for mark in ("/stages/", "/published/") if mark in url), None)
    if destination is None:
        return DamagedError(f"{url} is damaged, {what}: delete it and run again.")
    return DamagedError(
        f"{url} is damaged, {what}: `congeal repair {_shown(destination)}` removes it, and the next run "
        "makes it anew."
    )


def missing(url: str) -> MissingError:
    """The error for something that a unit's marker names and that is not there."""
    return MissingError(str(damaged(url, "it is missing")))


def is_sound(seal: Seal, data: bytes) -> bool:
    """Whether ``data`` is the object that was sealed."""
    return len(data) == seal.bytes and hashlib.sha256(data).hexdigest() == seal.sha256


def require_sound(url: str, seal: Seal, data: bytes) -> None:
    """Raise DamagedError unless ``data`` is the object that was sealed."""
    if len(data) != seal.bytes:
        raise damaged(url, f"it has {counted(len(data), 'byte')} instead of {seal.bytes}")
    if hashlib.sha256(data).hexdigest() != seal.sha256:
        raise damaged(url, f"{_OTHER} (SHA-256 differs)")


class SealedRanges:
    """Parts of a sealed object. read: the object's bytes from a start to a stop, as the store has them.

    What lies in blocks that were found sound is not read beyond what is asked for. Without sums of blocks
    only an object of one block is checked.
    """

    def __init__(self, url: str, seal: Seal, read: Callable[[int, int], bytes]) -> None:
        self._url = url
        self._seal = seal
        self._read = read
        self._sound: set[int] = set()

    def range(self, start: int, stop: int | None) -> bytes:
        """The object from a start to a stop; a start below 0 counts from the end, None is the end."""
        size = self._seal.bytes
        start = max(0, size + start) if start < 0 else start
        stop = size if stop is None else min(stop, size)
        if stop <= start:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        if not self._checkable or self._sound.issuperset(range(first, last + 1)):
            return self._exactly(start, stop)
        data = self._exactly(first * BLOCK, min((last + 1) * BLOCK, size))
        self._check(first, data)
        return data[start - first * BLOCK : stop - first * BLOCK]

    @property
    def _checkable(self) -> bool:
        return bool(self._seal.blocks) or self._seal.bytes <= BLOCK

    def _exactly(self, start: int, stop: int) -> bytes:
        data = self._read(start, stop)
        if len(data) != stop - start:
            raise damaged(self._url, f"it has not the {counted(self._seal.bytes, 'byte')} that were written")
        return data

    def _check(self, first: int, data: bytes) -> None:
        sums = self._seal.blocks
        if not sums:
            require_sound(self._url, self._seal, data)
            self._sound.add(0)
            return
        found = block_sums(data)
        if found != sums[8 * first : 8 * first + len(found)]:
            raise damaged(self._url)
        self._sound.update(range(first, first + len(found) // 8))


class _SealedFile(io.RawIOBase):
    """A sealed object as a file that is read and sought in; each part is checked."""

    def __init__(self, ranges: SealedRanges, size: int) -> None:
        super().__init__()
        self._ranges = ranges
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        data = self._ranges.range(self._at, stop) if stop > self._at else b""
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def sealed_file(ranges: SealedRanges, size: int) -> IO[bytes]:
    """A sealed object as a file."""
    return cast("IO[bytes]", _SealedFile(ranges, size))


def _shown(url: str) -> str:
    return str(PurePosixPath(url.removeprefix("file://"))) if url.startswith("file://") else url
