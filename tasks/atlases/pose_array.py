"""The poses of images as they are stored: one array, and those of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from congeal.results.schema.atlas_arrays import (
    MIRRORED,
    POSE,
    POSES,
    ROTATION,
    SCALE,
    SUPPORT,
    TRANSLATION,
)
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.results.stored.arrays import stored_whole
from infra.storage.zarr_groups import find_array


def packed_poses(images: Mapping[ZarrArray, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """POSES of n images as float32 [n, 6], in the order that POSE says."""
    columns = (MIRRORED, ROTATION, SCALE, TRANSLATION, SUPPORT)
    parts = [np.asarray(images[array], np.float32).reshape(len(images[array]), -1) for array in columns]
    return np.concatenate(parts, axis=1)


def poses_in(group: zarr.Group) -> dict[ZarrArray, npt.NDArray[Any]]:
    """POSES that a group holds, whatever its version. Raises DamagedError if it lacks them."""
    if find_array(group, POSE.path) is None:
        return {array: stored_whole(group, array) for array in POSES}
    table = stored_whole(group, POSE)
    return {
        MIRRORED: table[:, 0] > 0,
        ROTATION: np.ascontiguousarray(table[:, 1]),
        SCALE: np.ascontiguousarray(table[:, 2]),
        TRANSLATION: np.ascontiguousarray(table[:, 3:5]),
        SUPPORT: np.ascontiguousarray(table[:, 5]),
    }
