"""The Zarr groups of a finished unit, changed and encoded anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import zarr

from infra.ledger.commits import Marker, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group


def changed_group(
    destination: Location,
    marker: Marker,
    name: str,
    change: Callable[[str, Any, tuple[str, ...]], Any],
    scrub: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, bytes | None]:
    """A Zarr group of a unit, each array and the attributes changed; None of an array: it goes."""
    group = open_group(outputs_location(destination, marker) / name)
    specs, within = {}, {}
    for path, array in arrays_of(group):
        named: Any = array.metadata
        dims = tuple(str(one) for one in named.dimension_names or ())
        data = change(path, np.asarray(array[:]), dims)
        if data is not None:
            chunks = tuple(min(one, max(1, size)) for one, size in zip(array.chunks, data.shape, strict=True))
            specs[path] = ArraySpec(data, dims, chunks, array.attrs.asdict())
    for path, member in group.members(max_depth=None):
        if isinstance(member, zarr.Group) and (attributes := member.attrs.asdict()):
            within[path] = scrub(dict(attributes))
    encoded = encode_group(specs, attributes=scrub(dict(group.attrs.asdict())), within=within)
    before: dict[str, bytes | None] = {path: None for path in marker.outputs if path.startswith(f"{name}/")}
    return before | {f"{name}/{path}": data for path, data in encoded.items()}


def arrays_of(group: zarr.Group) -> list[tuple[str, zarr.Array[Any]]]:
    """Every array of a group, with its path."""
    return [(path, one) for path, one in group.members(max_depth=None) if isinstance(one, zarr.Array)]
