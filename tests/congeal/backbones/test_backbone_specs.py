from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from models import TINY, load, pictures, random_weights

from congeal.backbones.extractor import (
    BackboneSpec,
    geometry,
    load_backbone,
)
from congeal.errors import BackboneError
from congeal.geometry.frames import cell_centres
from congeal.imaging.decoding import decode, square


def test_default_sizes_are_32_patches_a_side() -> None:
    names = ("dino_vits8", "dinov2_vitb14", "dinov3_vits16", TINY)
    assert [geometry(BackboneSpec(name)).image_size for name in names] == [256, 448, 512, 512]
    shape = geometry(BackboneSpec("dinov2_vits14"))
    assert (shape.grid, shape.extent, shape.channels, shape.embedding_channels) == (32, 1.0, 384, 384)


def test_geometry_needs_no_weights_and_agrees_with_what_is_loaded() -> None:
    giant = geometry(BackboneSpec("dinov2_vitg14_reg", facet="key", stride=7))
    assert (giant.grid, giant.channels, giant.embedding_channels) == (63, 1536, 1536)
    thin = geometry(BackboneSpec("dinov2_vits14@22"))
    assert (thin.grid, thin.worked, thin.extent, thin.image_size, thin.channels) == (32, 22, 1.0, 448, 384)
    spec = BackboneSpec(TINY, image_size=96, stride=4, facet="query")
    shape, backbone = geometry(spec), load(TINY, image_size=96, stride=4, facet="query")
    for field in ("grid", "extent", "channels", "embedding_channels", "image_size", "patch_size", "stride"):
        assert getattr(backbone, field) == getattr(shape, field)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"image_size": 100},
            r"images of 100 pixels do not suit .*patches of 16 pixels, stride 16.*96 or 112",
        ),
        ({"image_size": 8}, "use 16 or 32"),
        ({"image_size": 100_000}, "6250 cells a side .*more than the 256 .*use at most 4096 pixels"),
        ({"image_size": 100_001}, "use at most 4096 pixels"),
        ({"image_size": 1024, "stride": 1}, "1009 cells a side .*use at most 271 pixels"),
        ({"image_size": 96, "stride": 7}, "stride 7.*use 93 or 100"),
        ({"stride": 17}, "stride 17 .*use 1 to 16"),
        ({"stride": 0}, "stride 0 .*use 1 to 16"),
        ({"layer": 99}, r"no layer 99; its layers are 0 to \d+, or -\d+ to -1"),
        ({"layer": -99}, "no layer -99"),
        ({"facet": "keys"}, "no facet 'keys'; use one of token, key, query, value"),
        ({"beside": ("9-key",)}, "'9-key' is no block and facet; write them as 9.key"),
        ({"beside": ("1.keys",)}, "'1.keys' is no block and facet"),
        ({"beside": ("99.key",)}, "no layer 99"),
        ({"beside": ("1.key", "-1.token")}, r"the features \d+.token are asked for twice"),
        ({"name": f"{TINY}@16", "image_size": 96, "stride": 8}, "interpolates its features already"),
        ({"name": f"{TINY}:0+30"}, r"has no block 30; its blocks are 0 to \d+"),
        ({"name": "dinov2_vitz14"}, "no backbone 'dinov2_vitz14'; the nearest"),
        ({"precision": "int8"}, "no precision 'int8'"),
    ],
    ids=str,
)
def test_a_spec_that_cannot_be_is_refused_with_its_cure(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BackboneError, match=sentence):
        load_backbone(BackboneSpec(**({"name": TINY} | spec)), random_weights(TINY), "cpu")


def test_blocks_whose_attention_is_not_plain_give_tokens_only() -> None:
    parallel = "vit_pwee_patch16_reg1_gap_256"
    with pytest.raises(BackboneError, match=r"have no key of their own; use the facet token"):
        geometry(BackboneSpec(parallel, facet="key"))
    seen = load(parallel, image_size=80)(pictures(80))
    assert seen.features.shape == (2, 5, 5, 256)
    assert seen.saliency.amax((1, 2)).tolist() == [1, 1]


def test_weights_of_another_model_are_refused_by_tensor() -> None:
    with pytest.raises(
        BackboneError, match=r"do not fit vit_small_patch14_reg4_dinov2.*1 missing: reg_token"
    ):
        load("dinov2_vits14_reg", random_weights("dinov2_vits14"), image_size=70)
    with pytest.raises(
        BackboneError, match=r"patch_embed\.proj\.weight \(384x3x14x14 instead of 384x3x8x8\)"
    ):
        load("dino_vits8", random_weights("dinov2_vits14"), image_size=40)


def test_a_fingerprint_is_the_files() -> None:
    weights = random_weights(TINY)
    state = safetensors.torch.load(weights)
    other = safetensors.torch.save({**state, "norm.bias": state["norm.bias"] + 1e-3})
    prints = {load(TINY, data, image_size=96).fingerprint for data in (weights, weights, other)}
    assert len(prints) == 2
    assert all(text.startswith("sha256:") for text in prints)


def test_an_unreachable_hub_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        BackboneError, match=r"test_vit\.r160_in1k cannot be fetched from the hub.*features\.weights"
    ):
        load_backbone(BackboneSpec(TINY), None, "cpu")


def test_a_model_without_weights_on_the_hub_says_so() -> None:
    with pytest.raises(
        BackboneError, match=r"the hub's weights of test_vit4\.r160_in1k cannot be loaded.*features\.weights"
    ):
        load_backbone(BackboneSpec("test_vit4"), None, "cpu")


def test_weights_from_the_hub_are_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    state = safetensors.torch.load(random_weights(TINY))
    create_really = timm.create_model

    def from_hub(name: str, pretrained: bool, **options: Any) -> Any:
        model = create_really(name, pretrained=False, **options)
        if pretrained:
            model.load_state_dict(state)
        return model

    monkeypatch.setattr(timm, "create_model", from_hub)
    spec = BackboneSpec(TINY, image_size=96, precision="float32")
    one, two = (load_backbone(spec, None, "cpu") for _ in range(2))
    assert one.fingerprint == two.fingerprint
    images = pictures(96)
    torch.testing.assert_close(one(images), load(TINY, image_size=96)(images))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 96, 96, 3), np.float32),
        np.zeros((96, 96, 3), np.uint8),
        np.zeros((2, 3, 96, 96), np.uint8),
        np.zeros((2, 80, 80, 3), np.uint8),
        np.zeros((0, 96, 96, 3), np.uint8),
    ],
    ids=lambda images: f"{images.dtype} {images.shape}",
)
def test_anything_but_square_rgb_bytes_is_refused(images: np.ndarray) -> None:
    with pytest.raises(BackboneError, match=r"takes uint8 images \[b, 96, 96, 3\]"):
        load(TINY, image_size=96)(images)


def shared() -> Path:
    return Path(os.environ.get("CONGEAL_SHARED") or Path(__file__).parents[3].parent / "shared")


@pytest.mark.shared
@pytest.mark.skipif(not (shared() / "weights").is_dir(), reason="no real weights")
def test_real_weights_look_at_the_object_and_know_it_again() -> None:
    weights = (shared() / "weights" / "vit_small_patch14_dinov2.dav2.fp16.safetensors").read_bytes()
    backbone = load_backbone(BackboneSpec("dinov2_vits14", image_size=224), weights, "cpu")
    framed, boxes = [], []
    for kind in ("duck_S", "motorbike_S"):
        folder = shared() / "data" / "pf_willow" / kind
        annotated = json.loads((folder / "keypoints.json").read_text())["images"]
        for file in sorted(annotated)[:3]:
            framed.append(square(decode((folder / "images" / file).read_bytes()), 224))
            points = np.array([point for point in annotated[file]["points"] if point])
            boxes.append((annotated[file]["size"], points.min(0), points.max(0)))
    seen = backbone(np.stack(framed))
    likeness = seen.embedding @ seen.embedding.T
    within = torch.stack([likeness[:3, :3].sum() - 3, likeness[3:, 3:].sum() - 3]).mean() / 6
    assert within > likeness[:3, 3:].mean() + 0.2
    centres = cell_centres(backbone.grid, backbone.extent)
    for saliency, ((width, height), low, high) in zip(seen.saliency.numpy(), boxes, strict=True):
        pixels = (centres + 1) * max(width, height) / 2 - [
            (max(width, height) - side) / 2 for side in (width, height)
        ]
        on_object = ((pixels >= low) & (pixels <= high)).all(-1)
        assert saliency[on_object].mean() > 1.5 * saliency[~on_object].mean()
