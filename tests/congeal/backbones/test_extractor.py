from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from models import TINY, create, load, pictures, random_weights

from congeal.backbones.extractor import (
    BackboneSpec,
    geometry,
    load_backbone,
)
from congeal.geometry.frames import cell_centres

# Name, image size: small, and no multiple of what the weights were made for.
FAMILIES = [
    ("vit_tiny_patch16_224", 80),
    ("dino_vits8", 40),
    ("dinov2_vits14", 70),
    ("dinov2_vits14_reg", 70),
    ("dinov3_vits16", 80),
    ("vit_tiny_patch16_dinov3_qkvb", 80),
    ("deit_tiny_distilled_patch16_224", 80),
]


class Reference:
    """timm's own model at its own image size handling, with what its attention saw recorded on the way."""

    def __init__(self, name: str, size: int) -> None:
        self.model = create(name)
        self.model.load_state_dict(safetensors.torch.load(random_weights(name)), strict=True)
        self.model.set_input_size((size, size))
        self.prefix = self.model.num_prefix_tokens

    def run(self, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
        config = self.model.pretrained_cfg
        mean, deviation = (torch.tensor(config[key]).reshape(3, 1, 1) for key in ("mean", "std"))
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / deviation
        self.attended: list[tuple[torch.Tensor, ...]] = []
        self.blocks: list[torch.Tensor] = []
        attend = torch.nn.functional.scaled_dot_product_attention

        def record(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
            self.attended.append((q, k, v))
            return attend(q, k, v, **options)

        hooks = [
            block.register_forward_hook(lambda _m, _a, out: self.blocks.append(out))
            for block in self.model.blocks
        ]
        with monkeypatch.context() as patched, torch.no_grad():
            patched.setattr(torch.nn.functional, "scaled_dot_product_attention", record)
            self.final = self.model.forward_features(pixels)
        for hook in hooks:
            hook.remove()

    def patches(self, tokens: torch.Tensor) -> torch.Tensor:
        patches = tokens[:, self.prefix :]
        side = int(patches.shape[1] ** 0.5)
        return patches.reshape(len(patches), side, side, -1)


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_features_embedding_and_saliency_are_timms(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(size)
    reference = Reference(name, size)
    reference.run(images, monkeypatch)
    weights = random_weights(name)

    backbone = load(name, weights, image_size=size)
    seen = backbone(images)
    assert seen.features.shape == (2, backbone.grid, backbone.grid, backbone.channels)
    torch.testing.assert_close(seen.features, reference.patches(reference.final))
    cls = torch.nn.functional.normalize(reference.final[:, 0], dim=-1)
    torch.testing.assert_close(seen.embedding, cls)
    q, k, _ = reference.attended[-1]
    attention = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)[:, :, 0].mean(1)
    saliency = reference.patches(attention[..., None])[..., 0]
    torch.testing.assert_close(seen.saliency, saliency / saliency.amax((1, 2), keepdim=True))
    assert seen.saliency.amax((1, 2)).tolist() == [1, 1]

    inner = load(name, weights, image_size=size, layer=5)(images)
    torch.testing.assert_close(inner.features, reference.patches(reference.blocks[5]))
    torch.testing.assert_close(inner.embedding, seen.embedding)
    torch.testing.assert_close(inner.saliency, seen.saliency)

    values = load(name, weights, image_size=size, layer=-3, facet="value")(images)
    expected = reference.attended[-3][2].transpose(1, 2).flatten(2)
    torch.testing.assert_close(values.features, reference.patches(expected))


@pytest.mark.parametrize(("name", "size"), [family for family in FAMILIES if "qkvb" not in family[0]])
def test_keys_and_queries_are_the_projections_heads_concatenated(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(size)
    reference = Reference(name, size)
    projections: list[torch.Tensor] = []
    # DINOv3's keys, too, are taken before the rotary embedding: bare projections.
    reference.model.blocks[7].attn.qkv.register_forward_hook(lambda _m, _a, out: projections.append(out))
    reference.run(images, monkeypatch)
    width = projections[0].shape[-1] // 3
    for facet, part in (("query", 0), ("key", 1)):
        seen = load(name, image_size=size, layer=7, facet=facet)(images)
        expected = projections[0][..., part * width : (part + 1) * width]
        torch.testing.assert_close(seen.features, reference.patches(expected))


def test_features_taken_at_several_places_lie_one_after_the_other() -> None:
    images = pictures(96)
    together = load(TINY, image_size=96, beside=("2.key", "-2.token"))
    assert list(map(str, together.taps)) == ["5.token", "2.key", "4.token"]
    assert together.channels == sum(together.taps.values())
    alone = [
        load(TINY, image_size=96, layer=layer, facet=facet)(images).features
        for layer, facet in ((-1, "token"), (2, "key"), (4, "token"))
    ]
    parts = torch.split(together(images).features, list(together.taps.values()), -1)
    for part, expected in zip(parts, alone, strict=True):
        torch.testing.assert_close(part, torch.nn.functional.normalize(expected, dim=-1))


def test_dino_with_stride_four_as_the_paper_has_it() -> None:
    spec = BackboneSpec("dino_vits8", image_size=64, stride=4, layer=0, facet="value", precision="float32")
    shape = geometry(spec)
    assert (shape.grid, shape.extent) == (15, 15 / 16)
    assert geometry(BackboneSpec("dino_vits8", stride=4)).grid == 63
    # Without positions, the first block's values see one patch each: every second cell of the finer grid
    # is a cell of the plain one.
    state = safetensors.torch.load(random_weights("dino_vits8"))
    state["pos_embed"][:] = 0
    weights = safetensors.torch.save(state)
    images = pictures(64)
    fine = load_backbone(spec, weights, "cpu")(images)
    plain = load("dino_vits8", weights, image_size=64, layer=0, facet="value")(images)
    assert fine.saliency.shape == (2, 15, 15)
    torch.testing.assert_close(fine.features[:, ::2, ::2], plain.features)


@pytest.mark.parametrize("name", ["dinov2_vits14_reg", "dinov3_vits16", TINY])
def test_overlapping_patches_get_resampled_positions(name: str) -> None:
    """A uniform image's cells differ by position only, and a finer grid runs through the same positions."""
    patch = geometry(BackboneSpec(name)).patch_size
    image = np.full((1, 6 * patch, 6 * patch, 3), 128, np.uint8)
    plain = load(name, image_size=6 * patch)(image)
    fine = load(name, image_size=6 * patch, stride=patch // 2)(image)
    assert fine.features.shape[1:3] == (11, 11)
    assert torch.isfinite(fine.features).all()
    middle = torch.nn.functional.cosine_similarity(
        fine.features[0, 5, 5], plain.features[0, 2:4, 2:4], dim=-1
    )
    corner = torch.nn.functional.cosine_similarity(fine.features[0, 5, 5], plain.features[0, 0, 0], dim=0)
    assert middle.mean() > corner


@pytest.mark.parametrize(("patch_stride", "size"), [(None, 96), (8, 96), (4, 96), (5, 91)])
def test_a_cell_lies_where_its_patch_is(patch_stride: int | None, size: int) -> None:
    backbone = load(TINY, image_size=size, stride=patch_stride, layer=0, facet="value")
    blank = np.zeros((1, size, size, 3), np.uint8)
    centres = cell_centres(backbone.grid, backbone.extent)
    for x, y in ((30, 50), (size // 2, 17), (70, 71)):
        dotted = blank.copy()
        dotted[0, y, x] = 255
        change = (backbone(dotted).features - backbone(blank).features)[0].norm(dim=-1).numpy() > 1e-4
        reached = centres[change].mean(axis=0)
        dot = (np.array([x, y]) + 0.5) * 2 / size - 1
        half_a_stride = backbone.stride / size
        assert np.abs(reached - dot).max() <= (half_a_stride if patch_stride else backbone.patch_size / size)


@pytest.mark.parametrize("facet", ["token", "key"])
def test_what_is_worked_on_fewer_cells_is_shown_on_all_in_the_same_frame(facet: str) -> None:
    weights, images = random_weights(TINY), pictures(96)
    backbone = load(f"{TINY}@16", weights, image_size=96, facet=facet)
    plain = load(TINY, weights, image_size=96, facet=facet)
    shape = geometry(BackboneSpec(f"{TINY}@16", image_size=96, facet=facet))
    assert (shape.worked, shape.grid, shape.extent) == (3, plain.grid, plain.extent)
    seen, small = backbone(images), load(TINY, weights, image_size=48, facet=facet)
    shrunk = torch.nn.functional.interpolate(
        torch.from_numpy(images).permute(0, 3, 1, 2).float(), size=(48, 48), mode="bilinear", antialias=True
    )
    few = small(shrunk.permute(0, 2, 3, 1).round().to(torch.uint8))
    assert seen.features.shape == plain(images).features.shape
    assert seen.saliency.amax((1, 2)).tolist() == [1, 1]
    # The middle of each worked cell lies between four shown ones.
    between = torch.nn.functional.avg_pool2d(seen.features.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    alike = torch.nn.functional.cosine_similarity(between[:, 1, 1], few.features[:, 1, 1], dim=-1)
    assert alike.min() > 0.9
    torch.testing.assert_close(seen.embedding, few.embedding, atol=0.02, rtol=0.05)


@pytest.mark.parametrize(("x", "y"), [(24, 24), (72, 40), (60, 72)])
def test_on_fewer_cells_too_a_cell_lies_where_its_patch_is(x: int, y: int) -> None:
    backbone = load(f"{TINY}@16", random_weights(TINY), image_size=192, layer=0, facet="value")
    blank = np.zeros((1, 192, 192, 3), np.uint8)
    dotted = blank.copy()
    dotted[0, 2 * y - 8 : 2 * y + 8, 2 * x - 8 : 2 * x + 8] = 255
    change = (backbone(dotted).features - backbone(blank).features)[0].norm(dim=-1).numpy()
    centres = cell_centres(backbone.grid, backbone.extent)
    reached = (centres * change[..., None]).sum((0, 1)) / change.sum()
    assert np.abs(reached - (np.array([x, y]) / 48 - 1)).max() <= 1 / 6


def test_without_positions_moving_the_patches_moves_the_features() -> None:
    state = safetensors.torch.load(random_weights(TINY))
    state["pos_embed"][:, 1:] = 0
    backbone = load(TINY, safetensors.torch.save(state), image_size=96)
    images = pictures(96)
    seen, moved = backbone(images), backbone(np.roll(images, (32, 16), axis=(1, 2)))
    torch.testing.assert_close(moved.features, seen.features.roll((2, 1), (1, 2)))
    torch.testing.assert_close(moved.saliency, seen.saliency.roll((2, 1), (1, 2)))
    torch.testing.assert_close(moved.embedding, seen.embedding)


def test_a_mirrored_images_features_are_not_the_mirrored_features() -> None:
    backbone = load(TINY, image_size=96)
    images = pictures(96)
    mirrored = backbone(np.ascontiguousarray(images[:, :, ::-1]))
    assert not torch.allclose(mirrored.features.flip(2), backbone(images).features, atol=0.1)


def test_a_vit_without_class_token_still_has_embedding_and_saliency(monkeypatch: pytest.MonkeyPatch) -> None:
    name = next(
        n for n in timm.list_models("vit_*gap*") if "little" in n and create_on_meta(n).cls_token is None
    )
    weights = random_weights(name)
    patch = geometry(BackboneSpec(name)).patch_size
    size = 5 * patch
    reference = Reference(name, size)
    images = pictures(size)
    reference.run(images, monkeypatch)
    seen = load(name, weights, image_size=size)(images)
    mean = reference.model.fc_norm(reference.final[:, reference.prefix :].mean(1))
    torch.testing.assert_close(seen.embedding, torch.nn.functional.normalize(mean, dim=-1))
    length = reference.patches(reference.blocks[-1]).norm(dim=-1)
    torch.testing.assert_close(seen.saliency, length / length.amax((1, 2), keepdim=True))


def create_on_meta(name: str) -> Any:
    with torch.device("meta"):
        return timm.create_model(name)


@pytest.mark.parametrize("spec", [{}, {"facet": "key", "layer": 3}, {"stride": 8}], ids=str)
def test_features_are_the_same_bits_every_time(spec: dict[str, Any]) -> None:
    images = pictures(96, count=3)
    first, again = load(TINY, image_size=96, **spec), load(TINY, image_size=96, **spec)
    for one, other in zip(first(images), again(torch.from_numpy(images)), strict=True):
        assert torch.equal(one, other)
        assert one.dtype == torch.float32
        assert one.is_contiguous()


def test_views_and_read_only_arrays_are_taken() -> None:
    backbone = load(TINY, image_size=96)
    images = pictures(96)
    expected = backbone(np.ascontiguousarray(images[:, :, ::-1]))
    images.flags.writeable = False
    assert torch.equal(backbone(images[:, :, ::-1]).features, expected.features)


def test_loading_leaves_the_callers_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_rng_state()
    load(TINY, image_size=96)
    create_really = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *args, **options: create_really(*args, **options | {"pretrained": False})
    )
    load_backbone(BackboneSpec(TINY, image_size=96), None, "cpu")
    assert torch.equal(before, torch.get_rng_state())


def test_features_are_ready_for_gradients_elsewhere() -> None:
    features = load(TINY, image_size=96)(pictures(96)).features
    weight = torch.ones(features.shape[-1], requires_grad=True)
    (features * weight).sum().backward()
    assert weight.grad is not None
    assert not features.requires_grad


def test_threads_share_a_backbone() -> None:
    backbone = load(TINY, image_size=96, facet="key", layer=2)
    batches = [pictures(96, seed=seed) for seed in range(6)]
    expected = [backbone(batch) for batch in batches]
    seen: dict[int, Any] = {}

    def work(index: int) -> None:
        seen[index] = backbone(batches[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, features in enumerate(expected):
        assert all(torch.equal(one, other) for one, other in zip(features, seen[index], strict=True))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_and_comes_as_float32(precision: str) -> None:
    images = pictures(80)
    full = load("vit_tiny_patch16_224", image_size=80)
    half = load("vit_tiny_patch16_224", image_size=80, precision=precision)
    assert (full.precision, half.precision) == ("float32", precision)
    one, other = full(images), half(images)
    assert not torch.equal(one.features, other.features)
    assert other.features.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(one.features, other.features, dim=-1).min() > 0.99
    assert torch.nn.functional.cosine_similarity(one.embedding, other.embedding, dim=-1).min() > 0.999
    torch.testing.assert_close(one.saliency, other.saliency, atol=0.1, rtol=0.1)
