"""Zarr v3 groups: built in memory as bytes by their one writer, read lazily from any store."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
import zarr.storage
from zarr.codecs import Crc32cCodec, ZstdCodec

from infra.errors import MissingError
from infra.storage.location import Location
from infra.storage.seals import damaged
from infra.storage.storage_errors import translated
from infra.storage.zarr_shards import (
    ShardedRows,
    encoded_chunk,
    encoded_rows,
    is_one_chunk,
    is_sharded_by_row,
)

SMALL = 2**20  # bytes of an array that is read as a whole rather than in parts
# zarr's own, whatever the user's settings and ZARR_CODEC_PIPELINE__PATH name: others may lay the inner chunks
# of a shard in the order in which threads finished, and the same arrays must give the same bytes.
PIPELINE = {
    "codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "codec_pipeline.batch_size": 1,
}
_encoding = threading.Lock()


@dataclass(frozen=True)
class ArraySpec:
    """One array of a group. dims: a name for each axis. chunks: what is read at once; None: everything.

    fill_value None: NaN for floats, else 0.
    """

    data: np.ndarray[Any, np.dtype[Any]]
    dims: Sequence[str]
    chunks: tuple[int, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fill_value: float | None = None


def encode_group(
    arrays: dict[str, ArraySpec],
    attributes: Mapping[str, object],
    level: int = 1,
    within: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, bytes]:
    """A Zarr v3 group as relative path → bytes; the same arrays give the same bytes.

    arrays: by name, "/" makes nested groups; each is taken out as it is encoded, to need less memory. Every
    array is one shard (one object, one writer) with inner chunks, or one plain chunk where ``chunks`` is the
    whole; every chunk ends with its CRC32C. level: of zstd. within: attributes of nested groups, by name.
    Attributes must be JSON.
    """
    store = zarr.storage.MemoryStore()
    shards: dict[str, bytes] = {}
    # zarr's settings are the process's, and put back what they found: one encoding at a time.
    with _encoding, zarr.config.set(PIPELINE):
        group = zarr.create_group(store, attributes=dict(attributes), zarr_format=3)
        for name in sorted(arrays):
            parent, _, leaf = name.rpartition("/")
            below = group.require_group(parent) if parent else group
            shards |= {
                f"{name}/{key}": shard for key, shard in _write(below, leaf, arrays.pop(name), level).items()
            }
        for name, facts in sorted((within or {}).items()):
            group.require_group(name).update_attributes(dict(facts))
    # Each goes as it is copied: there is memory for these bytes once, not twice.
    return {
        path: shards.pop(path) if path in shards else store._store_dict.pop(path).to_bytes()
        for path in sorted((*store._store_dict, *shards))
    }


def open_group(location: Location) -> zarr.Group:
    """The group at ``location``, read only.

    Raises ``MissingError`` if there is nothing and ``DamagedError`` if it is no group.
    """
    with _reading(location.url, "it is no Zarr group"):
        store = location.zarr_store(read_only=True)
        return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)


def array_at(location: Location, path: str) -> zarr.Array[Any] | None:
    """An array of the group at ``location``, read only, in one request; None if there is none of that path.

    Raises ``DamagedError`` for what is no array.
    """
    try:
        with _reading(location.url, f"it has no array {path}"):
            return zarr.open_array(location.zarr_store(read_only=True), path=path, mode="r", zarr_format=3)
    except MissingError:
        if f"{path}/zarr.json" in location.seals:
            raise
        return None


def find_array(group: zarr.Group, path: str) -> zarr.Array[Any] | None:
    """An array of a group, unread; None if the group has none of that path."""
    with _reading(str(group.store_path), f"it has no array {path}"):
        found = group.get(path)
    return found if isinstance(found, zarr.Array) else None


def array_in(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """An array that a group has, unread. Raises ``DamagedError`` if it has not."""
    found = find_array(group, path)
    if found is None:
        raise damaged(str(group.store_path), f"it has no array {path}")
    return found


def read_whole(array: zarr.Array[Any]) -> npt.NDArray[Any]:
    """All of an array. Raises ``DamagedError`` for a chunk that is not what was written."""
    with _reading(str(array.store_path)):
        return np.asarray(array[...])


def read_rows(array: zarr.Array[Any], rows: Sequence[int]) -> npt.NDArray[Any]:
    """Some rows of the first axis, in their order; of a sharded array only their chunks are fetched.

    One by one, since Zarr resolves a list of rows inside a shard element by element (50 ms for two images'
    features where two reads take 6); an array of one small chunk is read as a whole. Raises as `read_whole`.
    """
    with _reading(str(array.store_path)):
        if array.nbytes <= SMALL:
            return np.take(np.asarray(array[...]), rows, axis=0)
        return np.stack([np.asarray(array[int(row)]) for row in rows])


def read_sorted_rows(array: zarr.Array[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same of many rows in ascending order, in one reading."""
    with _reading(str(array.store_path)):
        return np.asarray(array[...] if len(rows) == array.shape[0] else array.oindex[rows])


def read_from(
    home: Location, group: zarr.Group, path: str, rows: Sequence[int] | None = None
) -> npt.NDArray[Any]:
    """Rows of an array, in their order; None: all of it. home: where its group lies.

    What lies in one object, row by row, is fetched in few requests and decoded in place, in a third of the
    time that zarr takes. Raises ``DamagedError`` as `array_in` and `read_whole` do.
    """
    array = array_in(group, path)
    if array.shape[0] and is_sharded_by_row(array):
        return ShardedRows(array, home / path).read(range(array.shape[0]) if rows is None else rows)
    if rows is None:
        return read_whole(array)
    stored = np.sort(np.asarray(rows, np.intp))  # as they lie there, then put in their order
    return read_sorted_rows(array, stored)[np.searchsorted(stored, rows)]


@contextmanager
def _reading(url: str, what: str = "a chunk of it is not what was written") -> Iterator[None]:
    """Sentences instead of what Zarr and its codecs raise for bytes that are no sound array."""
    try:
        with translated("read", url):
            yield
    except MissingError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as fault:
        raise damaged(url, what) from fault


def _write(group: zarr.Group, name: str, spec: ArraySpec, level: int) -> dict[str, bytes]:
    """Add an array to a group; what of its content is not in there, by key."""
    data = np.ascontiguousarray(spec.data)
    whole = tuple(max(1, size) for size in data.shape)
    chunks = whole if spec.chunks is None else tuple(map(min, spec.chunks, whole))
    # A shard holds whole chunks; the last one may reach over the end of the array.
    shard = tuple(math.ceil(size / chunk) * chunk for size, chunk in zip(whole, chunks, strict=True))
    fill = spec.fill_value
    if fill is None:
        fill = math.nan if np.issubdtype(data.dtype, np.floating) else 0
    array = group.create_array(
        name,
        shape=data.shape,
        dtype=data.dtype,
        chunks=chunks,
        shards=None if shard == chunks else shard,
        compressors=[ZstdCodec(level=level), Crc32cCodec()],
        fill_value=fill,
        attributes=dict(spec.attributes),
        dimension_names=list(spec.dims),
        # A chunk that is all fill value is written too: a missing object always means damage.
        config={"write_empty_chunks": True},
    )
    first = array.metadata.encode_chunk_key((0,) * data.ndim)
    if data.size and is_one_chunk(array):
        return {first: encoded_chunk(data, level)}
    if data.size and data.ndim > 1 and is_sharded_by_row(array):
        return {first: encoded_rows(data, level)}
    if data.size:
        array[...] = data
    return {}
