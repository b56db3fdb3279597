"""Keys of an atlas against bilinear values of images' keys: as sampling them gives, values and gradients."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.neural import grids
from congeal.neural.config import NetworkSize, Schedule
from congeal.neural.key_matching import KeyTable
from congeal.neural.networks import MappingNetworks, halved
from congeal.neural.optimisation import Optimiser
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.training import Training
from congeal.neural.training_set import TrainingSet

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from plain_training import PlainTraining

PIXELS = NetworkSize("tiny", 16, 8, (8, 8), 8, 2, pixels=True)
BOTH = Schedule("both", 0, 0.0, 4, 0, 2, 1e-3, 1e-2)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40)
@given(
    images=st.integers(1, 3),
    side=st.integers(2, 6),
    resolution=st.integers(1, 7),
    extent=st.floats(0.5, 1.0),
    reach=st.floats(0.1, 3.0),
    seed=st.integers(0, 99),
)
def test_products_and_their_gradients_are_those_of_sampled_keys(
    images: int, side: int, resolution: int, extent: float, reach: float, seed: int
) -> None:
    keys = drawn(images, 5, side, side, seed=seed)
    atlas = drawn(5, resolution, resolution, seed=seed + 1).requires_grad_()
    places = (reach * drawn(images, resolution, resolution, 2, seed=seed + 2)).requires_grad_()
    seen = grids.sampled(keys, places, extent)
    wanted = (atlas * seen).sum(1), seen.square().sum(1)
    found = KeyTable.of(keys).products(atlas, places, extent)
    weights = [drawn(images, resolution, resolution, seed=seed + k) for k in (3, 4)]
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
    moved = torch.autograd.grad(found, [atlas, places], weights)
    for one, two in zip(moved, torch.autograd.grad(wanted, [atlas, places], weights), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


def test_places_that_are_no_numbers_are_read_at_the_border_and_move_nothing() -> None:
    keys, atlas = drawn(1, 3, 4, 4), drawn(3, 1, 3, seed=1)[:, :, :1]
    places = torch.tensor([[[[math.nan, math.inf]]]], requires_grad=True)
    dot, square = KeyTable.of(keys).products(atlas, places, 1.0)
    corner = keys[0, :, -1, -1]
    torch.testing.assert_close(dot[0, 0, 0], corner @ atlas[:, 0, 0])
    torch.testing.assert_close(square[0, 0, 0], corner @ corner)
    (moved,) = torch.autograd.grad([dot.sum() + square.sum()], [places])
    assert moved.abs().sum() == 0


def test_halving_in_bfloat16_is_the_mean_of_four_and_spreads_its_gradient() -> None:
    x = drawn(2, 3, 4, 6).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    found = halved(x)
    wanted = torch.nn.functional.avg_pool2d(x.detach().float(), 2)
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=1e-2)
    (moved,) = torch.autograd.grad(found, x, torch.ones_like(found))
    assert torch.equal(moved, torch.full_like(x, 0.25))


def training_on_pixels() -> Training:
    """Three images of nothing in particular, of which one is mirrored; networks that say something."""
    features = torch.nn.functional.normalize(drawn(3, 8, 8, 6), dim=-1)
    saliency, sound = drawn(3, 8, 8, seed=1).sigmoid(), torch.ones(3, dtype=torch.bool)
    images = SetTensors(
        features, features.flip(2), saliency, saliency.flip(2), torch.ones_like(saliency), sound, ~sound, 1.0
    )
    pixels = (255 * drawn(3, 32, 32, 3, seed=2).sigmoid()).byte()
    data = TrainingSet.of_pixels(images, pixels)
    networks = MappingNetworks(3, PIXELS)
    with torch.no_grad():
        for value in networks.parameters():
            value.add_(0.05 * drawn(*value.shape, seed=3))
    seen = data.oriented(sound, torch.arange(3)).placed(grids.cells(16).expand(3, -1, -1, -1).contiguous())
    atlas = SemanticAtlas.from_images(seen.keys, seen.saliency)
    training = Training(networks, atlas, data, BOTH, mirrored=torch.tensor([False, True, False]))
    training.__dict__["_in_bfloat16"] = False  # which a processor may or may not have
    return training


def test_the_loop_has_the_losses_and_gradients_of_the_plain_one() -> None:
    training = training_on_pixels()
    plain, rows = PlainTraining(training), torch.tensor([0, 2])
    found, _ = training.losses_of(rows, flowing=True)
    wanted = plain.losses(rows)
    assert set(found) == set(wanted)
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-3, atol=1e-2, msg=name)
    for terms in (found, wanted):
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
    for mine, other in ((training.networks, plain.networks), (training.atlas, plain.atlas)):
        there = dict(other.named_parameters())
        for name, value in mine.named_parameters():
            assert value.grad is not None
            off = (value.grad - there[name].grad).norm() / there[name].grad.norm()
            assert off < 1e-2, (name, float(off))


def test_images_that_have_not_joined_do_not_change_the_atlas_whichever_way_keys_are_compared() -> None:
    def gradient(joined: list[bool], *, sampling: bool = False) -> Tensor:
        training = training_on_pixels()
        if sampling:  # as on a GPU
            training.data = replace(training.data, table=None)
        training.schedule = replace(BOTH, gradual=True, mirrors=False)
        training.joined = torch.tensor(joined)
        terms, _ = training.losses_of(torch.tensor([0, 1]), flowing=True)
        (found,) = torch.autograd.grad(terms["keys_mse"], training.atlas.keys, allow_unused=True)
        return found

    one, two, both = (gradient([*joined, False]) for joined in ([True, False], [False, True], [True, True]))
    torch.testing.assert_close(one + two, both, rtol=1e-3, atol=1e-4)
    assert one.abs().max() > 0
    torch.testing.assert_close(gradient([True, False, False], sampling=True), one, rtol=1e-3, atol=1e-4)


def test_a_state_goes_on_with_the_same_bits_whatever_the_order_of_numbers_in_memory() -> None:
    whole = training_on_pixels()
    for _ in range(4):
        whole.step()
    first = training_on_pixels()
    for _ in range(2):
        first.step()
    rest = training_on_pixels()
    rest.restore({name: value.contiguous() for name, value in first.state().items()})
    for _ in range(2):
        rest.step()
    for name, value in whole.state().items():
        assert torch.equal(value, rest.state()[name]), name


def test_moments_lie_like_their_parameters() -> None:
    layer = torch.nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    optimiser = Optimiser({"layer": (layer, 1e-2)})
    optimiser.descend(layer(drawn(1, 4, 5, 5)).square().sum())
    other = torch.nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    again = Optimiser({"layer": (other, 1e-2)})
    again.restore(optimiser.state())
    for one, two in ((layer, optimiser), (other, again)):
        two.descend(one(drawn(1, 4, 5, 5, seed=1)).square().sum())
    assert torch.equal(layer.weight, other.weight)
