"""Whether matching bears out a set's maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.model import Alignment
from congeal.alignment.outcomes import DOUBTFUL_BELOW
from congeal.alignment.selection.match_agreement import better_borne_out, few_and_doubtful, match_agreement
from congeal.alignment.solver import align
from congeal.results.outlier_counts import doubtful


def agreement(made: Scene, aligned: Alignment) -> float | None:
    config = SolverConfig().match_agreement
    return match_agreement(
        ImageArrays(made.features, made.saliency), 1.0, aligned, torch.device("cpu"), config
    )


@pytest.fixture(scope="module")
def made() -> Scene:
    return scene([Thing(0)] * 4, varied_poses(4))


def test_right_maps_are_borne_out_and_maps_elsewhere_are_not(made: Scene) -> None:
    found = align(made.features, made.saliency)
    assert found.atlas.match_agreement is not None
    assert found.atlas.match_agreement > DOUBTFUL_BELOW
    turned = np.ascontiguousarray(found.forward[:, ::-1, ::-1])  # every place for the one across
    elsewhere = replace(found, forward=np.concatenate([found.forward[:2], turned[2:]]))
    said = agreement(made, elsewhere)
    assert said is not None
    assert said < found.atlas.match_agreement - 0.3


def test_one_image_has_nothing_to_agree_with(made: Scene) -> None:
    found = align(made.features[:1], made.saliency[:1])
    assert found.atlas.match_agreement is None


def test_only_few_images_on_smooth_maps_that_are_not_borne_out_are_matched_again(made: Scene) -> None:
    config, found = SolverConfig(), align(made.features, made.saliency)
    assert few_and_doubtful(found, 0.5, config)
    assert not few_and_doubtful(found, 0.9, config)
    assert not few_and_doubtful(found, 0.5, config.replace({"match_agreement.few": 3}))
    assert not few_and_doubtful(found, 0.5, SolverConfig.preset("flow"))
    again = replace(found, margin=0.5)
    assert better_borne_out((found, 0.5), (again, 0.55), config.match_agreement)[0] is found
    assert better_borne_out((found, 0.5), (again, 0.65), config.match_agreement) == (again, 0.65)


def test_doubtful_clusters_are_smooth_and_not_borne_out() -> None:
    rows = [
        {"cluster_id": f"c{number}", "status": status, "deformation": kind, "match_agreement": agreed}
        for number, (status, kind, agreed) in enumerate(
            [("ok", "flow", 0.6), ("ok", "flow", 0.9), ("ok", "guided", 0.6), ("single", "rigid", 0.1)]
        )
    ]
    assert doubtful([*rows, {"cluster_id": "old", "status": "ok"}]) == ["c0"]
