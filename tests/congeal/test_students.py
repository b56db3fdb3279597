from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch

from congeal.backbones import BackboneSpec, load_backbone
from congeal.errors import BackboneError
from congeal.students import Student


def test_a_student_is_the_backbone_that_its_state_dict_makes() -> None:
    student = Student("test_vit:2", seed=3).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        seen = student(images.permute(0, 3, 1, 2).float() / 255)
    data = safetensors.torch.save(student.model.state_dict())
    product = load_backbone(BackboneSpec("test_vit:2", image_size=64, precision="float32"), data, "cpu")(
        images
    )
    assert torch.allclose(seen.tokens, product.features.flatten(1, 2), atol=1e-4)
    unit = torch.nn.functional.normalize(seen.embedding, dim=-1)
    assert torch.allclose(unit, product.embedding, atol=1e-4)
    looks = seen.attention / seen.attention.amax(1, keepdim=True)
    assert torch.allclose(looks, product.saliency.flatten(1), atol=1e-4)


def test_a_student_starts_from_the_first_blocks_of_a_deeper_classifier() -> None:
    whole = timm.create_model("test_vit", num_classes=5).state_dict()
    student = Student("test_vit:2", whole)
    own = student.model.state_dict()
    assert {key for key in own if key.startswith("blocks.")} == {
        key for key in whole if key.startswith(("blocks.0.", "blocks.1."))
    }
    assert all(torch.equal(own[key], whole[key]) for key in own)


def test_the_seed_fixes_a_start_from_nothing_and_touches_no_other_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one, two, other = (Student("test_vit:1", seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["patch_embed.proj.weight"], other["patch_embed.proj.weight"])


@pytest.mark.parametrize("name", ["dinov3_vits16", "deit_tiny_patch16_gap_224"])
def test_what_cannot_be_a_student_is_refused(name: str) -> None:
    with pytest.raises(BackboneError, match=r"cannot be a student|no backbone"):
        Student(f"{name}:1")


def test_a_start_of_another_shape_is_named() -> None:
    other = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    with pytest.raises(BackboneError, match=r"do not fit test_vit:2: .* (unexpected|of another shape)"):
        Student("test_vit:2", other)
