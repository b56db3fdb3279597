"""Small squares of images: those kept beside the features, else made anew from the source; and embeddings."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.results.schema.feature_arrays import EMBEDDING, FEATURE_GROUP, PREVIEW
from infra.errors import DamagedError, UserError
from infra.ledger.commits import find_marker, outputs_location
from infra.storage.location import Location
from infra.threads import in_threads

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

OPEN = 256  # units of features that stay open
READERS = 4  # images of the source that are read and decoded at once


class Wanted(NamedTuple):
    """An image. features_unit, features_row: as in the table images; None where it has no features."""

    image_id: str
    uri: str
    features_unit: str | None
    features_row: int | None


@dataclass(frozen=True)
class SquareSource:
    """Where squares come from.

    Attributes:
        destination: what a run has published.
        images: the source; None: what was not kept is not read.
        catalog: the published settings of the section catalog: what may be decoded.
        size: side of a square that is made anew, pixels.
    """

    destination: Location
    images: Location | None
    catalog: Mapping[str, Any]
    size: int

    def read(self, wanted: Sequence[Wanted]) -> tuple[list[Pixels | None], list[Floats | None]]:
        """The square frame of every image, uint8 [s, s, 3], and its embedding; None for what is not there.

        Kept squares have the size that they were kept at.
        """
        squares: list[Pixels | None] = [None] * len(wanted)
        embeddings: list[Floats | None] = [None] * len(wanted)
        by_unit: dict[str, list[int]] = defaultdict(list)
        for at, one in enumerate(wanted):
            if one.features_unit is not None and one.features_row is not None:
                by_unit[one.features_unit].append(at)
        parts = list(by_unit.items())
        rows = [(unit, [int(wanted[at].features_row or 0) for at in at_once]) for unit, at_once in parts]
        found = in_threads(lambda part: self._unit(*part), rows, ahead=8)
        for (_, positions), (kept, vectors) in zip(parts, found, strict=True):
            for at, square, vector in zip(positions, kept, vectors, strict=True):
                squares[at], embeddings[at] = square, vector
        if self.images is not None:
            lacking = [at for at, square in enumerate(squares) if square is None]
            made = in_threads(lambda at: self._anew(wanted[at]), lacking, ahead=2 * READERS, threads=READERS)
            for at, square in zip(lacking, made, strict=True):
                squares[at] = square
        return squares, embeddings

    def embeddings(self, unit: str) -> Floats | None:
        """All embeddings of a unit of features, float32 [n, c]; None if the unit has none or is gone."""
        return _opened(self.destination, unit).embeddings

    def _unit(self, unit: str, rows: Sequence[int]) -> tuple[list[Pixels | None], list[Floats | None]]:
        nothing: list[Any] = [None] * len(rows)
        try:
            shard = _opened(self.destination, unit)
            vectors = nothing if shard.embeddings is None else list(shard.embeddings[rows])
            if shard.read is None:
                return nothing, vectors
            kept = np.asarray(shard.read(rows), np.uint8)
        except (UserError, DamagedError):
            # Pictures and neighbours are a help, not a result: where they are lost the page says so.
            return nothing, nothing
        # Zeros are what stands where no square could be made.
        return [square if square.any() else None for square in kept], vectors

    def _anew(self, image: Wanted) -> Pixels | None:
        from congeal.errors import ImageError
        from congeal.imaging.decoding import decode, square

        assert self.images is not None  # noqa: S101 - asked for only then
        try:
            data = (self.images / image.uri).read_bytes()
        except UserError:
            return None
        if hashlib.sha256(data).hexdigest()[: len(image.image_id)] != image.image_id:
            return None
        stated = self.catalog.get("range")
        try:
            pixels = decode(
                data,
                int(self.catalog["max_pixels"]),
                int(self.catalog["min_side"]),
                target=self.size,
                value_range=(float(stated[0]), float(stated[1])) if stated else None,
            )
        except ImageError:
            return None
        return square(pixels, self.size)


class _Shard(NamedTuple):
    """What is asked of a unit of features. read: squares of some rows; None: none were kept."""

    embeddings: Floats | None
    read: Callable[[Sequence[int]], npt.NDArray[Any]] | None


@lru_cache(maxsize=OPEN)
def _opened(destination: Location, unit: str) -> _Shard:
    """Clusters share these units: each is opened once, not once a cluster."""
    from infra.storage.zarr_groups import array_at, read_rows, read_whole
    from infra.storage.zarr_shards import ShardedRows, is_sharded_by_row

    marker = find_marker(destination, "features", unit)
    if marker is None or "image_ids" not in marker.record:
        return _Shard(None, None)
    place = outputs_location(destination, marker) / FEATURE_GROUP.name
    embedding, preview = (array_at(place, array.path) for array in (EMBEDDING, PREVIEW))
    vectors = None if embedding is None else np.asarray(read_whole(embedding), np.float32)
    if preview is None:
        return _Shard(vectors, None)
    if is_sharded_by_row(preview):
        return _Shard(vectors, ShardedRows(preview, place / PREVIEW.path).read)
    return _Shard(vectors, partial(read_rows, preview))
