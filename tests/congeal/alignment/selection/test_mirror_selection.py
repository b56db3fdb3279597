"""Facings that the pairs do not agree on; here they never do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.model import Alignment
from congeal.alignment.poses.pose_consensus import settle
from congeal.alignment.solver import align, align_many


@pytest.fixture(autouse=True)
def no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("congeal.alignment.poses.pose_estimation.CONSISTENT", 2.0)


def inputs(made: Scene) -> dict[str, Any]:
    return dict(made.arguments())


def solved(made: Scene) -> Alignment:
    return align(**inputs(made))


def turned(made: Scene, found: Alignment) -> bool:
    """Whether the facings are the true ones, or all the other way round."""
    truth = np.array([pose.mirrored for pose in made.poses])
    return bool((found.mirrored == truth).all() or (found.mirrored != truth).all())


def test_facings_that_free_matches_bear_out_are_taken() -> None:
    made = scene([Thing(0)] * 8, varied_poses(8, mirrored=True))
    assert turned(made, solved(made))


def test_facings_that_explain_no_more_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("congeal.alignment.poses.pose_estimation.FACING_PRIOR", 0.0)
    monkeypatch.setattr("congeal.alignment.poses.pose_estimation.LONE_FACING_PRIOR", 0.0)
    made = scene([Thing(3, symmetric=True)] * 6, varied_poses(6))
    asked: list[bool] = []

    def watched(*arguments: Any) -> Any:
        found = settle(*arguments)
        asked.append(found.otherwise is not None)
        return found

    monkeypatch.setattr("congeal.alignment.poses.pose_consensus.settle", watched)
    assert not solved(made).mirrored.any()
    assert asked == [True]


def test_doubtful_sets_decide_alike_in_company() -> None:
    scenes = [
        scene([Thing(0)] * 6, varied_poses(6, mirrored=True)),
        scene([Thing(3, symmetric=True)] * 4, varied_poses(4)),
        scene([Thing(1)] * 5, varied_poses(5)),
    ]
    together = align_many([SetArrays(**inputs(made)) for made in scenes])
    for made, found in zip(scenes, together, strict=True):
        alone = solved(made)
        assert (found.mirrored == alone.mirrored).all()
        assert np.abs(found.forward - alone.forward).max() < 1e-3
