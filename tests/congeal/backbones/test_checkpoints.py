from __future__ import annotations

import io

import pytest
import safetensors.torch
import timm
import torch

from congeal.backbones.checkpoints import fingerprint, fingerprint_tensors, load_strict, state_dict
from congeal.errors import BackboneError

NAME = "test_vit"  # timm's smallest ViT: patches of 16 pixels, 160 px images, one class token


def model(**options: object) -> torch.nn.Module:
    return timm.create_model(NAME, pretrained=False, **({"num_classes": 0} | options))


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(tensor.shape) for name, tensor in model().state_dict().items()}


def test_tensors_come_back_as_they_were_saved(state: dict[str, torch.Tensor]) -> None:
    half = {name: tensor.half() for name, tensor in state.items()}
    loaded = state_dict(safetensors.torch.save(half))
    assert loaded.keys() == half.keys()
    assert all(torch.equal(loaded[name], half[name]) for name in half)


def test_files_that_are_no_sound_safetensors_are_refused(state: dict[str, torch.Tensor]) -> None:
    data = safetensors.torch.save(state)
    for broken in (b"", b"nonsense", data[: len(data) // 2], data[:-1], b"\xff" * 100, data + b"x"):
        with pytest.raises(
            BackboneError, match=rf"\({len(broken):,} bytes\) are not a sound safetensors file"
        ):
            state_dict(broken)
    with pytest.raises(BackboneError, match="no tensor"):
        state_dict(safetensors.torch.save({}))


def test_pickles_are_never_opened(state: dict[str, torch.Tensor]) -> None:
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save(state, out, _use_new_zipfile_serialization=zipped)
        with pytest.raises(BackboneError, match=r"pickled .* safetensors\.torch\.save_file"):
            state_dict(out.getvalue())


def test_values_that_are_not_finite_are_named(state: dict[str, torch.Tensor]) -> None:
    state["norm.bias"][3] = float("nan")
    state["cls_token"][0, 0, 0] = float("inf")
    with pytest.raises(BackboneError, match=r"not finite in cls_token, norm\.bias"):
        state_dict(safetensors.torch.save(state))


def test_a_fingerprint_tells_files_apart(state: dict[str, torch.Tensor]) -> None:
    data = safetensors.torch.save(state)
    assert fingerprint(data) == fingerprint(bytes(data))
    assert fingerprint(data) != fingerprint(data + b"\0")
    assert fingerprint(b"abc") == "sha256:ba7816bf8f01cfea"


def test_a_fingerprint_of_tensors_sees_name_shape_dtype_and_value() -> None:
    base = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1.0, dtype=torch.bfloat16)}
    same = {"b": base["b"].clone(), "a": base["a"].t().contiguous().t()}
    assert fingerprint_tensors(base) == fingerprint_tensors(same)
    others = [
        {**base, "a": base["a"].reshape(3, 2)},
        {**base, "a": base["a"].double()},
        {**base, "a": base["a"] + 1e-6},
        {"A": base["a"], "b": base["b"]},
    ]
    assert len({fingerprint_tensors(other) for other in [base, *others]}) == 5


def test_half_precision_weights_fill_a_float32_model(state: dict[str, torch.Tensor]) -> None:
    target = model()
    load_strict(target, {name: tensor.half() for name, tensor in state.items()}, NAME)
    filled = target.state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in filled.values())
    assert all(torch.equal(filled[name], state[name].half().float()) for name in state)


def test_missing_unexpected_and_misshapen_tensors_are_named(state: dict[str, torch.Tensor]) -> None:
    del state["blocks.0.attn.qkv.weight"], state["norm.weight"]
    state["blocks.99.ls1.gamma"] = torch.zeros(3)
    state["patch_embed.proj.weight"] = torch.zeros(64, 3, 14, 14)
    with pytest.raises(BackboneError) as caught:
        load_strict(model(), state, "the model")
    sentence = str(caught.value)
    assert "do not fit the model" in sentence
    assert "2 missing: blocks.0.attn.qkv.weight, norm.weight" in sentence
    assert "1 unexpected: blocks.99.ls1.gamma" in sentence
    assert "1 of another shape: patch_embed.proj.weight (64x3x14x14 instead of 64x3x16x16)" in sentence
    assert "features.weights" in sentence
    assert "\n" not in sentence


def test_a_long_list_is_cut_and_counted(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(
        BackboneError, match=rf"{len(state)} missing: (\S+, ){{3}}\S+ and {len(state) - 4} more"
    ):
        load_strict(model(), {"other": torch.zeros(1)}, NAME)


def test_a_refused_file_leaves_the_model_as_it_was(state: dict[str, torch.Tensor]) -> None:
    target = model()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    del state["norm.bias"]
    with pytest.raises(BackboneError):
        load_strict(target, state, NAME)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_a_position_embedding_of_another_grid_is_resampled(state: dict[str, torch.Tensor]) -> None:
    target = model(img_size=96)
    load_strict(target, state, NAME)
    # timm's own way to the same grid.
    reference = model()
    reference.load_state_dict(state)
    reference.set_input_size((96, 96))
    assert target.pos_embed.shape == (1, 37, 64)
    torch.testing.assert_close(target.pos_embed, reference.pos_embed)


def test_a_position_embedding_that_is_no_square_grid_is_misshapen(state: dict[str, torch.Tensor]) -> None:
    state["pos_embed"] = state["pos_embed"][:, :-2]
    with pytest.raises(BackboneError, match=r"pos_embed \(1x99x64 instead of 1x37x64\)"):
        load_strict(model(img_size=96), state, NAME)


def test_a_classifier_the_model_does_not_have_is_left_out(state: dict[str, torch.Tensor]) -> None:
    with_head = {**state, "head.weight": torch.zeros(10, 64), "head.bias": torch.zeros(10)}
    load_strict(model(), with_head, NAME)
    with pytest.raises(BackboneError, match=r"2 missing: head\.bias, head\.weight"):
        load_strict(model(num_classes=10), state, NAME)
