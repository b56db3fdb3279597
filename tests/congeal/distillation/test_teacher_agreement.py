from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from congeal.distillation.teacher_agreement import agreement
from congeal.distillation.teacher_targets import Examples, fit_basis


@pytest.fixture
def held() -> Examples:
    generator = torch.Generator().manual_seed(0)
    return Examples(
        torch.zeros(8, 1, 1, 3, dtype=torch.uint8),
        torch.randn(8, 6, 6, 12, generator=generator).half(),
        normalize(torch.randn(8, 12, generator=generator), dim=-1).half(),
        torch.ones(8, 6, 6).half(),
    )


def test_the_teacher_agrees_with_itself(held: Examples) -> None:
    basis = fit_basis(held, 12)
    seen = basis.tokens(held.features), basis.embeddings(held.embedding)
    found = agreement((held.features, held.embedding), seen, basis)
    assert found.images == 8
    assert found.token_cosine == pytest.approx(1, abs=1e-4)
    assert found.embedding_cosine == pytest.approx(1, abs=1e-4)
    assert found.neighbours == 1
    assert found.matches > 0.9  # matches are the teacher's own, before what is common is taken out


def test_a_stranger_does_not(held: Examples) -> None:
    generator = torch.Generator().manual_seed(9)
    seen = torch.randn(8, 6, 6, 12, generator=generator), torch.randn(8, 12, generator=generator)
    found = agreement((held.features, held.embedding), seen, fit_basis(held, 12))
    assert abs(found.token_cosine) < 0.1
    assert found.matches < 0.5


def test_a_cell_beside_the_match_counts_and_two_do_not(held: Examples) -> None:
    features = held.features.clone()
    features[1] = features[0]
    embedding = held.embedding.clone()
    embedding[1] = embedding[0]
    basis = fit_basis(Examples(held.pixels, features, embedding, held.saliency), 12)

    def moved(cells: int) -> float:
        said = basis.tokens(features[:2])
        said = torch.stack([said[0], said[1].roll(cells, 1)])
        seen = said, basis.embeddings(embedding[:2])
        return agreement((features[:2], embedding[:2]), seen, basis).matches

    assert moved(0) > 0.9
    assert moved(1) > 0.7
    assert moved(2) < 0.5
