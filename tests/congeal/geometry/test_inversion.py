from __future__ import annotations

import pytest
import torch

from congeal.geometry import inversion
from congeal.geometry.inversion import inverse_places
from congeal.geometry.warps import sample


def flow(strength: float, n: int = 4, r: int = 16) -> torch.Tensor:
    """Waves of their own for every image; from about 0.4 on they fold."""
    step = torch.linspace(-1, 1, r)
    down, right = torch.meshgrid(step, step, indexing="ij")
    phase = torch.arange(n).view(-1, 1, 1)
    return strength * torch.stack([torch.sin(3 * down + phase), torch.cos(2.5 * right - phase)], -1)


def places(n: int = 4, k: int = 300) -> torch.Tensor:
    return torch.rand((n, k, 2), generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2


def test_stragglers_end_where_they_would_beside_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for strength in (0.1, 0.3, 0.6):
        displacement, at = flow(strength), places()
        found = inverse_places(displacement, at, 12)
        with monkeypatch.context() as patched:
            patched.setattr(inversion, "FEW", 0.0)
            plain = inverse_places(displacement, at, 12)
        close = (found - plain).abs().amax(-1) < 1e-4
        # On a fold, rounding decides to which side a point goes.
        assert float(close.float().mean()) > (0.99 if strength > 0.4 else 0.9999)


def test_every_point_ends_where_it_would_by_itself() -> None:
    displacement, at = flow(0.3), places()
    found = inverse_places(displacement, at, 12)
    for k in (0, 7, 200):
        alone = inverse_places(displacement, at[:, k : k + 1], 12)
        torch.testing.assert_close(alone, found[:, k : k + 1], atol=1e-5, rtol=0)


def test_where_nothing_folds_the_gap_is_closed() -> None:
    displacement, at = flow(0.15), places() / 2
    found = inverse_places(displacement, at, 12)
    torch.testing.assert_close(found + sample(displacement, found), at, atol=2e-5, rtol=0)


def test_the_places_that_are_given_stay_as_they_are() -> None:
    displacement = torch.zeros((1, 8, 8, 2))
    displacement[0, 4, 4] = 0.1  # few places have a way to go
    at = places(1, 200)
    before = at.clone()
    inverse_places(displacement, at, 12)
    assert torch.equal(at, before)
