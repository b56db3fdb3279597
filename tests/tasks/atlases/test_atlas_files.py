from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from sample_runs import units

from congeal.results.schema.atlas_arrays import ATLAS_GROUP
from infra.errors import DamagedError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group
from tasks.atlases.alignment_table import facts
from tasks.atlases.atlas_files import encode, read
from tasks.atlases.stored_atlas import Stored


@pytest.fixture(scope="module")
def found(finished: Path) -> tuple[Marker, Location, Stored]:
    place = Location.parse(finished / "destination")
    (unit,) = units(finished / "destination", ["atlases"])
    marker = find_marker(place, "atlases", f"{unit.parent.name}/{unit.name}")
    assert marker is not None
    outputs = outputs_location(place, marker)
    return marker, outputs, read(outputs, marker.record["margin"], marker.record["medoid_image_id"])


def test_what_is_read_back_is_written_with_the_same_bytes(found: tuple[Marker, Location, Stored]) -> None:
    marker, outputs, stored = found
    written = encode(stored, marker.record["cluster_id"], "weights")
    plain = {path: data for path, data in written.items() if path != "atlas.zarr/zarr.json"}
    assert len(plain) > 15
    for path, data in plain.items():
        assert (outputs / path).read_bytes() == data, path
    assert {key: marker.record[key] for key in facts(stored)} == facts(stored)


def test_drift_compares_newcomers_with_those_before_them(found: tuple[Marker, Location, Stored]) -> None:
    _, _, stored = found
    assert facts(stored)["drift"] is None
    n = len(stored.members)
    late = [
        member._replace(role="newcomer") if at >= n - 4 else member
        for at, member in enumerate(stored.members)
    ]
    residual = np.where(np.arange(n) >= n - 4, 0.6, 0.4).astype(np.float32)
    residual[-1] = np.nan
    outlier = np.arange(n) == 0  # who does not fit is no measure
    residual[0] = 0.9
    changed = replace(
        stored, members=late, figures={**stored.figures, "residual": residual, "outlier": outlier}
    )
    assert facts(changed)["n_new"] == 4
    assert facts(changed)["drift"] == pytest.approx(1.5)


def test_parts_of_different_atlases_are_damage(
    found: tuple[Marker, Location, Stored], tmp_path: Path
) -> None:
    _, _, stored = found
    place = Location.parse(tmp_path)
    fewer = replace(
        stored,
        members=stored.members[1:],
        images={array: data[1:] for array, data in stored.images.items()},
        figures={name: data[1:] for name, data in stored.figures.items()},
    )
    for path, data in encode(stored, "c", "weights").items():
        (place / path).write_bytes(data)
    (place / "alignment.parquet").write_bytes(encode(fewer, "c", "weights")["alignment.parquet"])
    with pytest.raises(DamagedError, match="do not fit each other"):
        read(place, None, "")


def test_every_group_and_map_says_what_it_holds(found: tuple[Marker, Location, Stored]) -> None:
    """Also to one who opens a nested group alone: order of the images, axes, units."""
    _, outputs, stored = found
    ids = [member.image_id for member in stored.members]
    for name in ("", "/maps"):
        attributes = open_group(outputs / f"atlas.zarr{name}").attrs
        assert attributes["image_ids"] == ids
        assert attributes["sizes"] == [[member.width, member.height] for member in stored.members]
        assert "centre of the top-left pixel" in str(attributes["coordinates"])
    assert "square [-1, 1]^2" in str(open_group(outputs / "atlas.zarr/atlas").attrs["coordinates"])
    group: Any = open_group(outputs / "atlas.zarr")
    for described in ATLAS_GROUP.arrays:
        array = group[described.path]
        assert array.dtype == described.dtype
        assert array.metadata.dimension_names == described.dims
        assert len(described.dims) == array.ndim
        if described.axes is not None:
            assert dict(array.attrs) == {"units": described.units, "axes": described.axes}
            assert described.axes.split()[0].rstrip(",;") in described.dims
    found_paths = {path for path, member in group.members(max_depth=None) if isinstance(member, zarr.Array)}
    assert found_paths == {described.path for described in ATLAS_GROUP.arrays}
    assert set(group.attrs) == set(ATLAS_GROUP.attributes)
    assert group["maps/forward"].attrs["units"] == "pixels of the original image"
    # Of the array itself, since xarray drops the group's attribute `coordinates`.
    assert "(0, 0) the centre of the top-left pixel" in str(group["maps/forward"].attrs["axes"])
