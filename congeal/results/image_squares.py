"""Small squares of images: those kept beside the features, else made anew from the source; and embeddings."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        from infra.storage.zarr_groups import array_at

        marker = find_marker(self.destination, "features", unit)
        if marker is None or "image_ids" not in marker.record:
            return None
        array = array_at(outputs_location(self.destination, marker) / FEATURE_GROUP.name, EMBEDDING.path)
        return None if array is None else np.asarray(array[:], np.float32)

    def _unit(self, unit: str, rows: Sequence[int]) -> tuple[list[Pixels | None], list[Floats | None]]:
        from infra.storage.zarr_groups import array_at

        nothing: list[Any] = [None] * len(rows)
        try:
            marker = find_marker(self.destination, "features", unit)
            if marker is None:
                return nothing, nothing
            place = outputs_location(self.destination, marker) / FEATURE_GROUP.name
            embedding, preview = (array_at(place, array.path) for array in (EMBEDDING, PREVIEW))
            vectors = nothing if embedding is None else list(np.asarray(embedding[:], np.float32)[rows])
            if preview is None:
                return nothing, vectors
            kept = _rows(preview, place / PREVIEW.path, rows)
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


def _rows(array: Any, place: Location, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
    from infra.storage.zarr_groups import read_rows
    from infra.storage.zarr_shards import ShardedRows, is_sharded_by_row

    if is_sharded_by_row(array):
        return np.asarray(ShardedRows(array, place).read(rows), np.uint8)
    return np.asarray(read_rows(array, rows), np.uint8)
