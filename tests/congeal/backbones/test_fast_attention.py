from __future__ import annotations

import pytest
import timm
import torch
from timm.layers.attention import Attention

from congeal.backbones import fast_attention
from congeal.backbones.fast_attention import quicken


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(3, 37, 64, generator=torch.Generator().manual_seed(0))


def made(**options: object) -> Attention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Attention(64, num_heads=4, qkv_bias=True, **options).eval().requires_grad_(False)


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "norm_layer": torch.nn.LayerNorm}])
def test_it_is_the_same_attention(tokens: torch.Tensor, options: dict[str, object]) -> None:
    plain, quick = made(**options), made(**options)
    quicken(quick)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = quick(tokens)
    assert found.dtype == torch.bfloat16
    assert torch.cosine_similarity(plain(tokens), found.float(), dim=-1).min() > 0.999


def test_an_image_does_not_depend_on_its_batch(tokens: torch.Tensor) -> None:
    quick = made()
    quicken(quick)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quick(tokens)[1:2], quick(tokens[1:2]))


def test_masks_and_very_many_tokens_go_the_usual_way(
    tokens: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, quick = made(), made()
    quicken(quick)
    mask = torch.zeros(37, 37).masked_fill(torch.ones(37, 37).triu(1) > 0, float("-inf"))
    assert torch.equal(quick(tokens, attn_mask=mask), plain(tokens, attn_mask=mask))
    monkeypatch.setattr(fast_attention, "MOST_TOKENS", 36)
    assert torch.equal(quick(tokens), plain(tokens))


def test_only_plain_attention_is_touched() -> None:
    model = timm.create_model("test_vit", num_classes=0)
    quicken(model)
    quickened = [module for module in model.modules() if "forward" in vars(module)]
    assert len(quickened) == len(model.blocks)
    assert model.state_dict().keys() == timm.create_model("test_vit", num_classes=0).state_dict().keys()
