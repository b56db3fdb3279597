from __future__ import annotations

import json

import pytest
import safetensors.torch
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from congeal.backbones import packed_checkpoint
from congeal.backbones.checkpoints import state_dict
from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.errors import BackboneError

NAME = "test_vit"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(timm.create_model(NAME, num_classes=0).state_dict())


def test_a_packed_file_is_a_quarter_as_large_and_tells_the_same(state: dict[str, torch.Tensor]) -> None:
    data = packed_checkpoint.pack(state, NAME, {"made": "here"})
    assert len(data) < 0.45 * len(safetensors.torch.save(state))
    back = state_dict(data)
    assert back.keys() == state.keys()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    spec = BackboneSpec(NAME, image_size=64, precision="float32")
    plain = load_backbone(spec, safetensors.torch.save(state), "cpu")(images)
    packed = load_backbone(spec, data, "cpu")(images)
    assert torch.cosine_similarity(plain.features, packed.features, dim=-1).min() > 0.999


def test_half_precision_is_kept_to_the_bit(state: dict[str, torch.Tensor]) -> None:
    back = state_dict(packed_checkpoint.pack(state, NAME, {}, half=True))
    assert all(torch.equal(back[name], tensor.half()) for name, tensor in state.items())


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40), st.integers(1, 4))
def test_no_value_moves_by_more_than_half_a_step_of_its_row(values: list[float], count: int) -> None:
    rows = torch.tensor([values] * count) * torch.arange(1, count + 1)[:, None]
    back = state_dict(packed_checkpoint.pack({"x.weight": rows}, NAME, {}))["x.weight"]
    # The scale is rounded to float16, 11 bits, hence up to a hundredth of the largest value's place.
    step = rows.abs().amax(1, keepdim=True) / 127
    assert ((back - rows).abs() <= 0.57 * step + 1e-5).all()


def test_the_same_content_gives_the_same_bytes_and_says_what_it_is(state: dict[str, torch.Tensor]) -> None:
    data = packed_checkpoint.pack(state, NAME, {"b": 1, "a": [2]})
    assert data == packed_checkpoint.pack(state, NAME, {"a": [2], "b": 1})
    said = packed_checkpoint.about(data)
    assert said is not None
    assert (said.backbone, dict(said.card)) == (NAME, {"a": [2], "b": 1})


def test_a_damaged_file_is_named_by_its_checksum(state: dict[str, torch.Tensor]) -> None:
    data = packed_checkpoint.pack(state, NAME, {})
    said = packed_checkpoint.about(data)
    assert said is not None
    for broken in (data[:-7], data[:-1] + bytes([data[-1] ^ 1]), data[:-40000] + b"\0" + data[-39999:]):
        with pytest.raises(BackboneError, match=f"of {NAME} are damaged: .* should be {said.sha256}"):
            state_dict(broken)


def test_other_files_say_nothing_of_themselves(state: dict[str, torch.Tensor]) -> None:
    for data in (
        b"",
        b"x" * 9,
        safetensors.torch.save(state),
        safetensors.torch.save(state, {"congeal": "{"}),
    ):
        assert packed_checkpoint.about(data) is None
    others = safetensors.torch.save(state, {"congeal": json.dumps({"backbone": NAME})})
    assert packed_checkpoint.about(others) is None


def test_positions_have_a_scale_each(state: dict[str, torch.Tensor]) -> None:
    draw = torch.Generator().manual_seed(0)
    positions = torch.randn(1, 5, 8, generator=draw) * torch.tensor([0.05, 1, 1, 1, 1])[None, :, None]
    back = state_dict(packed_checkpoint.pack({"pos_embed": positions}, NAME, {}))["pos_embed"]
    assert back.shape == positions.shape
    assert ((back - positions).abs() <= positions.abs().amax(-1, keepdim=True) / 200).all()


def rounded() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    step = torch.tensor([0.5, 0.25, 2.0]).repeat(32)
    return (torch.randn(96, 64, generator=generator) * 1.5).round().clamp(-127, 127) * step[:, None], step


def test_what_is_rounded_comes_back_to_the_bit_and_takes_as_many_bits_as_it_needs() -> None:
    matrix, step = rounded()
    plain = packed_checkpoint.pack({"x.weight": matrix}, NAME, {})
    data = packed_checkpoint.pack({"x.weight": matrix}, NAME, {}, steps={"x.weight": step})
    assert len(plain) - len(data) > 0.55 * matrix.numel()
    assert torch.equal(state_dict(data)["x.weight"], matrix)
    assert data == packed_checkpoint.pack({"x.weight": matrix}, NAME, {}, steps={"x.weight": step})


def test_damaged_streams_of_numbers_are_refused() -> None:
    matrix, step = rounded()
    stored = safetensors.torch.load(
        packed_checkpoint.pack({"x.weight": matrix}, NAME, {}, steps={"x.weight": step})
    )
    with pytest.raises(BackboneError, match=r"numbers of x\.weight are not 96 rows"):
        packed_checkpoint.unpacked(stored | {"x.weight": stored["x.weight"][:-40]})
    with pytest.raises(BackboneError, match=r"numbers of x\.weight are not 95 rows"):
        packed_checkpoint.unpacked(stored | {"x.weight.scale": stored["x.weight.scale"][:-1]})
    with pytest.raises(BackboneError, match=r"numbers of x\.weight are"):
        packed_checkpoint.unpacked(stored | {"x.weight": stored["x.weight"].flip(0)})


def test_numbers_without_their_scales_are_refused() -> None:
    with pytest.raises(BackboneError, match=r"lack the scales of x\.weight"):
        packed_checkpoint.unpacked({"x.weight": torch.zeros(2, 3, dtype=torch.int8)})
