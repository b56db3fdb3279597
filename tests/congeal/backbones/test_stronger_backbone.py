from __future__ import annotations

import pytest

from congeal.backbones import embedded
from congeal.backbones.registry import SHORT_NAMES, resolve_name
from congeal.backbones.stronger import stronger


@pytest.mark.parametrize(
    ("backbone", "needed"),
    [
        (embedded.NAME, "dinov2_vits14"),
        ("deit_tiny_patch16_224.fb_in1k", "dinov2_vits14"),
        ("vit_small_patch8_224.dino", "dinov2_vits14"),
        ("vit_small_patch14_dinov2:8@20", "dinov2_vits14"),
        ("vit_small_patch14_dinov2.lvd142m", "dinov2_vitb14"),
        ("vit_base_patch14_reg4_dinov2.lvd142m", "dinov2_vitl14"),
        ("vit_giant_patch14_dinov2.lvd142m", None),
        ("vit_small_patch16_dinov3.lvd1689m", None),
    ],
)
def test_the_next_backbone_is_one_that_there_is(backbone: str, needed: str | None) -> None:
    assert stronger(backbone) == needed
    if needed is not None:
        assert needed in SHORT_NAMES
        assert resolve_name(needed) != backbone
