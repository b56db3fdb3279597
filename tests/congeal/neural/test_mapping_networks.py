"""The mapping networks, the maps they say, the atlas they share, and what they are stored as."""

from __future__ import annotations

import json
import math

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_training import plain_trunk
from torch import Tensor

from congeal.alignment.inputs.set_tensors import SetTensors
from congeal.errors import CongealError
from congeal.geometry.warps import Warps, to_oriented
from congeal.neural import grids
from congeal.neural.checkpoints import decode_networks, decode_state, encode_networks, encode_state
from congeal.neural.config import NETWORKS, PUBLISHED, SMALL, NetworkSize
from congeal.neural.networks import MappingNetworks, convex_upsampled
from congeal.neural.semantic_atlas import SemanticAtlas
from congeal.neural.training_set import TrainingSet

TINY = NetworkSize("tiny", 16, 8, (8, 8), 8, 2, pixels=False)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow_upsampled(flow: Tensor, weights: Tensor, factor: int) -> Tensor:
    """Fine cell by fine cell."""
    n, _, h, w = flow.shape
    out = torch.zeros(n, factor * h, factor * w, 2)
    for image in range(n):
        for y in range(factor * h):
            for x in range(factor * w):
                row, column, within = y // factor, x // factor, (y % factor) * factor + x % factor
                logits = weights[image].view(9, factor**2, h, w)[:, within, row, column]
                share = logits.softmax(0)
                for number in range(9):
                    down = min(max(row + number // 3 - 1, 0), h - 1)
                    right = min(max(column + number % 3 - 1, 0), w - 1)
                    out[image, y, x] += share[number] * flow[image, :, down, right]
    return out


def test_upsampling_agrees_with_the_slow_reference() -> None:
    flow, weights = drawn(2, 2, 3, 4), drawn(2, 9 * 4, 3, 4, seed=1)
    assert torch.allclose(convex_upsampled(flow, weights, 2), slow_upsampled(flow, weights, 2), atol=1e-6)


def test_upsampling_stays_within_what_it_combines_and_keeps_constants() -> None:
    flow = drawn(1, 2, 4, 4)
    fine = convex_upsampled(flow, 5 * drawn(1, 9 * 9, 4, 4, seed=1), 3)
    assert fine.shape == (1, 12, 12, 2)
    assert float(fine.max()) <= float(flow.max())
    constant = torch.full((1, 2, 4, 4), 0.3)
    assert torch.allclose(convex_upsampled(constant, drawn(1, 81, 4, 4), 3), torch.tensor(0.3))


@given(angle=st.floats(-2.5, 2.5), scale=st.floats(0.2, 4), right=st.floats(-1, 1), down=st.floats(-1, 1))
@settings(max_examples=20)
def test_logits_and_poses_are_each_others_inverse(
    angle: float, scale: float, right: float, down: float
) -> None:
    pose = torch.tensor([[scale * math.cos(angle), scale * math.sin(angle), right, down]])
    assert torch.allclose(grids.pose_of(grids.logits_of(pose)), pose, atol=1e-4)


def test_what_a_network_says_by_hand() -> None:
    logits = torch.tensor([[math.atanh(0.5), math.log(2), 0.1, -0.2]])
    pose = grids.pose_of(logits)
    assert pose[0].tolist() == pytest.approx([0, 2, 0.1, -0.2], abs=1e-6)  # a quarter turn, twice as large
    places = grids.placed(pose, torch.tensor([[[1.0, 0.0]]]))
    assert places.flatten().tolist() == pytest.approx([0.1, 1.8], abs=1e-6)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_what_a_pose_has_placed_can_be_undone(seed: int) -> None:
    pose, points = grids.pose_of(0.5 * drawn(3, 4, seed=seed)), drawn(3, 5, 2, seed=seed + 1)
    assert torch.allclose(grids.undone(pose, grids.placed(pose, points)), points, atol=1e-4)


def test_maps_are_those_of_the_products_warps() -> None:
    pose, flow = grids.pose_of(0.3 * drawn(3, 4)), 0.1 * drawn(3, 8, 8, 2, seed=1)
    a, b = torch.view_as_complex(pose.view(3, 2, 2)).unbind(1)
    warps = Warps(a.contiguous(), b.contiguous(), flow, torch.zeros(3, dtype=torch.bool))
    wanted = to_oriented(warps, grids.cells(8).expand(3, -1, -1, -1).contiguous())
    assert torch.allclose(grids.composed(pose, flow), wanted, atol=1e-5)


@pytest.mark.parametrize("name", [SMALL, PUBLISHED])
def test_networks_begin_with_the_identity(name: str) -> None:
    size = NETWORKS[name]
    networks = MappingNetworks(3, size)
    with torch.no_grad():
        poses, flows = networks(drawn(1, 3, 32, 32))
    assert poses[0].tolist() == [1, 0, 0, 0]
    assert flows.shape == (1, size.resolution, size.resolution, 2)
    assert float(flows.abs().max()) == 0


def test_the_published_sizes_are_those_of_the_paper() -> None:
    size = NETWORKS[PUBLISHED]
    assert (size.input_size, size.coarse, size.upsampling, size.resolution) == (128, 16, 8, 128)
    networks = MappingNetworks(3, size)
    assert networks.residual.weights.weight.shape[0] == 576
    assert 20e6 < networks.parameters_in_all < 43e6


def test_no_gradient_of_the_flow_reaches_the_poses() -> None:
    networks = MappingNetworks(5, TINY)
    with torch.no_grad():
        networks.residual.coarse.weight.normal_(generator=torch.Generator().manual_seed(0))
    images = drawn(2, 5, 16, 16)
    _, flow = networks(images)
    flow.square().sum().backward()
    assert all(value.grad is None for value in networks.similarity.parameters())
    assert networks.residual.trunk[0].weight.grad is not None


def test_the_same_seed_gives_the_same_networks_and_leaves_the_callers_draws_alone() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    one, two = (MappingNetworks(3, TINY, seed=4).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_atlas_begins_with_the_mean_of_its_images() -> None:
    keys, saliency = drawn(3, 4, 6, 6), torch.rand((3, 6, 6), generator=torch.Generator().manual_seed(0))
    atlas = SemanticAtlas.from_images(keys, saliency).requires_grad_(False)
    assert torch.allclose(atlas.keys, keys.mean(0))
    assert float(atlas.saliency.min()) == pytest.approx(0.1, abs=1e-6)
    assert float(atlas.saliency.max()) == pytest.approx(0.9, abs=1e-6)
    order = saliency.mean(0).flatten().argsort()
    assert torch.equal(atlas.saliency.flatten().argsort(), order)


def test_a_fixed_atlas_asks_for_no_gradient() -> None:
    atlas = SemanticAtlas.from_images(drawn(1, 4, 6, 6), torch.rand(1, 6, 6), fixed=True)
    assert not any(value.requires_grad for value in atlas.parameters())


def images_of(n: int, g: int = 8, c: int = 4) -> SetTensors:
    features = torch.nn.functional.normalize(drawn(n, g, g, c), dim=-1)
    saliency = torch.rand((n, g, g), generator=torch.Generator().manual_seed(1))
    valid = torch.ones(n, g, g)
    valid[:, :, 0] = 0
    sound = torch.ones(n, dtype=torch.bool)
    return SetTensors(features, features.flip(2), saliency, saliency.flip(2), valid, sound, ~sound, 1.0)


def test_images_in_their_place_where_the_map_is_the_identity_are_as_they_were() -> None:
    images = images_of(3)
    data = TrainingSet.of_tokens(images)
    mirrored = torch.tensor([True, False])
    some = data.oriented(mirrored, torch.tensor([1, 2]))
    seen = some.placed(grids.cells(8).expand(2, -1, -1, -1))
    assert torch.allclose(seen.keys[0], images.mirrored_features[1].permute(2, 0, 1), atol=1e-5)
    assert torch.allclose(seen.keys[1], images.features[2].permute(2, 0, 1), atol=1e-5)
    assert seen.inside[0].sum() == seen.inside[1].sum() == 56
    assert float(seen.inside[0, :, -1].max()) == 0  # what was the left edge lies at the right


def test_networks_are_read_as_they_were_written() -> None:
    networks = MappingNetworks(5, TINY, 0.97, seed=2)
    read = decode_networks(encode_networks(networks, {"images": 7}))
    assert read.card == {"images": 7}
    assert (read.networks.size, read.networks.inputs, read.networks.extent) == (TINY, 5, 0.97)
    for name, value in networks.state_dict().items():
        assert torch.equal(read.networks.state_dict()[name], value)


def test_a_state_is_read_as_it_was_written() -> None:
    tensors, card = decode_state(encode_state({"a": torch.arange(3)}, {"step": 4}))
    assert tensors["a"].tolist() == [0, 1, 2]
    assert card["step"] == 4


def test_what_is_no_checkpoint_is_refused_in_a_sentence() -> None:
    for data in (b"", b"PK\x03\x04", b"\x80\x02" * 20, safetensors.torch.save({"a": torch.ones(2)})):
        with pytest.raises(CongealError, match="no checkpoint of mapping networks"):
            decode_networks(data)
    with pytest.raises(CongealError, match="card of the mapping networks is not complete"):
        decode_networks(encode_state({"a": torch.ones(2)}, {}))


def test_a_card_that_does_not_fit_its_tensors_is_refused() -> None:
    networks = MappingNetworks(5, TINY)
    tensors, about = decode_state(encode_networks(networks, {}))
    with pytest.raises(CongealError, match="do not fit their card"):
        decode_networks(encode_state(tensors, about | {"inputs": 6}))
    with pytest.raises(CongealError, match="sizes that no network has"):
        decode_networks(encode_state(tensors, about | {"inputs": 10**9}))
    assert json.dumps(about)


def test_a_trunk_computes_its_first_layers_as_one_and_learns_as_if_it_had_not() -> None:
    size = NetworkSize("colours", 16, 8, (8, 12), 4, 2, pixels=True)
    networks = MappingNetworks(3, size, seed=1).double()
    trunk = networks.residual.trunk
    with torch.no_grad():
        trunk[0].bias.copy_(drawn(8, seed=2))  # which counts at the edges: none comes from beyond the image
    images, weight = drawn(2, 3, 16, 16).double(), drawn(2, 12, 4, 4, seed=3).double()
    slopes = []
    for found in (trunk(images), plain_trunk(trunk, images)):
        (found * weight).sum().backward()
        slopes.append({name: value.grad for name, value in trunk.named_parameters()})
        trunk.zero_grad(set_to_none=True)
    torch.testing.assert_close(trunk(images), plain_trunk(trunk, images), rtol=1e-9, atol=1e-9)
    for name, slope in slopes[0].items():
        torch.testing.assert_close(slope, slopes[1][name], rtol=1e-8, atol=1e-8)
