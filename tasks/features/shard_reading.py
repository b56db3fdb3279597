"""Rows of committed shards, in few requests: what describes a shard is read once a process.

The images of a cluster are spread over many shards, and many clusters share each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import zarr

from congeal.results.schema.feature_arrays import FEATURE_GROUP, PREVIEW, dense_arrays
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.results.stored.arrays import require_fit, require_same
from infra.errors import MissingError, UserError
from infra.ledger.commits import sealed
from infra.storage.location import Location
from infra.storage.zarr_groups import array_at, open_group, read_rows
from infra.storage.zarr_shards import ShardedRows, is_sharded_by_row
from tasks.execution import stage_versions
from tasks.execution.stage_runner import address

STAGE = stage_versions.FEATURES
OPEN = 512  # shards that a process remembers
VIEWS = [array for turned in (False, True) for side in (False, True) for array in dense_arrays(turned, side)]


class Rows(Protocol):
    """The rows of an array [n, …]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""

    def read(self, rows: Sequence[int]) -> npt.NDArray[Any]:
        """Some rows, in their order."""

    def read_into(self, rows: Sequence[int], found: npt.NDArray[Any], places: Sequence[int]) -> None:
        """Some rows, each put into its place of an array [m, …] of this one's dtype, in C order."""


class _PlainRows:
    """Those of an array that zarr itself reads."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array = array
        self.shape = array.shape
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)

    def read(self, rows: Sequence[int]) -> npt.NDArray[Any]:
        return read_rows(self._array, rows)

    def read_into(self, rows: Sequence[int], found: npt.NDArray[Any], places: Sequence[int]) -> None:
        found[np.asarray(places, np.intp)] = self.read(rows)


class OpenShard(NamedTuple):
    """A shard's attributes, and the rows of its arrays, by their paths."""

    attributes: Mapping[str, Any]
    rows: Mapping[str, Rows]


def opened_shard(destination: Location, unit: str, content: str) -> OpenShard:
    """A committed shard, called "scope/unit"; opened once a process. Raises UserError if it is gone."""
    # What is kept reads as it was opened: by these credentials, from this endpoint.
    return _opened(destination, destination.way, unit, content)


@lru_cache(maxsize=OPEN)
def _opened(destination: Location, way: str, unit: str, content: str) -> OpenShard:
    del way  # only a part of the key
    place = address(destination, STAGE, stage_versions.VERSIONS[STAGE], *unit.split("/"))
    try:
        home = sealed(place.folder / content) / FEATURE_GROUP.name
        attributes = dict(open_group(home).attrs.asdict())
        rows = {array.path: _reader(home, array) for array in (*VIEWS, PREVIEW)}
    except MissingError as error:
        raise UserError(
            f"The features in {place.folder.url} vanished while they were used: run again."
        ) from error
    there = {path: reader for path, reader in rows.items() if reader is not None}
    counts = {path: reader.shape[0] for path, reader in there.items()}
    ids = attributes.get("image_ids")
    require_same(home.url, counts | ({"image_ids": len(ids)} if isinstance(ids, list) else {}))
    return OpenShard(attributes, there)


def _reader(home: Location, described: ZarrArray) -> Rows | None:
    path = described.path
    if home.seals and f"{path}/zarr.json" not in home.seals:
        return None  # its marker says so, and nobody need be asked
    array = array_at(home, path)
    if array is None:
        return None
    require_fit(home.url, described, array)
    if is_sharded_by_row(array):
        return ShardedRows(array, home / path)
    return _PlainRows(array)
