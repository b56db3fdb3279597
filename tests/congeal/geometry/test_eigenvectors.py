from __future__ import annotations

import pytest
import torch

from congeal.geometry.eigenvectors import leading_eigenvectors, signed


@pytest.mark.parametrize("count", [2, 5, 9])
def test_leading_eigenvectors_rebuild_the_matrix(count: int) -> None:
    rows = torch.randn(30, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scatter = rows.T @ rows
    values, vectors = leading_eigenvectors(scatter, count)
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    assert vectors.shape == (5, min(count, 5))
    torch.testing.assert_close(scatter @ vectors, vectors * values)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(vectors.shape[1], dtype=torch.float64))
    assert bool((vectors.amax(0) == vectors.abs().amax(0)).all())


def test_signs_do_not_depend_on_the_given_ones() -> None:
    columns = torch.tensor([[0.1, -0.5, 0.0], [-0.9, 0.2, 0.0]])
    assert torch.equal(signed(columns), torch.tensor([[-0.1, 0.5, 0.0], [0.9, -0.2, 0.0]]))
    assert torch.equal(signed(-columns), signed(columns))
