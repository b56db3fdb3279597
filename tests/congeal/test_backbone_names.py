from __future__ import annotations

import pytest
import timm

from congeal.backbone_names import SHORT_NAMES, available, resolve_name
from congeal.errors import BackboneError


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("dino_vits8", "vit_small_patch8_224.dino"),
        ("dino_vitb16", "vit_base_patch16_224.dino"),
        ("dinov2_vits14", "vit_small_patch14_dinov2.lvd142m"),
        ("dinov2_vitg14_reg", "vit_giant_patch14_reg4_dinov2.lvd142m"),
        ("dinov3_vits16", "vit_small_patch16_dinov3.lvd1689m"),
        ("vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_dinov2.lvd142m"),
        ("vit_small_patch14_dinov2", "vit_small_patch14_dinov2.lvd142m"),
        ("vit_large_patch16_dinov3.sat493m", "vit_large_patch16_dinov3.sat493m"),
        ("deit_tiny_patch16_224", "deit_tiny_patch16_224.fb_in1k"),
    ],
)
def test_names_come_to_one_full_name(name: str, full: str) -> None:
    assert resolve_name(name) == full
    assert resolve_name(full) == full


def test_every_short_name_is_a_model_with_weights_on_the_hub() -> None:
    assert set(SHORT_NAMES.values()) <= set(timm.list_models(pretrained=True))


def test_every_name_resolves_to_itself_in_the_end() -> None:
    names = available()
    assert names == sorted(set(names))
    assert all(resolve_name(resolve_name(name)) == resolve_name(name) for name in names)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("vit_smal_patch14_dinov2", "vit_small_patch14_dinov2"),
        ("dinov2_vits16", "dinov2_vits14"),
        ("vit_small_patch14_dinov2.mine", "vit_small_patch14_dinov2.lvd142m"),
        ("resnet50", "dinov2"),
        ("", "dinov2"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, near: str) -> None:
    with pytest.raises(BackboneError, match=rf"no backbone '{name}'.*{near}"):
        resolve_name(name)
