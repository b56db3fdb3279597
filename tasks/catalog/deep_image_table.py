"""Which images have samples of more than 8 bits: a small table beside the catalog's.

How such samples become pixels has a version of its own (`congeal.imaging.intensity_scaling.VERSION`), and
only units that hold such an image depend on it; the tables and units of 8-bit images are what they were
before there was a choice.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import DamagedError, StorageError
from infra.ledger.commits import Marker, UnitAddress, outputs_location
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution.duckdb_workspace import load
from tasks.execution.stage_runner import worth_retrying

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

DEPTHS = pa.schema(
    [pa.field("image_id", pa.string(), nullable=False), pa.field("bits", pa.int32(), nullable=False)],
    metadata={b"congeal.table": b"depths", b"congeal.schema_version": b"1"},
)
DEPTHS_FILE = "depths.parquet"
# Of slices that were made before depths were noted: formats that may be deep, reasons that may not hold now.
MAY_BE_DEEP = {"PNG", "TIFF"}
READ_BY_NOW = ("unreadable colour mode", "not an image")


def depths_table(deep: list[tuple[str, int]]) -> pa.Table:
    """Image ids and bits, by image id."""
    ids, bits = zip(*deep, strict=True)
    return pa.table([pa.array(ids, pa.string()), pa.array(bits, pa.int32())], schema=DEPTHS)


def load_depths(connection: duckdb.DuckDBPyConnection, place: Location | None) -> None:
    """Copy the table into a workspace, as `depths`; an empty one where there is none."""
    load(connection, "depths", [] if place is None else [place], DEPTHS)


class ToRemake:
    """Whether a committed slice may come out better now.

    What could not be read (no permission, say) may be readable by now, and nothing in the listing shows it.
    And a slice that was made before depths were noted must be looked at again if it holds a file that may be
    deep, or that was refused as something that is read today. All such slices are looked at together.
    retry: whether what has killed its worker is worth another try.
    """

    def __init__(self, places: Sequence[UnitAddress], retry: bool) -> None:
        self._places = places
        self._retry = retry
        self._found: dict[str, bool] | None = None

    def __call__(self, marker: Marker) -> bool:
        """True for a slice to be made again."""
        if marker.record.get("unread") or (self._retry and worth_retrying(marker)):
            return True
        if "deep" in marker.record:
            return False
        if self._found is None:
            found = in_threads(_may_differ, self._places)
            self._found = {place.unit: old for place, old in zip(self._places, found, strict=True)}
        return self._found.get(marker.unit, False)


def _may_differ(place: UnitAddress) -> bool:
    try:
        marker = place.marker()
        if marker is None or "deep" in marker.record:
            return False
        data = (outputs_location(place, marker) / "catalog.parquet").read_bytes()
        table = pq.read_table(io.BytesIO(data), columns=["format", "error"])
    except (DamagedError, StorageError, pa.ArrowInvalid):
        return False  # whoever reads it next says so
    if set(table["format"].to_pylist()) & MAY_BE_DEEP:
        return True
    return any((error or "").startswith(READ_BY_NOW) for error in table["error"].to_pylist())
