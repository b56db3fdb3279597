from __future__ import annotations

import torch
from torch.nn.functional import normalize

from congeal.distillation.losses import Recipe, loss
from congeal.distillation.student import Seen
from congeal.distillation.teacher_targets import Examples, fit_basis

RECIPE = Recipe(steps=100, related=64)


def examples(count: int = 6, seed: int = 0) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    saliency = torch.rand(count, 3, 3, generator=generator)
    return Examples(
        torch.zeros(count, 48, 48, 3, dtype=torch.uint8),
        torch.randn(count, 3, 3, 10, generator=generator).half(),
        normalize(torch.randn(count, 10, generator=generator), dim=-1).half(),
        (saliency / saliency.amax((1, 2), keepdim=True)).half(),
    )


def perfect(shown: Examples) -> Seen:
    basis = fit_basis(shown, 10)
    return Seen(
        3 * basis.tokens(shown.features).flatten(1, 2),
        2 * basis.embeddings(shown.embedding),
        (shown.saliency.float() / shown.saliency.float().sum((1, 2), keepdim=True) / 2).flatten(1),
    )


def test_a_student_that_sees_what_its_teacher_sees_loses_nothing() -> None:
    shown = examples()
    found = loss(perfect(shown), shown, fit_basis(shown, 10), RECIPE, torch.Generator().manual_seed(0))
    assert all(abs(float(value)) < 1e-4 for value in vars(found).values())
    assert float(found.total(RECIPE)) < 1e-3


def test_each_part_of_the_loss_tells_its_own_fault() -> None:
    shown, right = examples(), perfect(examples())
    wrong = {
        "tokens": right._replace(tokens=right.tokens.flip(1)),
        "embedding": right._replace(embedding=right.embedding.flip(0)),
        "attention": right._replace(attention=right.attention.flip(1)),
    }
    for name, seen in wrong.items():
        found = loss(seen, shown, fit_basis(shown, 10), RECIPE, torch.Generator().manual_seed(0))
        assert float(getattr(found, name)) > 0.05
        others = {"tokens", "embedding", "attention"} - {name}
        assert all(float(getattr(found, other)) < 1e-3 for other in others)
    turned = wrong["tokens"]
    found = loss(turned, shown, fit_basis(shown, 10), RECIPE, torch.Generator().manual_seed(0))
    assert float(found.relation) > 0.05
