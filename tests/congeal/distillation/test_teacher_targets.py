from __future__ import annotations

import torch
from torch.nn.functional import normalize

from congeal.distillation.teacher_targets import Examples, fit_basis, joined


def examples(count: int = 12, channels: int = 24, rank: int = 6, seed: int = 0) -> Examples:
    """A teacher whose tokens vary in few directions only."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank, channels, generator=generator)
    features = 0.1 * torch.randn(count, 4, 4, rank, generator=generator) @ mixing + 1.0
    embedding = normalize(torch.randn(count, rank, generator=generator) @ mixing, dim=-1)
    return Examples(
        torch.zeros(count, 32, 32, 3, dtype=torch.uint8),
        features.half(), embedding.half(), torch.ones(count, 4, 4).half(),
    )  # fmt: skip


def test_enough_channels_keep_what_tokens_have_in_common_with_each_other() -> None:
    shown = examples()
    basis = fit_basis(shown, 8)
    assert basis.kept > 0.999
    unit = normalize(shown.features.float(), dim=-1).flatten(0, 2)
    centred = normalize(unit - unit.mean(0), dim=-1)
    targets = basis.tokens(shown.features).flatten(0, 2)
    assert torch.allclose(targets @ targets.T, centred @ centred.T, atol=2e-2)
    embedding = shown.embedding.float()
    found = basis.embeddings(shown.embedding)
    assert torch.allclose(found @ found.T, embedding @ embedding.T, atol=5e-3)


def test_fewer_channels_keep_less_and_say_so() -> None:
    assert fit_basis(examples(), 2).kept < fit_basis(examples(), 5).kept < 1


def test_a_turn_brings_targets_to_what_is_said_and_leaves_cosines() -> None:
    shown = examples()
    basis = fit_basis(shown, 6)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    said = (basis.tokens(shown.features) @ turn).flatten(1, 2)
    turned = basis.turned_to(shown, said, basis.embeddings(shown.embedding) @ turn)
    after = turned.tokens(shown.features)
    assert float((after.flatten(1, 2) * said).sum(-1).mean()) > 0.97
    before = basis.tokens(shown.features)
    assert torch.allclose(after[0, 0] @ after[1, 1].T, before[0, 0] @ before[1, 1].T, atol=1e-4)


def test_more_channels_than_the_teacher_has_stay_empty() -> None:
    basis = fit_basis(examples(channels=5, rank=3), 9)
    assert basis.tokens(examples(channels=5, rank=3).features).shape[-1] == 9


def test_rows_and_joining() -> None:
    shown = examples()
    again = joined([shown.rows(torch.arange(5)), shown.rows(torch.arange(5, 12))])
    assert len(again) == 12
    assert torch.equal(again.features, shown.features)
