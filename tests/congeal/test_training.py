from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from congeal.backbones import BackboneSpec, load_backbone
from congeal.distillation import Recipe
from congeal.errors import CongealError
from congeal.images import square
from congeal.packing import pack
from congeal.students import Student
from congeal.targets import Examples, TargetBasis, fit_basis
from congeal.training import Lessons, Training
from congeal.views import View, draw_view

SIZE = 64
RECIPE = Recipe(
    steps=60,
    batch=8,
    finish=0.2,
    learning_rate=3e-3,
    warmup=5,
    averaging=0.9,
    related=128,
    precision="float32",
)


def pictures(count: int) -> np.ndarray:
    """Blocks of colour, in which tokens differ."""
    generator = np.random.default_rng(4)
    coarse = generator.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    return np.stack([np.kron(one, np.ones((20, 20, 1), np.uint8)) for one in coarse])


@pytest.fixture(scope="module")
def teacher_weights() -> bytes:
    return pack(Student("test_vit", seed=11).model.state_dict(), "test_vit", {}, small=False)


def taught(weights: bytes, size: int, count: int) -> Examples:
    backbone = load_backbone(BackboneSpec("test_vit", image_size=size, precision="float32"), weights, "cpu")
    generator = np.random.default_rng(0)
    shown = np.stack([draw_view(generator, 0.6).render(image, size) for image in pictures(count)])
    seen = backbone(shown)
    parts = (seen.features.half(), seen.embedding.half(), seen.saliency.half())
    return Examples(torch.from_numpy(shown), *parts)


@pytest.fixture(scope="module")
def coarse(teacher_weights: bytes) -> Examples:
    return taught(teacher_weights, SIZE, 48)


def lessons(shown: Examples, units: int = 3) -> Lessons:
    each = len(shown) // units
    return Lessons([each] * units, lambda unit: shown.rows(torch.arange(unit * each, (unit + 1) * each)))


def training(shown: Examples, recipe: Recipe = RECIPE) -> Training:
    return Training(Student("test_vit:1", seed=2), fit_basis(shown, 64), recipe)


def agreement(state: dict[str, torch.Tensor], shown: Examples, basis: TargetBasis) -> float:
    data = pack(state, "test_vit:1", {})
    student = load_backbone(BackboneSpec("test_vit:1", image_size=SIZE, precision="float32"), data, "cpu")
    said = torch.nn.functional.normalize(student(shown.pixels).features, dim=-1)
    return float((basis.tokens(shown.features) * said).sum(-1).mean())


def test_a_trained_student_agrees_with_its_teacher(coarse: Examples, teacher_weights: bytes) -> None:
    fine = taught(teacher_weights, 2 * SIZE, 12)
    learner = training(coarse)
    before = agreement(learner.averaged(), coarse, learner.basis)
    losses = list(learner.run(lessons(coarse), lessons(fine, 2)))
    assert len(losses) == RECIPE.steps == learner.step
    assert set(losses[0]) == {"tokens", "relation", "embedding", "attention"}
    after = agreement(learner.averaged(), coarse, learner.basis)
    assert before < 0.2
    assert after > before + 0.3
    late, early = (np.mean([part["embedding"] for part in span]) for span in (losses[30:48], losses[:5]))
    assert late < early


def test_an_interrupted_training_ends_with_the_same_bits(coarse: Examples) -> None:
    recipe = replace(RECIPE, steps=8, finish=0.25)
    whole = training(coarse, recipe)
    list(whole.run(lessons(coarse), lessons(coarse)))
    for stop in (3, 7):
        first = training(coarse, recipe)
        list(islice(first.run(lessons(coarse), lessons(coarse)), stop))
        second = training(coarse, recipe)
        second.restore(first.state())
        assert second.step == stop
        list(second.run(lessons(coarse), lessons(coarse)))
        one, other = whole.averaged(), second.averaged()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_state_of_another_student_is_refused(coarse: Examples) -> None:
    other = Training(Student("test_vit:2"), fit_basis(coarse, 64), RECIPE)
    with pytest.raises(CongealError, match="of another student"):
        Training(Student("test_vit:3"), fit_basis(coarse, 64), RECIPE).restore(other.state())


def test_a_loss_that_is_no_number_ends_the_training(coarse: Examples) -> None:
    broken = replace(coarse, features=torch.full_like(coarse.features, float("nan")))
    learner = Training(Student("test_vit:1"), fit_basis(coarse, 64), RECIPE)
    with pytest.raises(CongealError, match=r"not finite at step 0; lower distill\.learning_rate"):
        next(learner.run(lessons(broken), None))


def test_without_the_fine_grid_all_steps_are_coarse(coarse: Examples) -> None:
    learner = training(coarse, replace(RECIPE, steps=4))
    assert len(list(learner.run(lessons(coarse), None))) == 4


def test_views_are_squares_of_the_students_own_size() -> None:
    assert np.array_equal(View().render(pictures(1)[0], 32), square(pictures(1)[0], 32))
