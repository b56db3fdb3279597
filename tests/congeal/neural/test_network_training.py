"""Trainings: two phases, both orientations, an atlas that grows, the same bits after a stop, divergence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.errors import CongealError
from congeal.neural import grids
from congeal.neural.checkpoints import decode_state, encode_state
from congeal.neural.config import NetworkSize, Schedule
from congeal.neural.map_fitting import KnownMaps, MapFitting, moved_views
from congeal.neural.networks import MappingNetworks
from congeal.neural.optimisation import DivergedError, Optimiser, with_restart
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.training import Training
from congeal.neural.training_set import TrainingSet

TINY = NetworkSize("tiny", 16, 8, (8, 8), 8, 2, pixels=False)
SHORT = Schedule("short", 30, 2e-3, 4, 2, 2, 1e-3, 1e-2, decide_every=1)
GRID, CHANNELS = 16, 6


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pattern(places: Tensor) -> Tensor:
    """Features [..., c] of places [..., 2] that differ everywhere, and know left from right."""
    draw = torch.Generator().manual_seed(5)
    waves, phase = 2.5 * torch.randn((2, CHANNELS), generator=draw), 6 * torch.rand(CHANNELS, generator=draw)
    return torch.nn.functional.normalize((places @ waves + phase).cos(), dim=-1)


def known_set(shifts: list[tuple[float, float]], mirrored: tuple[int, ...] = ()) -> TrainingSet:
    """Images of one pattern, moved by so much, and mirrored."""
    cells = grids.cells(GRID)
    places = torch.stack([cells - torch.tensor(shift) for shift in shifts])
    features, saliency = pattern(places), (places.norm(dim=-1) < 0.7).float()
    for image in mirrored:
        features[image], saliency[image] = features[image].flip(1), saliency[image].flip(1)
    sound = torch.ones(len(shifts), dtype=torch.bool)
    return TrainingSet.of_tokens(
        SetTensors(
            features,
            features.flip(2),
            saliency,
            saliency.flip(2),
            torch.ones_like(saliency),
            sound,
            ~sound,
            1.0,
        )
    )


def to_the_end(training: Training) -> None:
    while not training.done:
        training.step()


MOVED = [(0.0, 0.0), (0.2, 0.1), (-0.2, 0.05), (0.1, -0.2), (-0.1, -0.1)]


def begun(schedule: Schedule = SHORT, data: TrainingSet | None = None, pace: float = 1.0) -> Training:
    data = data or known_set(MOVED)
    networks = MappingNetworks(CHANNELS + 1, TINY, seed=1)
    return Training(
        networks,
        SemanticAtlas.from_images(data.keys[0], data.saliency[0]),
        data,
        schedule,
        seed=3,
        pace=pace,
    )


def test_the_first_phase_leaves_the_flow_network_alone() -> None:
    training = begun()
    before = {name: value.clone() for name, value in training.networks.state_dict().items()}
    while training.epoch < SHORT.bootstrap:
        training.step()
    moved = {
        name for name, value in training.networks.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved
    assert all(name.startswith("similarity.") for name in moved)
    training.step()
    now = training.networks.state_dict()
    assert not torch.equal(now["residual.coarse.bias"], before["residual.coarse.bias"])


def test_in_the_second_phase_each_network_has_losses_of_its_own() -> None:
    training = begun()
    terms, _ = training.losses_of(torch.tensor([0, 1]), flowing=True)
    own = {"similarity_keys_mse", "similarity_keys_cosine", "similarity_saliency"}
    assert own <= set(terms)
    assert {f"mirrored_{name}" for name in own} <= set(terms)
    assert {"centre", "saliency_sparsity", "keys_sparsity"} <= set(terms)
    of_flow = ("keys_mse", "keys_cosine", "saliency", "magnitude", "local_rigidity", "global_rigidity")
    slopes = torch.autograd.grad(
        torch.stack([terms[name] for name in of_flow]).sum(),
        list(training.networks.similarity.parameters()),
        allow_unused=True,
        retain_graph=True,
    )
    assert slopes == (None,) * len(slopes)
    assert not {"mirrored_centre", "mirrored_saliency_sparsity"} & set(terms)


def test_the_atlas_learns_from_the_chosen_orientation_alone() -> None:
    training = begun()
    terms, _ = training.losses_of(torch.tensor([0, 1]), flowing=True)
    other = [value for name, value in terms.items() if name.startswith("mirrored_")]
    (slope,) = torch.autograd.grad(
        torch.stack(other).sum(), training.atlas.keys, allow_unused=True, retain_graph=True
    )
    assert slope is None
    (slope,) = torch.autograd.grad(terms["keys_mse"], training.atlas.keys)
    assert float(slope.abs().max()) > 0


def test_training_brings_images_that_were_moved_into_one_place() -> None:
    schedule = replace(SHORT, epochs=60, bootstrap=60, mirrors=False, batch=5, network_rate=2e-3)
    training = begun(schedule)
    first, _ = training.losses_of(torch.arange(5), flowing=False)
    while not training.done:
        training.step()
    last, poses = training.losses_of(torch.arange(5), flowing=False)
    assert float(last["keys_cosine"].detach()) < 0.6 * float(first["keys_cosine"].detach())
    found = poses.detach()[:, 2:] - poses.detach()[0, 2:]
    assert float((found - torch.tensor(MOVED)).norm(dim=1).mean()) < 0.12


def test_mirror_states_are_decided_anew_on_schedule() -> None:
    data = known_set(MOVED, mirrored=(1, 3))
    schedule = replace(SHORT, decide_every=3, network_rate=0.0, atlas_rate=0.0, epochs=5)
    training = begun(schedule, data)
    with torch.no_grad():
        training.atlas.keys.copy_(data.keys[0, 0])  # as the first image is
    while training.epoch < 3:
        training.step()
    assert not bool(training.mirrored.any())
    training.step()
    assert training.mirrored.tolist() == [False, True, False, True, False]


def test_images_join_a_gradual_atlas_one_by_one_and_the_rest_do_not_change_it() -> None:
    training = begun(replace(SHORT, gradual=True))
    assert int(training.joined.sum()) == 1
    late = torch.nonzero(~training.joined)[:2, 0]
    terms, _ = training.losses_of(late, flowing=False)
    (slope,) = torch.autograd.grad(
        torch.stack(list(terms.values())).sum(), training.atlas.keys, allow_unused=True
    )
    assert slope is None or float(slope.abs().max()) == 0
    counts = []
    for _ in range(4):
        counts.append(int(training.joined.sum()))
        for _ in range(training.steps_an_epoch):
            training.step()
    assert counts == [1, 1, 2, 3]  # decided at the start of an epoch, from the second on


def test_a_fixed_reference_stays_as_it_is() -> None:
    data = known_set(MOVED)
    atlas = SemanticAtlas.from_images(data.keys[0, :1], data.saliency[0, :1], fixed=True)
    before = atlas.keys.clone()
    training = Training(MappingNetworks(CHANNELS + 1, TINY), atlas, data, SHORT)
    while not training.done:
        training.step()
    assert torch.equal(atlas.keys, before)
    terms, _ = training.losses_of(torch.tensor([0]), flowing=True)
    assert "centre" not in terms


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_a_training_that_is_stopped_goes_on_with_the_same_bits(stop: int) -> None:
    schedule = replace(SHORT, gradual=True)
    whole = begun(schedule)
    while not whole.done:
        whole.step()
    part = begun(schedule)
    for _ in range(stop):
        part.step()
    kept = encode_state(part.state(), {"step": stop})
    again = begun(schedule)
    tensors, card = decode_state(kept)
    assert card["step"] == stop
    again.restore(tensors)
    while not again.done:
        again.step()
    wanted, found = whole.state(), again.state()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_numbers_that_lie_otherwise_in_memory_learn_the_same_and_go_on_with_the_same_bits() -> None:
    layers = [torch.nn.Conv2d(5, 6, 3).to(memory_format=torch.channels_last) for _ in range(3)]
    images = torch.randn((2, 5, 8, 8), generator=torch.Generator().manual_seed(0))
    plain = torch.nn.Conv2d(5, 6, 3)
    for layer in (*layers[1:], plain):
        layer.load_state_dict(layers[0].state_dict())
    one, two, again = (Optimiser({"layer": (layer, 0.1)}) for layer in layers)
    adam = torch.optim.Adam(plain.parameters(), lr=0.1)
    for step in range(4):
        one.descend(layers[0](images).square().sum())
        if step < 2:
            two.descend(layers[1](images).square().sum())
        adam.zero_grad()
        plain(images).square().sum().backward()
        adam.step()
    torch.testing.assert_close(layers[0].state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-5)
    state = two.state()
    assert state["exp_avg/layer.weight"].shape == state["parameter/layer.weight"].shape == (6, 5, 3, 3)
    again.restore(state)
    for _ in range(2):
        again.descend(layers[2](images).square().sum())
    wanted, found = one.state(), again.state()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_state_of_other_networks_is_refused() -> None:
    state = begun().state()
    other = NetworkSize("other", 16, 4, (8, 8), 8, 2, pixels=False)
    data = known_set(MOVED)
    training = Training(
        MappingNetworks(CHANNELS + 1, other),
        SemanticAtlas.from_images(data.keys[0], data.saliency[0]),
        data,
        SHORT,
    )
    with pytest.raises(CongealError, match="does not fit"):
        training.restore(state)


def known_maps(data: TrainingSet) -> KnownMaps:
    poses = torch.tensor([[1.0, 0.0, right, down] for right, down in MOVED])
    flow = torch.zeros(len(poses), TINY.resolution, TINY.resolution, 2)
    flow[1, :, :, 0] = 0.05
    return KnownMaps(poses, flow, torch.ones(flow.shape[:3]))


def fitting(steps: int = 150, pace: float = 1.0, flow_steps: int = 0, rate: float = 5e-3) -> MapFitting:
    data = known_set(MOVED)
    networks = MappingNetworks(CHANNELS + 1, TINY, seed=1)
    schedule = replace(SHORT, fit_steps=steps, fit_rate=rate, batch=5, flow_steps=flow_steps)
    return MapFitting(networks, data.images[0], known_maps(data), schedule, 0, pace)


def test_networks_learn_maps_that_are_known() -> None:
    job = fitting()
    while not job.done:
        job.step()
    with torch.no_grad():
        poses, flow = job.networks(job.images)
    assert float((poses - job.maps.poses).abs().mean()) < 0.05
    assert float((flow - job.maps.flow).abs().mean()) < 0.02


def test_the_flow_learns_alone_what_is_lacking() -> None:
    job = fitting(20, flow_steps=100, rate=0.1)
    while job.optimiser.step < 20:
        job.step()
    before = [value.clone() for value in job.networks.similarity.parameters()]

    @torch.no_grad()
    def off() -> float:
        found = grids.composed(*job.networks(job.images))
        return float((found - grids.composed(job.maps.poses, job.maps.flow)).abs().mean())

    begun_with = off()
    while not job.done:
        job.step()
    assert off() < 0.9 * begun_with
    now = list(job.networks.similarity.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, now, strict=True))


def test_the_flow_of_more_than_ten_images_takes_as_many_more_steps() -> None:
    data = known_set(MOVED * 5)
    maps = known_maps(data)
    more = KnownMaps(*(torch.cat([part] * 5) for part in (maps.poses, maps.flow, maps.weight)))
    networks = MappingNetworks(CHANNELS + 1, TINY, seed=1)
    job = MapFitting(networks, data.images[0], more, replace(SHORT, fit_steps=1, batch=5, flow_steps=2), 0)
    while not job.done:
        job.step()
    assert job.optimiser.step == 1 + 5
    assert fitting(1, flow_steps=2).flow_steps == 2


@pytest.mark.parametrize("stop", [5, 15])
def test_a_fit_that_is_stopped_goes_on_with_the_same_bits(stop: int) -> None:
    whole, part = fitting(12, flow_steps=8), fitting(12, flow_steps=8)
    while not whole.done:
        whole.step()
    for _ in range(stop):
        part.step()
    again = fitting(12, flow_steps=8)
    again.restore(decode_state(encode_state(part.state(), {}))[0])
    while not again.done:
        again.step()
    wanted, found = whole.state(), again.state()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_moved_view_shows_what_lies_where_the_move_leads() -> None:
    cells = grids.cells(32).permute(2, 0, 1)[None]  # an image whose values are its places
    angle = 0.3
    move = torch.tensor([[0.8 * math.cos(angle), 0.8 * math.sin(angle), 0.05, -0.1]])
    view = moved_views(cells, move, 1.0)[0].permute(1, 2, 0)
    wanted = grids.placed(move, grids.cells(32)[None])[0]
    inside = (wanted.abs() < 0.9).all(-1)
    assert torch.allclose(view[inside], wanted[inside], atol=1e-4)


def test_a_training_that_diverges_is_found_within_100_steps_with_its_losses() -> None:
    training = begun(replace(SHORT, epochs=200, network_rate=1e6))
    with pytest.raises(DivergedError) as fault:
        to_the_end(training)
    assert fault.value.step <= 100
    assert "losses: " in str(fault.value)
    assert "keys_cosine" in fault.value.terms


@pytest.mark.parametrize(("logit", "said"), [(-5.0, "collapsed"), (5.0, "grown")])
def test_a_scale_that_collapses_or_explodes_is_found(logit: float, said: str) -> None:
    training = begun(replace(SHORT, epochs=200, network_rate=0.0))
    with torch.no_grad():
        training.networks.similarity.said.bias[1] = logit
    with pytest.raises(DivergedError, match=f"the scale of the maps has {said}") as fault:
        to_the_end(training)
    assert fault.value.step <= 100


def test_a_training_is_begun_once_more_with_a_smaller_step() -> None:
    paces = []

    def run(pace: float) -> None:
        paces.append(pace)
        if len(paces) == 1:
            raise DivergedError(7, "a loss is not finite", {"keys_mse": math.nan})

    assert [fault.step for fault in with_restart(run)] == [7]
    assert paces == [1.0, 0.25]
    assert with_restart(lambda pace: None) == []


def test_a_training_that_diverges_twice_is_given_up() -> None:
    def run(pace: float) -> None:
        raise DivergedError(7, "a loss is not finite", {"keys_mse": math.nan})

    assert len(with_restart(run)) == 2
