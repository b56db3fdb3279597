"""The whole method on a made-up set: fast start, the better kept, resumed to the same bits, fallback."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import Scene, Thing, scene, varied_poses

import congeal
from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays
from congeal.alignment.model import GUIDED, Alignment
from congeal.alignment.outcomes import NOTHING_IN_COMMON
from congeal.errors import CongealError
from congeal.geometry.warps import Warps
from congeal.neural import refinement
from congeal.neural.checkpoints import decode_networks
from congeal.neural.config import NETWORKS, SCHEDULES, NetworkSize, NeuralMethod, Schedule
from congeal.neural.networks import MappingNetworks
from congeal.neural.new_images import WAYS, fit_new
from congeal.neural.refinement import Checkpoints, Refined, refine
from congeal.neural.solution import SolvedSet, resized, solution, warps_of

TINY = NetworkSize("small", 16, 16, (16, 16), 8, 2, pixels=False)
SHORT = Schedule("fast", 20, 4e-3, 3, 0, 6, 2e-5, 1e-3, mirrors=False, losses="evaluation")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(NETWORKS, "small", TINY)
    monkeypatch.setitem(SCHEDULES, "fast", SHORT)
    paper = Schedule("published", 0, 0.0, 6, 2, 2, 1e-4, 8e-4, decide_every=2)
    monkeypatch.setitem(SCHEDULES, "published", paper)


@pytest.fixture(scope="module")
def things() -> tuple[Scene, ImageArrays, Alignment]:
    made = scene([Thing(0)] * 6, varied_poses(6, mirrored=True, bend=0.2))
    arrays = ImageArrays(made.features, made.saliency, made.mirrored_features, made.mirrored_saliency, None)
    direct = congeal.align(**made.arguments(), resolution=32, map_resolution=32)
    return made, arrays, direct


def refined(
    things: tuple[Scene, ImageArrays, Alignment], method: NeuralMethod | None = None, **more: Any
) -> Refined:
    _, arrays, direct = things
    return refine(arrays, direct, method or NeuralMethod(), **more)


class Stopped(Exception):  # noqa: N818
    """As a kill would."""


class Kept(Checkpoints):
    """In memory; stops the training once it has been asked so often."""

    def __init__(self, stop: int | None = None, data: bytes | None = None) -> None:
        self.data, self.stop, self.count = data, stop, 0

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        self.data = data
        self.count += 1
        if self.count == self.stop:
            raise Stopped


@pytest.mark.slow
def test_the_fast_start_comes_near_the_direct_maps_and_says_what_it_weighed(
    things: tuple[Scene, ImageArrays, Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEDULES, "fast", replace(SHORT, fit_steps=250))
    _, _, direct = things
    found = refined(things)
    assert set(found.facts["explained"]) == {"direct", "fitted", "refined"}
    assert found.facts["kept"] in {"direct", "fitted", "refined"}
    assert found.facts["explained"]["fitted"] > 0.8 * found.facts["explained"]["direct"]
    assert found.networks is not None
    trained = decode_networks(found.networks)
    assert trained.card["images"] == 6
    assert trained.networks.parameters_in_all == found.facts["parameters"]
    assert found.aligned.mirrored.tolist() == direct.mirrored.tolist()
    if found.facts["kept"] == "direct":
        assert found.aligned is direct
        assert found.facts["explained"]["direct"] > found.facts["explained"][found.facts["of_networks"]]


@pytest.mark.parametrize(("share", "kept"), [(1.0, "refined"), (0.0, "direct")])
def test_what_free_matches_bear_out_is_kept(
    things: tuple[Scene, ImageArrays, Alignment], monkeypatch: pytest.MonkeyPatch, share: float, kept: str
) -> None:
    _, _, direct = things
    monkeypatch.setattr(
        refinement, "share_explained", lambda solved, aligned, _: 0.5 if aligned is direct else share
    )
    found = refined(things)
    assert found.facts["kept"] == kept
    assert (found.aligned is direct) == (kept == "direct")
    if kept == "refined":
        assert found.aligned.forward.shape == direct.forward.shape
        assert found.aligned.backward.shape == direct.backward.shape
        size = direct.scale[:, None, None]
        off = np.linalg.norm(found.aligned.forward - direct.forward, axis=-1) / size
        assert np.median(off[:, direct.atlas.saliency > 0.3]) < 0.5
        assert found.aligned.atlas.evidence > 0


@pytest.mark.parametrize(
    "stop", [pytest.param(1, marks=pytest.mark.slow), 15, pytest.param(22, marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_goes_on_to_the_same_bits(
    things: tuple[Scene, ImageArrays, Alignment], monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(refinement, "SAVE_EVERY", 0.0)
    whole = refined(things)
    kept = Kept(stop)
    with pytest.raises(Stopped):
        refined(things, checkpoints=kept)
    again = refined(things, checkpoints=Kept(data=kept.data))
    assert again.networks == whole.networks
    assert again.facts == whole.facts
    np.testing.assert_array_equal(again.aligned.forward, whole.aligned.forward)


def test_a_checkpoint_is_there_after_the_first_step(things: tuple[Scene, ImageArrays, Alignment]) -> None:
    kept = Kept(1)
    with pytest.raises(Stopped):
        refined(things, checkpoints=kept)
    assert kept.data is not None


def test_what_diverges_twice_falls_back_to_the_direct_solution_and_says_so(
    things: tuple[Scene, ImageArrays, Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, direct = things
    monkeypatch.setitem(SCHEDULES, "fast", replace(SHORT, epochs=100, network_rate=1e9))
    found = refined(things)
    assert found.aligned is direct
    assert found.facts["kept"] == "direct"
    assert found.facts["why"] == "the training diverged twice"
    assert len(found.facts["faults"]) == 2
    assert "losses: " in found.facts["faults"][0]


def test_the_published_schedule_begins_with_nothing(things: tuple[Scene, ImageArrays, Alignment]) -> None:
    found = refined(things, NeuralMethod(schedule="published", losses="evaluation"))
    assert set(found.facts["explained"]) == {"direct", "refined"}
    assert found.facts["losses"] == "evaluation"


@pytest.mark.parametrize("asked", [{"gradual": True}, {"reference": "medoid"}])
def test_images_that_join_one_by_one_and_a_fixed_reference(
    things: tuple[Scene, ImageArrays, Alignment], asked: dict[str, Any]
) -> None:
    found = refined(things, NeuralMethod(schedule="published", losses="evaluation", **asked))
    assert found.networks is not None
    assert asked.keys() <= found.facts.keys()
    plain = refined(things, NeuralMethod(schedule="published", losses="evaluation"))
    assert found.networks != plain.networks


def test_the_fast_schedule_is_too_short_for_images_that_join_one_by_one() -> None:
    with pytest.raises(CongealError, match="the fast is too short"):
        NeuralMethod(gradual=True)


def test_networks_that_see_images_ask_for_them(
    things: tuple[Scene, ImageArrays, Alignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, "published", replace(TINY, pixels=True))
    with pytest.raises(CongealError, match="see images: give pixels"):
        refined(things, NeuralMethod(network="published"))
    pixels = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3)).astype(np.uint8)
    found = refined(things, NeuralMethod(network="published"), pixels=pixels)
    assert found.networks is not None
    assert decode_networks(found.networks).networks.inputs == 3


def test_a_set_with_nothing_to_learn_from_stays_as_it_is(
    things: tuple[Scene, ImageArrays, Alignment],
) -> None:
    made, arrays, direct = things
    found = refined((made, arrays, replace(direct, status=NOTHING_IN_COMMON)))
    assert found.networks is None
    assert found.facts["why"] == "the direct solver says nothing-in-common"
    few = replace(direct, outlier=np.array([False, False, True, True, True, True]))
    assert refined((made, arrays, few)).facts["why"] == "2 images fit together, and 3 are needed"


def test_a_method_that_is_none_is_refused() -> None:
    with pytest.raises(CongealError, match="schedule is one of fast, published, not 'slow'"):
        NeuralMethod(schedule="slow")


def test_a_set_matched_cell_by_cell_teaches_the_smooth_maps_near_which_it_is_matched() -> None:
    made = scene([Thing(0)] * 6, varied_poses(6, mirrored=True, bend=0.2))
    arrays = ImageArrays(made.features, made.saliency, made.mirrored_features, made.mirrored_saliency, None)
    by_cell = SolverConfig().replace({"deformation.least": GUIDED})
    direct = congeal.align(**made.arguments(), resolution=32, map_resolution=32, config=by_cell)
    assert direct.atlas.deformation == GUIDED
    solved = SolvedSet.of(arrays, direct, 1.0, by_cell, 0, torch.device("cpu"))
    taught = warps_of(solved, 16)
    assert taught.displacement.abs().mean() < 0.03
    step = taught.displacement.diff(dim=1)
    assert step.norm(dim=-1).max() < 0.125  # the distance of two cells: a map without folds
    again = solution(solved, taught)
    assert again.atlas.deformation == GUIDED
    off = np.linalg.norm(again.forward - direct.forward, axis=-1) / direct.scale[:, None, None]
    salient = np.broadcast_to(direct.atlas.saliency > 0.5, off.shape)
    assert np.median(off[salient]) < 0.02


def test_new_images_begin_where_matches_say_if_networks_are_far_off(
    things: tuple[Scene, ImageArrays, Alignment],
) -> None:
    _, arrays, direct = things
    ignorant = MappingNetworks(int(direct.atlas.projection.shape[-1]) + 1, TINY)  # all lies in the middle
    off = {}
    for way in WAYS:
        found = fit_new(direct.atlas, arrays, way, networks=ignorant, map_resolution=32).aligned
        assert found.mirrored.tolist() == direct.mirrored.tolist()
        apart = np.linalg.norm(found.forward - direct.forward, axis=-1) / direct.scale[:, None, None]
        off[way] = float(np.median(apart[:, direct.atlas.saliency > 0.3]))
    assert off["network"] > 0.3
    assert off["network+steps"] < 0.1
    assert off["steps"] < 0.1


def test_a_flow_at_fewer_cells_is_the_one_that_the_finer_was_read_from() -> None:
    draw = torch.Generator().manual_seed(0)
    coarse = Warps(
        torch.ones(2, dtype=torch.complex64),
        torch.zeros(2, dtype=torch.complex64),
        0.1 * torch.randn((2, 16, 16, 2), generator=draw),
        torch.zeros(2, dtype=torch.bool),
    )
    fine = resized(coarse, 32)
    assert fine.displacement.shape == (2, 32, 32, 2)
    off = (resized(resized(fine, 16), 32).displacement - fine.displacement).square().mean().sqrt()
    assert float(off) < 0.05 * float(fine.displacement.std())
