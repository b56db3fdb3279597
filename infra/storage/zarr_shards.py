"""Zarr arrays that lie in one object: rows of a shard read in few requests, the object made in one go.

zarr itself asks for the index of the shard at every reading, for each chunk apart, and decodes them one by
one in threads; here the index is kept, neighbours come in one request, and rows are decoded in place. Where
zarr makes a shard, it copies every chunk several times, and takes two to three times as long; to hand a small
array to its event loop takes longer than to compress it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr
from numcodecs.zstd import Zstd
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec

from infra.errors import DamagedError
from infra.storage.location import Location
from infra.storage.seals import damaged

GAP = 262_144  # bytes between two rows up to which one request fetches both
WHOLE = 67_108_864  # bytes of a shard up to which it is fetched as a whole if many of its rows are wanted
MANY = 8  # one row in so many
_PLAIN, _INDEX = [BytesCodec, ZstdCodec], [BytesCodec, Crc32cCodec]
_ABSENT = 2**64 - 1  # offset of a chunk that was not written
_MAGIC = b"\x28\xb5\x2f\xfd"  # of a zstd frame


def is_sharded_by_row(array: zarr.Array[Any]) -> bool:
    """True if one object holds the array, each entry of its first axis a chunk compressed by zstd alone.

    The chunks may end with a checksum; those of earlier versions have none.
    """
    codecs: Sequence[Any] = getattr(array.metadata, "codecs", ())
    if len(codecs) != 1 or not isinstance(codecs[0], ShardingCodec) or array.shards != array.shape:
        return False
    sharding = codecs[0]
    kinds = [type(codec) for codec in (*sharding.codecs, *sharding.index_codecs)]
    orders = [
        codec.endian
        for codec in (*sharding.codecs, *sharding.index_codecs)
        if isinstance(codec, BytesCodec) and not (codec.endian is None and array.dtype.itemsize == 1)
    ]
    return (
        kinds in ([*_PLAIN, *_INDEX], [*_PLAIN, Crc32cCodec, *_INDEX])
        and all(order is not None and order.value == "little" for order in orders)
        and sharding.index_location.value == "end"
        and array.chunks == (1, *array.shape[1:])
        and array.dtype.kind in "fiub"
    )


def is_one_chunk(array: zarr.Array[Any]) -> bool:
    """True if one chunk holds the array, compressed by zstd alone, with a checksum."""
    codecs: Sequence[Any] = getattr(array.metadata, "codecs", ())
    return [type(codec) for codec in codecs] == [*_PLAIN, Crc32cCodec] and array.chunks == array.shape


def encoded_chunk(data: npt.NDArray[Any], level: int) -> bytes:
    """The one chunk of an array as zarr makes it, byte for byte: compressed by zstd, with its CRC32C."""
    chunk: bytes = Zstd(level=level).encode(np.ascontiguousarray(data, data.dtype.newbyteorder("<")))
    ending: bytes = google_crc32c.value(chunk).to_bytes(4, "little")
    return chunk + ending


def encoded_rows(data: npt.NDArray[Any], level: int) -> bytes:
    """The one shard of an array [n, ...] with a chunk a row, as zarr makes it, byte for byte.

    Chunks lie in the order of the rows, each as of `encoded_chunk`; none is left out, whatever it holds.
    """
    parts, at = list[bytes](), 0
    index = np.empty((len(data), 2), "<u8")
    for number, row in enumerate(data):
        parts.append(encoded_chunk(row, level))
        index[number] = at, len(parts[-1])
        at += len(parts[-1])
    ends = index.tobytes()
    return b"".join([*parts, ends, google_crc32c.value(ends).to_bytes(4, "little")])


class ShardedRows:
    """The rows of one array. array: as `is_sharded_by_row` wants it; place: where it lies.

    shape, dtype: of the array, in the byte order in which it lies.
    """

    def __init__(self, array: zarr.Array[Any], place: Location) -> None:
        codecs: Sequence[Any] = getattr(array.metadata, "codecs", ())
        self._summed = isinstance(codecs[0].codecs[-1], Crc32cCodec)
        shard = place / "/".join(["c", *"0" * array.ndim])
        # With sums of its own each chunk is checked once, and what was not asked for is not read.
        self._place = shard.unchecked() if self._summed else shard
        self.shape = array.shape
        self.dtype = array.dtype.newbyteorder("<")
        self._fill = array.fill_value
        self._index: npt.NDArray[np.uint64] | None = None
        self._lock = threading.Lock()

    def read(self, rows: Sequence[int]) -> npt.NDArray[Any]:
        """Some rows, in their order: [len(rows), …]. Raises DamagedError for a shard that is not sound."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        self.read_into(rows, found, range(len(rows)))
        return found

    def read_into(self, rows: Sequence[int], found: npt.NDArray[Any], places: Sequence[int]) -> None:
        """The same into ``found`` [n, …] in C order, each at its place in there.

        Where that is of another shape or dtype, the array is not what its neighbours are: DamagedError.
        """
        if (found.dtype, found.shape[1:]) != (self.dtype, self.shape[1:]):
            raise self._damaged()
        wanted = np.asarray(rows, np.intp)
        targets = [found[place : place + 1] for place in places]
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        if self._index is None and MANY * len(set(rows)) >= self.shape[0] and size <= WHOLE:
            whole = self._place.read_bytes()
            self._index = self._checked(whole[-self._index_size :])
            self._decode(wanted, targets, [(0, whole)])
            return
        with self._lock:
            if self._index is None:
                (index,) = self._place.read_ranges([(-self._index_size, None)])
                self._index = self._checked(index)
        ranges = self._ranges(wanted)
        data = self._place.read_ranges(ranges)
        self._decode(wanted, targets, [(start, part) for (start, _), part in zip(ranges, data, strict=True)])

    @property
    def _index_size(self) -> int:
        return 16 * self.shape[0] + 4

    def _checked(self, data: bytes) -> npt.NDArray[np.uint64]:
        """The index, uint64 [rows, 2]: offset and length of each."""
        if len(data) != self._index_size or google_crc32c.value(data[:-4]) != int.from_bytes(
            data[-4:], "little"
        ):
            raise self._damaged()
        index = np.frombuffer(data[:-4], "<u8").reshape(-1, 2)
        # A chunk that does not compress is a little larger than its rows.
        most = 2 * int(np.prod(self.shape[1:])) * self.dtype.itemsize + 1024
        written = index[index[:, 0] != _ABSENT]
        if (written[:, 1] > most).any() or (written[:, 0] > 2**62).any():
            raise self._damaged()
        return index

    def _ranges(self, wanted: npt.NDArray[np.intp]) -> list[tuple[int, int | None]]:
        """Start and stop of what is fetched, neighbours together."""
        assert self._index is not None  # noqa: S101
        index = self._index[np.unique(wanted)]
        spans = sorted((int(start), int(start + size)) for start, size in index if start != _ABSENT)
        ranges: list[tuple[int, int | None]] = []
        for start, stop in spans:
            last = ranges[-1] if ranges else None
            if last is not None and last[1] is not None and start - last[1] <= GAP:
                ranges[-1] = (last[0], max(last[1], stop))
            else:
                ranges.append((start, stop))
        return ranges

    def _decode(
        self,
        wanted: npt.NDArray[np.intp],
        targets: Sequence[npt.NDArray[Any]],
        parts: Sequence[tuple[int, bytes]],
    ) -> None:
        assert self._index is not None  # noqa: S101
        codec = Zstd()
        starts = np.array([start for start, _ in parts], np.uint64)
        for position, target in zip(wanted, targets, strict=True):
            offset, size = self._index[position]
            if offset == _ABSENT:
                target[...] = self._fill
                continue
            start, data = parts[int(np.searchsorted(starts, offset, "right")) - 1]
            at = int(offset) - start
            chunk = memoryview(data)[at : at + int(size)]
            if self._summed:
                chunk, stated = chunk[:-4], chunk[-4:]
                if google_crc32c.value(bytes(chunk)) != int.from_bytes(stated, "little"):
                    raise self._damaged()
            # The codec writes no more than there is room for, and refuses a frame of another size than its
            # header says; one whose header says less than a row would leave the rest as memory was.
            if _content_size(chunk) not in (None, target.nbytes):
                raise self._damaged()
            try:
                codec.decode(chunk, out=target)
            except (RuntimeError, ValueError) as fault:
                raise self._damaged() from fault

    def _damaged(self) -> DamagedError:
        return damaged(self._place.url)


def _content_size(frame: memoryview) -> int | None:
    """Bytes that a zstd frame says it holds (RFC 8878, 3.1.1.1); None if it does not say, or is no frame."""
    if len(frame) < 5 or frame[:4] != _MAGIC:
        return None
    descriptor = frame[4]
    single = bool(descriptor & 0x20)  # one segment: no window, and a size in any case
    width = (int(single), 2, 4, 8)[descriptor >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    if not width or len(frame) < start + width:
        return None
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)
