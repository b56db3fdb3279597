from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from congeal.geometry import row_products as module
from congeal.geometry.row_products import batched_row_products, row_products


def rows(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 150), st.booleans())
def test_they_are_those_of_float64(k: int, m: int, c: int, strided: bool) -> None:
    a, b = rows(0, k, c), rows(1, m, c)
    if strided:
        a, b = rows(0, c, k).T, rows(1, m, 2 * c)[:, ::2]
    found = row_products(a, b)
    assert found.shape == (k, m)
    torch.testing.assert_close(found.double(), a.double() @ b.double().T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("n", "of"), [(1, 1), (3, 1), (3, 3)])
def test_those_of_several_pairs_are_those_of_each(n: int, of: int) -> None:
    a, b = rows(0, of, 20, 16), rows(1, n, 30, 16)
    found = batched_row_products(a, b)
    for number in range(n):
        assert torch.equal(found[number], row_products(a[number % of], b[number]))


@pytest.mark.parametrize("product", [row_products, lambda a, b: batched_row_products(a[None], b[None])[0]])
def test_gradients_pass_through(product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    a, b, c = rows(0, 7, 5).requires_grad_(), rows(1, 6, 5), rows(2, 7, 6)
    (product(a, b) * c).sum().backward()
    torch.testing.assert_close(a.grad, c @ b)
    with torch.no_grad():
        torch.testing.assert_close(product(a, b), a @ b.T)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.int64])
def test_other_numbers_than_float32_are_multiplied_too(kind: torch.dtype) -> None:
    a, b = (rows(0, 7, 5) * 3).to(kind), (rows(1, 6, 5) * 3).to(kind)
    for found in (row_products(a, b), batched_row_products(a[None], b[None])[0]):
        assert found.dtype == kind
        torch.testing.assert_close(found.double(), a.double() @ b.double().T, rtol=2e-3, atol=2e-2)


def test_without_onednn_they_are_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_by_onednn", lambda: None)
    a, b = rows(0, 7, 5), rows(1, 6, 5)
    assert torch.equal(row_products(a, b), a @ b.T)


def test_an_operation_that_is_gone_or_another_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        @staticmethod
        def _linear_pointwise(a: torch.Tensor, b: torch.Tensor, *_: object) -> torch.Tensor:
            return a @ b.T + 1

    for operations in (object(), Other()):
        monkeypatch.setattr(torch.ops, "mkldnn", operations)
        assert module._by_onednn.__wrapped__() is None
