from __future__ import annotations

import dataclasses

import numpy as np
from synthetic import Thing, scene, varied_poses

from congeal.alignment.model import PER_IMAGE, joined
from congeal.alignment.solver import align


def test_parts_are_joined_with_everything_that_is_known_of_an_image() -> None:
    found = align(**scene([Thing(1)] * 5, varied_poses(5)).arguments(), resolution=16, map_resolution=8)
    of_images = {
        field.name
        for field in dataclasses.fields(found)
        if isinstance(value := getattr(found, field.name), np.ndarray) and len(value) == 5
    }
    assert of_images == set(PER_IMAGE)
    both = joined([found, found])
    assert both.atlas is found.atlas
    assert both.outlier_reason == [*found.outlier_reason, *found.outlier_reason]
    for name in PER_IMAGE:
        twice = np.concatenate([getattr(found, name)] * 2)
        np.testing.assert_array_equal(getattr(both, name), twice)
