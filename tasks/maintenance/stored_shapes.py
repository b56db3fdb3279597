"""Whether the arrays of a unit are what readers rely on: of the shape and kind that is said of them.

Their bytes may be those that were written and the arrays others all the same, where something else than this
version of congeal has written them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from congeal.results.schema.atlas_arrays import ATLAS_GROUP, FIRST_LOOK_GROUP, INSTANCES_GROUP
from congeal.results.schema.feature_arrays import FEATURE_GROUP, POSITION_GROUP, TARGET_GROUP
from congeal.results.schema.zarr_arrays import FIXED, ZarrArray
from infra.errors import DamagedError
from infra.ledger.commits import Marker, outputs_location
from infra.storage.location import Location
from infra.storage.seals import damaged
from tasks.execution.stage_versions import VERSIONS

GROUPS = (ATLAS_GROUP, FIRST_LOOK_GROUP, INSTANCES_GROUP, FEATURE_GROUP, POSITION_GROUP, TARGET_GROUP)
DESCRIBED = {
    f"{group.name}/{array.path}/zarr.json": (group.name, array) for group in GROUPS for array in group.arrays
}

# Axes that hold another one and something beside it.
LONGER = {"basis_row": ("channel", 1), "basis_column": ("component", 1)}


def misshapen(destination: Location, marker: Marker) -> list[str]:
    """A sentence for each array of a unit that no reader can use; none of what a newer congeal has made."""
    if marker.stage_version > VERSIONS.get(marker.stage, 0):
        return []
    return list(_faults(outputs_location(destination, marker), marker))


def _faults(folder: Location, marker: Marker) -> Iterator[str]:
    sizes: dict[tuple[str, str], tuple[int, str]] = {}  # by group and axis, and which array has told it
    for path in sorted(marker.outputs):
        if path not in DESCRIBED:
            continue
        group, array = DESCRIBED[path]
        url, found = (folder / path).url, _read(folder, path)
        if found.get("node_type") == "group":
            continue  # earlier versions have a group of arrays in its place
        shape, dtype = found.get("shape"), found.get("data_type")
        if not isinstance(shape, list) or not isinstance(dtype, str):
            yield str(damaged(url, "it describes no array"))
            continue
        count = _count(folder, group) if array.dims[:1] == ("image",) else None
        fault = array.misfit(tuple(shape), dtype, count) or _unlike(array, group, shape, sizes)
        if fault is not None:
            yield str(damaged(url, fault))


def _unlike(
    array: ZarrArray, group: str, shape: list[int], sizes: dict[tuple[str, str], tuple[int, str]]
) -> str | None:
    """What does not go with the arrays before it in its group: axes of one name have one size."""
    for dim, size in zip(array.dims, shape, strict=True):
        axis, more = LONGER.get(dim, (dim, 0))
        known, told = sizes.setdefault((group, axis), (size - more, array.path))
        if known != size - more and axis not in FIXED:
            return f"its array {array.path} has {size - more} for {axis}, and {told} {known}"
    return None


def _count(folder: Location, group: str) -> int | None:
    """How many images a group says that it holds."""
    attributes = _read(folder, f"{group}/zarr.json").get("attributes")
    ids = attributes.get("image_ids") if isinstance(attributes, dict) else None
    return len(ids) if isinstance(ids, list) else None


def _read(folder: Location, path: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / path).read_bytes())
    except (ValueError, DamagedError):
        return {}
    return found if isinstance(found, dict) else {}
