from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch

from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.distillation.student import Student
from congeal.errors import BackboneError


@pytest.mark.parametrize("name", ["test_vit:2", "test_vit:0+2@16"])
def test_a_student_is_the_backbone_that_its_state_dict_makes(name: str) -> None:
    student = Student(name, 4, seed=3).eval()
    assert student.image_size == 64
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        seen = student(images.permute(0, 3, 1, 2).float() / 255)
    data = safetensors.torch.save(student.model.state_dict())
    spec = BackboneSpec(name, image_size=64, precision="float32")
    product = load_backbone(spec, data, "cpu")(images)
    assert product.features.shape[1:3] == (4, 4)
    assert torch.allclose(seen.tokens, product.features.flatten(1, 2), atol=1e-4)
    unit = torch.nn.functional.normalize(seen.embedding, dim=-1)
    assert torch.allclose(unit, product.embedding, atol=1e-4)
    looks = seen.attention / seen.attention.amax(1, keepdim=True)
    assert torch.allclose(looks, product.saliency.flatten(1), atol=1e-4)


@pytest.mark.parametrize(("name", "blocks"), [("test_vit:2", (0, 1)), ("test_vit:0+3", (0, 3))])
def test_a_student_starts_from_the_named_blocks_of_a_whole_classifier(
    name: str, blocks: tuple[int, ...]
) -> None:
    whole = timm.create_model("test_vit", num_classes=5, img_size=64).state_dict()
    own = Student(name, 4, whole).model.state_dict()
    for key, tensor in own.items():
        origin = key
        if key.startswith("blocks."):
            _, place, rest = key.split(".", 2)
            origin = f"blocks.{blocks[int(place)]}.{rest}"
        assert torch.equal(tensor, whole[origin])
    again = Student(name, 4, own).model.state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in own.items())


def test_positions_are_brought_to_the_cells_that_are_worked_on() -> None:
    whole = timm.create_model("test_vit", num_classes=0, img_size=128).state_dict()
    student = Student("test_vit:2@16", 8, whole)
    assert (student.cells.shown, student.cells.worked) == (8, 4)
    assert student.model.pos_embed.shape[1] == 1 + 16


def test_the_seed_fixes_a_start_from_nothing_and_touches_no_other_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one, two, other = (Student("test_vit:1", 4, seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["patch_embed.proj.weight"], other["patch_embed.proj.weight"])


@pytest.mark.parametrize("name", ["dinov3_vits16", "deit_tiny_patch16_gap_224"])
def test_what_cannot_be_a_student_is_refused(name: str) -> None:
    with pytest.raises(BackboneError, match=r"cannot be a student|no backbone"):
        Student(f"{name}:1", 4)


def test_a_start_of_another_shape_is_named() -> None:
    other = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    with pytest.raises(BackboneError, match=r"do not fit test_vit:2: .* (unexpected|of another shape)"):
        Student("test_vit:2", 4, other)


def test_a_block_that_the_model_has_not_is_named() -> None:
    with pytest.raises(BackboneError, match=r"test_vit\S* has no block 40; its blocks are 0 to \d+"):
        Student("test_vit:0+40", 4)
