from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed

from congeal.backbones.checkpoints import load_strict
from congeal.backbones.plain_vit import DEVIATION, MEAN, PlainVit
from congeal.backbones.plain_vit_shapes import SHAPES, UNTAGGED, shape_of


def timms(name: str, **options: object) -> Any:
    return timm.create_model(name, pretrained=False, num_classes=0, **options).eval()


def lively(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(tensor.shape, generator=generator) * (0.1 if tensor.ndim > 1 else 1)
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_tensors_and_preprocessing_are_timms(name: str) -> None:
    with torch.device("meta"):
        own, other = PlainVit(SHAPES[name]), timms(name)
    assert {key: value.shape for key, value in own.state_dict().items()} == {
        key: value.shape for key, value in other.state_dict().items()
    }
    config = timm.get_pretrained_cfg(name)
    assert (config.mean, config.std, config.classifier) == (MEAN, DEVIATION, "head")
    assert own.num_prefix_tokens == other.num_prefix_tokens
    assert own.no_embed_class == other.no_embed_class
    assert own.patch_embed.grid_size == other.patch_embed.grid_size


def test_a_name_without_a_tag_is_the_model_that_timm_takes() -> None:
    for name, full in UNTAGGED.items():
        assert f"{name}.{timm.get_pretrained_cfg(name).tag}" == full
    assert shape_of("vit_small_patch14_dinov2") == shape_of("vit_small_patch14_dinov2.lvd142m")
    assert shape_of("vit_giant_patch14_dinov2") is None
    assert shape_of("vit_small_patch16_224") is None


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", sorted(name for name in SHAPES if "_small_" in name))
def test_tokens_are_timms_bit_for_bit(name: str, half: bool) -> None:
    size = 6 * SHAPES[name].patch
    own = PlainVit(SHAPES[name], size, blocks=3).eval()
    other = timms(name, img_size=size, depth=3)
    state = lively(other)
    load_strict(own, state, name)
    load_strict(other, state, name)
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(4))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        assert torch.equal(own.forward_features(pixels), other.forward_features(pixels))


@pytest.mark.parametrize(
    "name", ["vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.lvd142m"]
)
def test_positions_are_resampled_as_timm_does(name: str) -> None:
    own = PlainVit(SHAPES[name], 5 * 14, blocks=1)
    larger = lively(PlainVit(SHAPES[name], 9 * 14, blocks=1))
    load_strict(own, larger, name)
    prefix = 0 if own.no_embed_class else own.num_prefix_tokens
    expected = resample_abs_pos_embed(
        larger["pos_embed"], new_size=[5, 5], old_size=[9, 9], num_prefix_tokens=prefix
    )
    assert torch.equal(own.pos_embed, expected)


def test_the_embedded_backbone_is_loaded_and_used_without_timm() -> None:
    code = (
        "import sys, numpy as np\n"
        "from congeal.backbones.extractor import load_backbone\n"
        "seen = load_backbone('embedded')(np.zeros((1, 448, 448, 3), np.uint8))\n"
        "assert seen.features.shape == (1, 32, 32, 384)\n"
        "print(sorted({'timm', 'torchvision', 'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
