from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from congeal.backbones.checkpoints import state_dict
from congeal.backbones.extractor import BackboneSpec, load_backbone
from congeal.backbones.packed_checkpoint import pack
from congeal.distillation.augmentation import View, draw_view
from congeal.distillation.lessons import Lessons
from congeal.distillation.losses import Recipe
from congeal.distillation.student import Student
from congeal.distillation.teacher_targets import Examples, TargetBasis, fit_basis, shared_basis
from congeal.distillation.training import Training
from congeal.errors import CongealError
from congeal.imaging.decoding import square

SIZE = 64
RECIPE = Recipe(
    steps=60,
    batch=8,
    learning_rate=3e-3,
    warmup=5,
    averaging=0.9,
    related=128,
    precision="float32",
)


def pictures(count: int) -> np.ndarray:
    """Blocks of colour, in which tokens differ."""
    generator = np.random.default_rng(4)
    shown_views = generator.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    return np.stack([np.kron(one, np.ones((20, 20, 1), np.uint8)) for one in shown_views])


@pytest.fixture(scope="module")
def teacher_weights() -> bytes:
    return pack(Student("test_vit", 4, seed=11).model.state_dict(), "test_vit", {}, half=True)


def taught(weights: bytes, size: int, count: int) -> Examples:
    backbone = load_backbone(BackboneSpec("test_vit", image_size=size, precision="float32"), weights, "cpu")
    generator = np.random.default_rng(0)
    shown = np.stack([draw_view(generator, 0.6).render(image, size) for image in pictures(count)])
    seen = backbone(shown)
    parts = (seen.features.half(), seen.embedding.half(), seen.saliency.half())
    return Examples(torch.from_numpy(shown), *parts)


@pytest.fixture(scope="module")
def shown_views(teacher_weights: bytes) -> Examples:
    return taught(teacher_weights, SIZE, 48)


def lessons(shown: Examples, units: int = 3) -> Lessons:
    each = len(shown) // units
    return Lessons([each] * units, lambda unit: shown.rows(torch.arange(unit * each, (unit + 1) * each)))


def training(shown: Examples, recipe: Recipe = RECIPE) -> Training:
    return Training(Student("test_vit:1", 4, seed=2), fit_basis(shown, 64), recipe)


def agreement(state: dict[str, torch.Tensor], name: str, shown: Examples, basis: TargetBasis) -> float:
    data = pack(state, name, {})
    student = load_backbone(BackboneSpec(name, image_size=SIZE, precision="float32"), data, "cpu")
    said = basis.said(student(shown.pixels).features)
    return float((basis.tokens(shown.features) * said).sum(-1).mean())


def test_a_trained_student_agrees_with_its_teacher(shown_views: Examples) -> None:
    learner = training(shown_views)
    before = agreement(learner.averaged(), "test_vit:1", shown_views, learner.basis)
    losses = list(learner.run(lessons(shown_views)))
    assert len(losses) == RECIPE.steps == learner.step
    assert set(losses[0]) == {"tokens", "relation", "embedding", "attention"}
    after = agreement(learner.averaged(), "test_vit:1", shown_views, learner.basis)
    assert before < 0.2
    assert after > before + 0.3
    late, early = (np.mean([part["embedding"] for part in span]) for span in (losses[-15:], losses[:5]))
    assert late < early


def part(weights: bytes, shown: Examples, bits: float, rate: float) -> Training:
    """A training of the teacher itself on fewer cells, its matrices rounded if there are few bits."""
    student = Student("test_vit@24", 4, state_dict(weights))
    pixels = shown.pixels[:16].permute(0, 3, 1, 2).float() / 255
    steps = student.round(pixels, bits) if bits < 8 else None
    recipe = replace(RECIPE, bits=bits, learning_rate=rate, relation=0.0, embedding=0.0)
    return Training(student, shared_basis(shown), recipe, steps=steps)


@pytest.mark.parametrize("bits", [8, 3])
def test_the_teacher_on_fewer_cells_learns_in_its_own_channels(
    shown_views: Examples, teacher_weights: bytes, bits: float
) -> None:
    learner = part(teacher_weights, shown_views, bits, 1e-3)
    before = agreement(learner.averaged(), "test_vit@24", shown_views, learner.basis)
    list(learner.run(lessons(shown_views)))
    after = agreement(learner.averaged(), "test_vit@24", shown_views, learner.basis)
    assert after > before + 0.03


def test_rounded_matrices_stay_whole_multiples_of_steps_that_are_learned(
    shown_views: Examples, teacher_weights: bytes
) -> None:
    learner = part(teacher_weights, shown_views, 3, 3e-3)
    first, steps = learner.averaged(), learner.steps()
    assert len(steps) == 4 * len(learner.student.model.blocks)
    list(islice(learner.run(lessons(shown_views)), 10))
    state, learned = learner.averaged(), learner.steps()
    for name, step in steps.items():
        whole = (first[name] / step[:, None]).round()
        assert torch.equal(state[name], whole * learned[name][:, None])
        assert not torch.equal(step, learned[name])
    data = pack(state, "test_vit@24", {}, steps=learned)
    assert all(torch.equal(state_dict(data)[name], state[name]) for name in steps)


def test_an_interrupted_training_ends_with_the_same_bits(shown_views: Examples) -> None:
    recipe = replace(RECIPE, steps=8)
    whole = training(shown_views, recipe)
    list(whole.run(lessons(shown_views)))
    for stop in (3, 7):
        first = training(shown_views, recipe)
        list(islice(first.run(lessons(shown_views)), stop))
        second = training(shown_views, recipe)
        second.restore(first.state())
        assert second.step == stop
        list(second.run(lessons(shown_views)))
        one, other = whole.averaged(), second.averaged()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_rate_rises_then_falls_to_nothing(shown_views: Examples) -> None:
    recipe = replace(RECIPE, steps=40, warmup=4, batch=2)
    learner = training(shown_views, recipe)
    groups = learner._optimiser.param_groups
    rates = [[group["lr"] for group in groups] for _ in learner.run(lessons(shown_views))]
    whole, single, start = zip(*rates, strict=True)
    assert whole == single
    assert start == pytest.approx([0.1 * rate for rate in whole])
    assert whole[0] == pytest.approx(recipe.learning_rate / 4)
    assert list(whole[:3]) == sorted(whole[:3])
    assert list(whole[3:]) == sorted(whole[3:], reverse=True)
    assert max(whole) > 0.95 * recipe.learning_rate
    assert 0 < whole[-1] < 0.01 * recipe.learning_rate


def test_what_is_kept_is_an_average_that_soon_forgets_the_start(shown_views: Examples) -> None:
    learner = training(shown_views, replace(RECIPE, averaging=0.9))
    name = "patch_embed.proj.weight"
    start = learner.averaged()[name]
    steps = islice(learner.run(lessons(shown_views)), 30)
    seen = [learner.student.model.state_dict()[name].clone() for _ in steps]
    expected = seen[0]
    for count, value in enumerate(seen[1:], 1):
        expected = torch.lerp(expected, value, 1 - min(0.9, (count + 1) / (count + 11)))
    found = learner.averaged()[name]
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, seen[-1])
    assert not torch.equal(found, start)


def test_a_state_of_another_student_is_refused(shown_views: Examples) -> None:
    other = Training(Student("test_vit:2", 4), fit_basis(shown_views, 64), RECIPE)
    with pytest.raises(CongealError, match="of another student"):
        Training(Student("test_vit:3", 4), fit_basis(shown_views, 64), RECIPE).restore(other.state())


def test_a_loss_that_is_no_number_ends_the_training(shown_views: Examples) -> None:
    broken = replace(shown_views, features=torch.full_like(shown_views.features, float("nan")))
    learner = Training(Student("test_vit:1", 4), fit_basis(shown_views, 64), RECIPE)
    with pytest.raises(CongealError, match=r"not finite at step 0; lower distill\.learning_rate"):
        next(learner.run(lessons(broken)))


def test_views_are_squares_of_the_students_own_size() -> None:
    assert np.array_equal(View().render(pictures(1)[0], 32), square(pictures(1)[0], 32))
