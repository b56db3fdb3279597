from __future__ import annotations

import dataclasses

import numpy as np
from synthetic import Thing, scene, varied_poses

from congeal.alignment.model import PER_IMAGE, Alignment, joined
from congeal.alignment.solver import align

OF_THE_SET = {"status", "atlas", "margin", "medoid"}


def test_every_field_of_an_alignment_is_of_the_set_or_of_each_image() -> None:
    """One that is new is joined and chosen by image only if it is listed: it goes into PER_IMAGE, or here."""
    fields = [field.name for field in dataclasses.fields(Alignment)]
    assert sorted(fields) == sorted([*PER_IMAGE, "outlier_reason", *OF_THE_SET])
    found = align(**scene([Thing(1)] * 5, varied_poses(5)).arguments(), resolution=16, map_resolution=8)
    for name in fields:
        value = getattr(found, name)
        assert (isinstance(value, np.ndarray | list) and len(value) == 5) == (name not in OF_THE_SET), name


def test_parts_are_joined_with_everything_that_is_known_of_an_image() -> None:
    found = align(**scene([Thing(1)] * 5, varied_poses(5)).arguments(), resolution=16, map_resolution=8)
    both = joined([found, found])
    assert both.atlas is found.atlas
    assert both.outlier_reason == [*found.outlier_reason, *found.outlier_reason]
    for name in PER_IMAGE:
        twice = np.concatenate([getattr(found, name)] * 2)
        np.testing.assert_array_equal(getattr(both, name), twice)
