from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.alignment.config.inputs import TokensConfig
from congeal.alignment.config.poses import MatchingConfig
from congeal.alignment.inputs.tokens import Tokens, grid_positions, select_tokens
from congeal.alignment.poses.pairwise_matching import (
    TABLE_SHARE,
    Matches,
    agreeing,
    mutual_matches,
    robust_similarities,
    shuffled,
)

CPU = torch.device("cpu")
CONFIG = MatchingConfig()
MATCH_PARTS = ("first", "second", "weight")


def matched(a: complex, b: complex, outliers: float, seed: int = 0) -> Matches:
    generator = torch.Generator().manual_seed(seed)
    first = torch.view_as_complex(torch.rand((1, 120, 2), generator=generator) * 1.6 - 0.8)
    second = a * first + b + 0.01 * torch.view_as_complex(torch.randn((1, 120, 2), generator=generator))
    count = int(120 * outliers)
    second[:, :count] = torch.view_as_complex(torch.rand((1, count, 2), generator=generator) * 2 - 1)
    return Matches(first, second.contiguous(), torch.ones((1, 120)))


def draws(seed: int, hypotheses: int) -> torch.Tensor:
    return torch.rand((1, hypotheses, 2), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25)
@given(angle=st.floats(-3, 3), scale=st.floats(0.5, 2), outliers=st.sampled_from([0.0, 0.3, 0.6]))
def test_a_similarity_is_found_among_outliers(angle: float, scale: float, outliers: float) -> None:
    a = scale * complex(math.cos(angle), math.sin(angle))
    made = matched(a, 0.1 - 0.2j, outliers)
    found = robust_similarities(made, draws(1, 256), CONFIG, tolerance=0.05)
    assert abs(complex(found.a[0]) - a) < 0.05 * scale
    assert abs(complex(found.b[0]) - (0.1 - 0.2j)) < 0.03


def test_an_angle_limit_is_kept() -> None:
    made = matched(-1 + 0j, 0j, 0.0)
    limited = robust_similarities(
        made, draws(0, 64), MatchingConfig(reweightings=0), tolerance=0.05, max_angle=0.5
    )
    assert abs(float(limited.a[0].angle())) <= 0.5 + 1e-6


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.02, 0.1, 0.4]))
def test_matches_that_fit_nothing_are_not_drawn_together_in_a_point(seed: int, spread: float) -> None:
    made = matched(1 + 0j, 0j, 1.0, seed)
    crowded = Matches(made.first, made.second * spread, made.weight)
    found = robust_similarities(crowded, draws(seed, 64), CONFIG, tolerance=0.05)
    assert math.exp(-1.1) - 1e-4 <= float(found.a[0].abs()) <= math.exp(1.1) + 1e-4


@given(count=st.integers(0, 120), seed=st.integers(0, 1000))
def test_shuffling_exchanges_partners_and_leaves_padding_out(count: int, seed: int) -> None:
    made = matched(1 + 0j, 0j, 0.0)
    padded = Matches(made.first, made.second, (torch.arange(120) < count).float()[None])
    order = torch.rand((1, 120), generator=torch.Generator().manual_seed(seed))
    strangers = shuffled(padded, order)
    partners, own = (torch.view_as_real(each.second[0, :count]).tolist() for each in (strangers, padded))
    assert sorted(partners) == sorted(own)
    assert count < 20 or partners != own
    assert torch.equal(strangers.first, padded.first)


def test_matches_without_weight_are_no_crash_and_no_support() -> None:
    made = matched(1 + 0j, 0j, 0.0)
    empty = Matches(made.first, made.second, torch.zeros_like(made.weight))
    found = robust_similarities(empty, draws(0, 8), CONFIG, tolerance=0.05)
    assert float(found.score[0]) == 0
    assert bool(torch.isfinite(torch.view_as_real(found.a)).all())


def test_exact_matches_give_the_exact_similarity_and_a_single_point_none() -> None:
    made = matched(0.5 + 0.5j, 0.2 + 0j, 0.0)
    exact = 0.5 * made.first
    found = robust_similarities(Matches(made.first, exact, made.weight), draws(0, 64), CONFIG, tolerance=0.05)
    assert abs(complex(found.a[0]) - 0.5) < 1e-5
    assert abs(complex(found.b[0])) < 1e-5
    one_point = torch.zeros_like(made.weight)
    one_point[:, 3] = 1
    found = robust_similarities(Matches(made.first, exact, one_point), draws(0, 64), CONFIG, tolerance=0.05)
    assert complex(found.a[0]) == 1
    assert complex(found.b[0]) == 0


def test_mutual_matches_find_the_same_tokens_moved() -> None:
    features = torch.nn.functional.normalize(
        torch.randn((1, 8, 8, 16), generator=torch.Generator().manual_seed(0)), dim=-1
    )
    saliency = torch.ones((1, 8, 8))
    tokens = select_tokens(features, saliency, 1.0, TokensConfig(most=64))
    moved = select_tokens(features.roll(1, dims=2), saliency, 1.0, TokensConfig(most=64))
    zero = torch.zeros(1, dtype=torch.long)
    matches = mutual_matches(tokens, moved, zero, zero, 64)
    step = matches.second - matches.first
    assert (matches.weight > 0).all()
    assert int(((step.real - 0.25).abs() < 1e-5).sum()) == 56  # one column came round from the other side
    assert float(step.imag.abs().max()) < 1e-5


def test_only_salient_tokens_are_matched() -> None:
    features = torch.nn.functional.normalize(torch.rand((1, 6, 6, 8)) + 0.1, dim=-1)
    saliency = torch.zeros((1, 6, 6))
    saliency[:, 2:4, 2:4] = 1
    tokens = select_tokens(features, saliency, 1.0, TokensConfig(most=30))
    assert int((tokens.weight > 0).sum()) == 4
    zero = torch.zeros(1, dtype=torch.long)
    matches = mutual_matches(tokens, tokens, zero, zero, 30)
    assert float(torch.view_as_real(matches.first[matches.weight > 0]).abs().max()) < 0.4


def tokens_of(count: int, seed: int, copies: int = 1) -> Tokens:
    """Three images, of which the first ``count`` of 70 tokens count, and ever fewer; some features alike."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((3, 70, 8), generator=generator)[:, torch.arange(70) // copies * copies]
    weight = torch.rand((3, 70), generator=generator).sort(dim=1, descending=True).values + 0.1
    weight = weight * (torch.arange(70) < torch.tensor([[count], [count // 2], [count // 3]]))
    position = torch.view_as_complex(torch.rand((3, 70, 2), generator=generator) * 2 - 1)
    return Tokens(weight.long(), position, weight, torch.nn.functional.normalize(features, dim=-1))


def mutual_by_definition(a: Tokens, b: Tokens, first: int, second: int) -> set[tuple[complex, complex]]:
    cosine = a.features[first] @ b.features[second].T
    cosine[a.weight[first] <= 0] = -2
    cosine[:, b.weight[second] <= 0] = -2
    best, partner = cosine.max(1)
    return {
        (complex(a.position[first, row]), complex(b.position[second, column]))
        for row, (value, column) in enumerate(zip(best.tolist(), partner.tolist(), strict=True))
        if value > 0 and value == float(cosine[:, column].max())
    }


@settings(max_examples=30)
@given(count=st.integers(0, 70), seed=st.integers(0, 1000), copies=st.sampled_from([1, 1, 3]))
def test_mutual_matches_are_those_of_the_definition(count: int, seed: int, copies: int) -> None:
    """In whatever groups pairs are compared, and where several tokens are equally alike."""
    a, b = tokens_of(count, seed, copies), tokens_of(70 - count, seed + 1)
    rows, columns = torch.arange(9) // 3, torch.arange(9) % 3
    found = mutual_matches(a, b, rows, columns, 128)
    assert found.weight.shape == (9, 70)
    for pair, (first, second) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        kept = found.weight[pair] > 0
        assert bool((found.weight[pair].diff() <= 0).all())
        matches = zip(found.first[pair, kept].tolist(), found.second[pair, kept].tolist(), strict=True)
        assert set(matches) == mutual_by_definition(a, b, first, second)


def test_only_the_best_matches_are_kept() -> None:
    tokens, pair = tokens_of(70, 0), torch.zeros(1, dtype=torch.long)
    every = mutual_matches(tokens, tokens, pair, pair, 70)
    few = mutual_matches(tokens, tokens, pair, pair, 5)
    assert torch.equal(few.weight, every.weight[:, :5])
    assert torch.equal(few.first, every.first[:, :5])


@settings(max_examples=25)
@given(pairs=st.integers(1, 70), seed=st.integers(0, 1000))
def test_a_similarity_does_not_depend_on_the_other_pairs(pairs: int, seed: int) -> None:
    many = [matched(0.9 + 0.2j, 0.1j, 0.3, seed + number) for number in range(pairs)]
    together = Matches(*(torch.cat([getattr(one, name) for one in many]) for name in MATCH_PARTS))
    drawn = torch.rand((pairs, 32, 2), generator=torch.Generator().manual_seed(seed))
    found = robust_similarities(together, drawn, CONFIG, tolerance=0.05)
    alone = robust_similarities(many[-1], drawn[-1:], CONFIG, tolerance=0.05)
    assert abs(complex(found.a[-1]) - complex(alone.a[0])) < 1e-4
    assert abs(float(found.score[-1]) - float(alone.score[0])) < 1e-2


def test_a_similarity_does_not_depend_on_how_many_are_scored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [matched(0.9 + 0.2j, 0.1j, 0.3, number) for number in range(7)]
    together = Matches(*(torch.cat([getattr(one, name) for one in many]) for name in MATCH_PARTS))
    drawn = torch.rand((7, 32, 2), generator=torch.Generator().manual_seed(0))
    whole = robust_similarities(together, drawn, CONFIG, tolerance=0.05)
    for pairs in (1, 3):
        room = {"cpu": pairs * TABLE_SHARE * 4 * 120 * 32}
        monkeypatch.setattr("congeal.geometry.chunking.AT_ONCE", room)
        found = robust_similarities(together, drawn, CONFIG, tolerance=0.05)
        for part, expected in zip(found.parts, whole.parts, strict=True):
            torch.testing.assert_close(part, expected)


def test_a_score_is_the_weight_of_the_matches_that_agree() -> None:
    made = matched(0.8 + 0.3j, 0.1 + 0j, 0.4)
    found = robust_similarities(made, draws(3, 64), CONFIG, tolerance=0.05)
    agreed = agreeing(made, found.a[:, None], found.b[:, None], 0.05, CONFIG)
    residual = (found.a[:, None] * made.first + found.b[:, None] - made.second).abs() / 0.05
    expected = made.weight / (1 + residual**2 / found.a.abs()) ** 2
    assert torch.allclose(agreed[:, 0], expected, atol=1e-4)
    assert abs(float(found.score[0]) - float(expected.sum())) < 1e-2


def test_positions_follow_the_grid() -> None:
    positions = grid_positions(2, 0.5, CPU)
    assert torch.allclose(positions, torch.tensor([-0.25 - 0.25j, 0.25 - 0.25j, -0.25 + 0.25j, 0.25 + 0.25j]))
