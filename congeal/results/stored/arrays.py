"""Arrays of a destination, held to what is said of them when they are read.

A unit's bytes are checked against its marker; that they are an array of the shape that a reader relies on is
not said by that: another version of congeal may have written it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from congeal.results.schema.zarr_arrays import ZarrArray
from infra.storage.seals import damaged

if TYPE_CHECKING:
    import zarr


def stored_array(group: zarr.Group, array: ZarrArray, count: int | None = None) -> zarr.Array[Any]:
    """An array of a group, unread. count: of entries of its first axis, where that is known.

    Raises DamagedError if there is none, or it is of another shape or kind than `array` says.
    """
    from infra.storage.zarr_groups import array_in

    found = array_in(group, array.path)
    require_fit(str(found.store_path), array, found, count)
    return found


def stored_whole(group: zarr.Group, array: ZarrArray, count: int | None = None) -> npt.NDArray[Any]:
    """The same, read."""
    from infra.storage.zarr_groups import read_whole

    return read_whole(stored_array(group, array, count))


def require_fit(url: str, array: ZarrArray, found: Any, count: int | None = None) -> None:
    """Raises DamagedError unless what was found, with a shape and a dtype, is what `array` says."""
    fault = array.misfit(tuple(found.shape), str(found.dtype), count)
    if fault is not None:
        raise damaged(url, fault)


def require_same(url: str, sizes: Mapping[str, int]) -> None:
    """Raises DamagedError unless all sizes, by what has them, are one."""
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise damaged(url, f"its parts do not fit each other ({said})")
