from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import Scene, Thing, scene, varied_poses

from congeal.alignment import solver
from congeal.alignment.config.selection import CollapseConfig
from congeal.alignment.model import Alignment, Verdict
from congeal.alignment.outcomes import COLLAPSED, NOTHING_IN_COMMON, OK
from congeal.alignment.selection.collapse_check import check_collapse
from congeal.alignment.solver import align

COUNT = 5


@pytest.fixture(scope="module")
def made() -> Scene:
    return scene([Thing(0)] * COUNT, varied_poses(COUNT))


def solved(made: Scene) -> Alignment:
    arguments: dict[str, Any] = made.arguments()
    return align(arguments.pop("features"), arguments.pop("saliency"), **arguments)


def test_an_atlas_in_which_nothing_shows_is_called_collapsed(
    made: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = solver.build_atlas
    monkeypatch.setattr(
        solver,
        "build_atlas",
        lambda *given: replace(found := build(*given), saliency=np.zeros_like(found.saliency)),
    )
    found = solved(made)
    assert found.status == "collapsed"
    assert found.outlier.all()
    assert all("nothing shows in it" in str(reason) for reason in found.outlier_reason)
    assert float(found.forward_confidence.max()) == float(found.backward_confidence.max()) == 0


def verdict(status: str = OK) -> Verdict:
    return Verdict(status, torch.ones(3), [None, None, "it has nothing"], 0.5, 0)


@pytest.mark.parametrize(
    ("scales", "status"),
    [
        ([0.5, 0.9, 0.7], OK),
        ([0.5, 3.0, 0.7], OK),
        ([0.5, 0.7, 900.0], OK),  # the third is an outlier already
        ([0.5, 0.001, 0.7], COLLAPSED),
        ([0.5, 90.0, 0.7], COLLAPSED),
        ([0.5, float("nan"), 0.7], COLLAPSED),
        ([0.0, 0.5, 0.7], COLLAPSED),
    ],
)
def test_images_that_came_to_absurd_sizes(made: Scene, scales: list[float], status: str) -> None:
    poses = torch.complex(torch.tensor(scales), torch.zeros(3))
    good = torch.tensor([True, True, False])
    found = check_collapse(verdict(), solved(made).atlas, poses, good, CollapseConfig())
    assert found.status == status
    assert found.reasons[2] == "it has nothing"
    blown = [reason is not None and "blew up" in reason for reason in found.reasons[:2]]
    assert blown == [status == COLLAPSED] * 2


def test_a_set_without_anything_in_common_stays_that(made: Scene) -> None:
    poses = torch.zeros(3, dtype=torch.complex64)
    given = verdict(NOTHING_IN_COMMON)
    good = torch.ones(3, dtype=torch.bool)
    assert check_collapse(given, solved(made).atlas, poses, good, CollapseConfig()) is given
