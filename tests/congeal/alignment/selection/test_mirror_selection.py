"""Mirror states that the pairs do not agree on; here they never do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment import solver
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.set_arrays import SetArrays
from congeal.alignment.model import Alignment
from congeal.alignment.poses.pose_consensus import solve_set
from congeal.alignment.solver import align, align_many

# No pairs agree so well.
NO_AGREEMENT = SolverConfig().replace({"poses.mirror_consistency": 2})


def inputs(made: Scene) -> dict[str, Any]:
    return dict(made.arguments())


def solved(made: Scene, config: SolverConfig = NO_AGREEMENT) -> Alignment:
    return align(**inputs(made), config=config)


def turned(made: Scene, found: Alignment) -> bool:
    """Whether the facings are the true ones, or all the other way round."""
    truth = np.array([pose.mirrored for pose in made.poses])
    return bool((found.mirrored == truth).all() or (found.mirrored != truth).all())


def test_mirror_states_that_free_matches_support_are_taken() -> None:
    made = scene([Thing(0)] * 8, varied_poses(8, mirrored=True))
    assert turned(made, solved(made))


def test_mirror_states_that_explain_no_more_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    config = NO_AGREEMENT.replace(
        {
            "poses.mirror_prior": 0,
            "poses.mirror_prior_single_pair": 0,
            "deformation.symmetric_margin": -1,  # else mirror states of what is symmetric are not even tried
        }
    )
    made = scene([Thing(3, symmetric=True)] * 6, varied_poses(6))
    asked: list[bool] = []

    def watched(*arguments: Any) -> Any:
        found = solve_set(*arguments)
        asked.append(found.alternative is not None)
        return found

    monkeypatch.setattr("congeal.alignment.poses.pose_consensus.solve_set", watched)
    assert not solved(made, config).mirrored.any()
    assert asked == [True]


def test_doubtful_sets_decide_alike_beside_others() -> None:
    scenes = [
        scene([Thing(0)] * 6, varied_poses(6, mirrored=True)),
        scene([Thing(3, symmetric=True)] * 4, varied_poses(4)),
        scene([Thing(1)] * 5, varied_poses(5)),
    ]
    together = align_many([SetArrays(**inputs(made)) for made in scenes], config=NO_AGREEMENT)
    for made, found in zip(scenes, together, strict=True):
        alone = solved(made)
        assert (found.mirrored == alone.mirrored).all()
        assert np.abs(found.forward - alone.forward).max() < 1e-3


def test_flows_that_the_choice_has_computed_are_those_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [
        scene([Thing(0)] * 5, varied_poses(5, mirrored=True)),
        scene([Thing(1)] * 5, varied_poses(5, bend=0.35)),
    ]
    sets = [SetArrays(**inputs(made)) for made in scenes]
    kept = align_many(sets, config=NO_AGREEMENT)
    select = solver.select_mirror_states
    known: list[bool] = []

    def forgetful(*arguments: Any) -> Any:
        chosen, flows = select(*arguments)
        known.append(flows is not None)
        return chosen, None

    monkeypatch.setattr(solver, "select_mirror_states", forgetful)
    anew = align_many(sets, config=NO_AGREEMENT)
    assert known == [True]
    for one, other in zip(kept, anew, strict=True):
        assert one.atlas.deformation == other.atlas.deformation
        np.testing.assert_allclose(one.forward, other.forward, atol=1e-5)
