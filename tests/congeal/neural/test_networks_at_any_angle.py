"""Networks of things that lie at any angle: each image is turned first, and back at the end."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from transfer_errors import errors
from turned_things import made, poses_at_any_angle

from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.inputs.rotated_views import EIGHTH, Turned, turns_to_atlas
from congeal.alignment.model import Alignment
from congeal.alignment.solver import align
from congeal.neural import refinement
from congeal.neural.checkpoints import decode_networks
from congeal.neural.config import NETWORKS, SCHEDULES, NetworkSize, NeuralMethod, Schedule
from congeal.neural.new_images import fit_new
from congeal.neural.refinement import Refined, refine

COUNT = 7
TINY = NetworkSize("small", 16, 16, (16, 16), 8, 2, pixels=False)
POSES = poses_at_any_angle(COUNT + 2)


@pytest.fixture(scope="module")
def things() -> tuple[dict[str, Any], Alignment]:
    torch.set_num_threads(1)
    arguments = made(POSES[:COUNT])
    return arguments, align(**arguments, resolution=32, map_resolution=32)


def trained(
    things: tuple[dict[str, Any], Alignment], monkeypatch: pytest.MonkeyPatch, steps: int, share: float
) -> Refined:
    """What comes of it. share: of free matches that networks explain; the direct maps explain a half."""
    arguments, direct = things
    monkeypatch.setitem(NETWORKS, "small", TINY)
    schedule = Schedule("fast", steps, 4e-3, 3, 0, 6, 2e-5, 1e-3, mirrors=False, losses="evaluation")
    monkeypatch.setitem(SCHEDULES, "fast", schedule)
    monkeypatch.setattr(
        refinement, "share_explained", lambda solved, aligned, _: 0.5 if aligned is solved.aligned else share
    )
    return refine(arrays_of(arguments), direct, NeuralMethod(), turned=arguments["turned"])


def arrays_of(arguments: dict[str, Any]) -> ImageArrays:
    return ImageArrays(**{name: array for name, array in arguments.items() if name != "turned"})


@pytest.mark.slow
def test_networks_map_things_at_any_angle_and_new_ones(
    things: tuple[dict[str, Any], Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, direct = things
    found = trained(things, monkeypatch, 400, 1.0)
    assert found.facts["kept"] == "refined"
    # In the images as they are, at their own angles, as the direct solution.
    turn = np.angle(np.exp(1j * (found.aligned.rotation - direct.rotation)))
    assert np.abs(turn).max() < 0.5
    assert np.ptp(direct.rotation) > 2
    off = errors(found.aligned, POSES[:COUNT], list(range(COUNT)))
    assert np.median(off) < 1.5
    assert np.median(found.aligned.cycle_error) < 0.1
    assert found.networks is not None
    networks = decode_networks(found.networks).networks
    new = made(POSES)
    rest = {name: array[COUNT:] for name, array in new.items() if name != "turned"}
    turned = Turned(**{one.name: getattr(new["turned"], one.name)[COUNT:] for one in fields(Turned)})
    for way in ("network", "network+steps"):
        fitted = fit_new(
            found.aligned.atlas, ImageArrays(**rest), way, networks=networks, turned=turned, map_resolution=32
        ).aligned
        names = ("forward", "forward_confidence", "backward", "backward_confidence")
        both = {name: np.concatenate([getattr(found.aligned, name), getattr(fitted, name)]) for name in names}
        off = errors(replace(found.aligned, **both), POSES, list(range(COUNT + 2)))
        assert np.median(off) < 2


@pytest.mark.slow
def test_the_direct_maps_stay_as_they_are_where_they_are_kept(
    things: tuple[dict[str, Any], Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, direct = things
    found = trained(things, monkeypatch, 5, 0.0)
    assert found.facts["kept"] == "direct"
    assert found.aligned is direct
    assert found.networks is not None


@pytest.mark.slow
def test_what_is_left_of_an_angle_is_half_a_view(things: tuple[dict[str, Any], Alignment]) -> None:
    _, direct = things
    turns = turns_to_atlas(direct)
    sense = np.where(direct.mirrored, -1, 1)
    left = np.angle(np.exp(1j * (direct.rotation - sense * turns * EIGHTH)))
    assert np.abs(left).max() <= EIGHTH / 2 + 1e-5
