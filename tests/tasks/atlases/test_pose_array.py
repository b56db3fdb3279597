"""Poses are read as they were written, by this version and by those before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from congeal.results.schema.atlas_arrays import MIRRORED, POSE, POSES, ROTATION, SCALE, SUPPORT, TRANSLATION
from infra.errors import DamagedError
from infra.storage.location import Location
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group
from tasks.atlases.pose_array import packed_poses, poses_in

KNOWN: dict[Any, Any] = {
    MIRRORED: np.array([True, False, True]),
    ROTATION: np.float32([0.1, -3.0, 0.0]),
    SCALE: np.float32([1.0, 0.5, 2.0]),
    TRANSLATION: np.float32([[0.1, 0.2], [-0.3, 0.4], [0.0, 0.0]]),
    SUPPORT: np.float32([0.0, 1.0, 0.25]),
}


def stored(place: Location, arrays: dict[Any, Any]) -> Any:
    specs = {array.path: ArraySpec(data, array.dims) for array, data in arrays.items()}
    for path, data in encode_group(specs, {}).items():
        (place / path).write_bytes(data)
    return open_group(place)


@pytest.mark.parametrize("arrays", [{POSE: packed_poses(KNOWN)}, KNOWN], ids=["today", "before"])
def test_poses_come_back_exactly(arrays: Any, memory_location: Location) -> None:
    found = poses_in(stored(memory_location, arrays))
    assert tuple(found) == POSES
    for array, data in found.items():
        np.testing.assert_array_equal(data, KNOWN[array])
        assert data.dtype == array.dtype


def test_poses_of_another_width_are_damage(memory_location: Location) -> None:
    with pytest.raises(DamagedError, match="its array poses is float32"):
        poses_in(stored(memory_location, {POSE: packed_poses(KNOWN)[:, :5]}))
