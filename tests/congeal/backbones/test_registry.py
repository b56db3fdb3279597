from __future__ import annotations

import pytest
import timm

from congeal.backbones.registry import SHORT_NAMES, Parts, available, parts_of, resolve_name
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
        ("deit_tiny_patch16_224:7", "deit_tiny_patch16_224:7"),
        ("deit_tiny_patch16_224.fb_in1k:0+1+2", "deit_tiny_patch16_224:3"),
        ("dinov2_vits14:0+1+5+11", "vit_small_patch14_dinov2:0+1+5+11"),
        ("dinov2_vits14:8@20", "vit_small_patch14_dinov2:8@20"),
        ("dinov2_vits14@16", "vit_small_patch14_dinov2.lvd142m@16"),
        ("dinov2_vits14:8@32", "vit_small_patch14_dinov2:8"),
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


def test_a_name_says_which_blocks_work_on_how_many_cells() -> None:
    assert parts_of("dinov2_vits14") == Parts("vit_small_patch14_dinov2.lvd142m")
    found = parts_of("dinov2_vits14:0+2+5@20")
    assert (found.architecture, found.blocks) == ("vit_small_patch14_dinov2", (0, 2, 5))
    assert found.cells == 20
    assert [found.worked(shown) for shown in (32, 16, 1)] == [20, 10, 1]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("dinov2_vits14:", "'' in .* is no number of blocks and no list;"),
        ("dinov2_vits14:0", "'0' in .* is no number of blocks"),
        ("dinov2_vits14:3+1", r"'3\+1' in .* is no number of blocks"),
        ("dinov2_vits14:1+1", "is no number of blocks"),
        ("dinov2_vits14:x", "is no number of blocks"),
        ("dinov2_vits14:8@", "'' in .* is no number of cells up to 32"),
        ("dinov2_vits14:8:8", "is no name of a backbone"),
        ("dinov2_vits14@40", "'40' in .* is no number of cells"),
        ("dinov2_vitz14:8@20", "no backbone 'dinov2_vitz14'"),
    ],
)
def test_parts_that_cannot_be_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(BackboneError, match=sentence):
        resolve_name(name)
