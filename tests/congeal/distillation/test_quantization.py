from __future__ import annotations

import torch

from congeal.distillation.quantization import round_blocks
from congeal.distillation.student import Student


def seen(student: Student, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        tokens: torch.Tensor = student(pixels).tokens
    return tokens


def pixels() -> torch.Tensor:
    coarse = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")


def test_what_later_columns_make_up_for_is_less_than_plain_rounding_loses() -> None:
    whole = Student("test_vit", 4, seed=1).eval()
    wanted, state = seen(whole, pixels()), whole.model.state_dict()
    ours, plain = (Student("test_vit", 4, state).eval() for _ in range(2))
    for name, step in ours.round(pixels(), 3).items():
        matrix = plain.model.get_parameter(name)
        matrix.data = (matrix.data / step[:, None]).round() * step[:, None]
    lost = [(seen(student, pixels()) - wanted).square().mean() for student in (ours, plain)]
    assert lost[0] < 0.7 * lost[1]


def test_fewer_bits_lose_more() -> None:
    whole = Student("test_vit", 4, seed=1).eval()
    wanted, lost = seen(whole, pixels()), []
    for bits in (6, 4, 2.5):
        student = Student("test_vit", 4, whole.model.state_dict()).eval()
        student.round(pixels(), bits)
        lost.append(float((seen(student, pixels()) - wanted).square().mean()))
    assert lost == sorted(lost)


def test_every_matrix_of_a_block_is_whole_multiples_of_its_steps() -> None:
    student = Student("test_vit:2", 4, seed=1).eval()
    steps = round_blocks(student.model, pixels(), 3)
    state = student.model.state_dict()
    assert steps.keys() == {
        name for name, tensor in state.items() if name.startswith("blocks.") and tensor.ndim == 2
    }
    for name, step in steps.items():
        whole = state[name] / step[:, None]
        assert torch.allclose(whole, whole.round(), atol=1e-3)
        assert whole.abs().max() <= 127
        assert torch.equal(step, step.half().float())
