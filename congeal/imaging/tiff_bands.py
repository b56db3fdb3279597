"""TIFF files piece by piece: bands of rows, each as a small file of its own, which is read like any other.

A file's strips and tiles are kept as they are; the header is written anew. So whatever can be read whole can
be read in bands, however it is compressed, and memory holds one of them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from congeal.imaging.formats import format_of

ROWS = 64  # of a band, about
MOST = 3  # halvings of a picture that is read so, as of JPEG
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_SAMPLES, _ROWS_A_STRIP, _PLANES = 277, 278, 284
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets, bytes
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_NOT_COMPRESSED, _OLD_JPEG, _SUBSAMPLED, _TOGETHER = 1, 6, 6, 1
# What says where something lies in the file, or which way up the whole is.
_LEFT_OUT = (*_STRIPS, *_TILES, _ORIENTATION, 288, 289, 330, 513, 514, 519, 520, 521, 34665, 34853, 40965)
# What editors write beside a picture, as large as they like: XMP, IPTC, Photoshop's resources and layers, the
# colour profile. Each band would carry it, and nothing here looks at it.
_BESIDE = (700, 33723, 34377, 34675, 37724, 50255)
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_ENTRIES = 4_096
_MOST_VALUES = 2**24
_LONG, _LONG8 = 4, 16


class Entry(NamedTuple):
    """A tag's type, how many values it has, and these as they are in the file."""

    kind: int
    values: int
    data: bytes


@dataclass(frozen=True)
class Bands:
    """The bands of a file's first page.

    width, height: pixels, as they are stored. rows: of every band but the last. orientation: 1 to 8, how the
    whole is to be turned, which a band is not. pieces: offset and bytes of the strips or tiles, in order;
    each: how many of them make a band.
    """

    data: bytes
    order: str
    entries: Mapping[int, Entry]
    width: int
    height: int
    rows: int
    orientation: int
    pieces: Sequence[tuple[int, int]]
    each: int
    tag: tuple[int, int]

    def __iter__(self) -> Iterator[bytes]:
        """One file a band, from the top."""
        for number, top in enumerate(range(0, self.height, self.rows)):
            pieces = self.pieces[number * self.each : (number + 1) * self.each]
            yield self._file(min(self.rows, self.height - top), pieces)

    def _file(self, rows: int, pieces: Sequence[tuple[int, int]]) -> bytes:
        offsets, counts = self.tag
        found = [self.data[offset : offset + count] for offset, count in pieces]
        entries = dict(self.entries) | {
            _LENGTH: self._longs([rows]),
            counts: self._longs([len(one) for one in found]),
            offsets: self._longs([0] * len(found)),
        }
        beside = sum(_even(len(one.data)) for one in entries.values() if len(one.data) > 4)
        at = 8 + 2 + 12 * len(entries) + 4 + beside
        places = []
        for one in found:
            places.append(at)
            at += _even(len(one))
        entries[offsets] = self._longs(places)
        head = b"II*\0" if self.order == "<" else b"MM\0*"
        parts = [head, struct.pack(f"{self.order}IH", 8, len(entries))]
        values, at = [], 8 + 2 + 12 * len(entries) + 4
        for tag, entry in sorted(entries.items()):
            if len(entry.data) > 4:
                cell = struct.pack(f"{self.order}I", at)
                values.append(entry.data.ljust(_even(len(entry.data)), b"\0"))
                at += len(values[-1])
            else:
                cell = entry.data.ljust(4, b"\0")
            parts.append(struct.pack(f"{self.order}HHI", tag, entry.kind, entry.values) + cell)
        parts.append(bytes(4))
        return b"".join([*parts, *values, *(one.ljust(_even(len(one)), b"\0") for one in found)])

    def _longs(self, numbers: Sequence[int]) -> Entry:
        return Entry(_LONG, len(numbers), struct.pack(f"{self.order}{len(numbers)}I", *numbers))


def banded(data: bytes) -> Bands | None:
    """The bands of a TIFF file, each of which can be halved MOST times; None: it cannot be cut so.

    It cannot if its samples lie in planes, its strips or tiles share bytes, or one of them is all of it.
    """
    if format_of(data) != "TIFF":
        return None
    try:
        return _bands(data, 2**MOST)
    except (struct.error, LookupError, ValueError, ArithmeticError):
        return None  # whoever reads the whole says what is wrong with it


def _bands(data: bytes, multiple: int) -> Bands | None:
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    entries = _entries(data, order)

    def numbers(tag: int, *otherwise: int) -> tuple[int, ...]:
        entry = entries.get(tag)
        if entry is None:
            return otherwise
        return struct.unpack(f"{order}{entry.values}{_WHOLE[entry.kind]}", entry.data)

    width, height = numbers(_WIDTH)[0], numbers(_LENGTH)[0]
    compression = numbers(_COMPRESSION, _NOT_COMPRESSED)[0]
    samples, planes = numbers(_SAMPLES, 1)[0], numbers(_PLANES, _TOGETHER)[0]
    if compression == _OLD_JPEG or (planes != _TOGETHER and samples > 1) or min(width, height) < 1:
        return None
    tiled = _TILE_WIDTH in entries
    tag = _TILES if tiled else _STRIPS
    pieces = list(zip(numbers(tag[0]), numbers(tag[1]), strict=True))
    if tiled:
        unit, across = numbers(_TILE_LENGTH)[0], -(-width // numbers(_TILE_WIDTH)[0])
    else:
        unit, across = min(numbers(_ROWS_A_STRIP, height)[0], height), 1
    if unit < 1 or len(pieces) != across * -(-height // unit):
        return None
    row = -(-width * sum(_each(numbers(_BITS, 1), samples)) // 8)
    stated = sum(count for _, count in pieces)
    if stated > 2 * len(data):
        return None  # before anything is made for each of its rows
    plain = compression == _NOT_COMPRESSED and numbers(_PHOTOMETRIC)[0] != _SUBSAMPLED
    if plain and not tiled and stated >= row * height:
        unit, pieces = _cut(pieces, unit, height, row)
        entries[_ROWS_A_STRIP] = Entry(_LONG, 1, struct.pack(f"{order}I", unit))
    together = multiple // math.gcd(unit, multiple)
    together *= max(1, ROWS // (unit * together))
    if unit * together >= height:
        return None
    kept = {name: _short(one, order) for name, one in entries.items() if name not in _LEFT_OUT}
    turned = numbers(_ORIENTATION, 1)[0]
    return Bands(
        data, order, kept, width, height, unit * together,
        turned if 1 <= turned <= 8 else 1, pieces, together * across, tag,
    )  # fmt: skip


def _short(entry: Entry, order: str) -> Entry:
    """An entry as a file that is no BigTIFF may have it."""
    if entry.kind != _LONG8:
        return entry
    numbers = struct.unpack(f"{order}{entry.values}Q", entry.data)
    return Entry(_LONG, entry.values, struct.pack(f"{order}{entry.values}I", *numbers))


def _each(bits: tuple[int, ...], samples: int) -> tuple[int, ...]:
    return bits if len(bits) == samples else bits[:1] * samples


def _cut(
    pieces: Sequence[tuple[int, int]], unit: int, height: int, row: int
) -> tuple[int, list[tuple[int, int]]]:
    """Strips of which each byte is where it says, in strips of fewer rows."""
    fewer = min(unit, 16)
    if unit % fewer:
        fewer = 1
    found = []
    for number, (offset, _) in enumerate(pieces):
        rows = min(unit, height - number * unit)
        found += [(offset + top * row, min(fewer, rows - top) * row) for top in range(0, rows, fewer)]
    return fewer, found


def _entries(data: bytes, order: str) -> dict[int, Entry]:
    """The entries of the first directory."""
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
    at += 8 if big else 2
    if count > _MOST_ENTRIES:
        raise ValueError("more entries than a picture has")
    form = f"{order}HHQQ" if big else f"{order}HHII"
    inline, size = (8, 20) if big else (4, 12)
    found = {}
    for place in range(at, at + count * size, size):
        tag, kind, values, offset = struct.unpack_from(form, data, place)
        if tag in _BESIDE or (kind not in _BYTES and kind not in _WHOLE):
            continue
        length = values * (_BYTES.get(kind) or 8)
        if values > _MOST_VALUES:
            raise ValueError("more values than a picture has")
        start = place + size - inline if length <= inline else offset
        if start + length > len(data):
            raise ValueError("a value lies beyond the file")
        found[tag] = Entry(kind, values, data[start : start + length])
    return found


def _even(length: int) -> int:
    return length + length % 2
