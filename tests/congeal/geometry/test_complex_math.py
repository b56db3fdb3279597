from __future__ import annotations

import torch

from congeal.geometry.complex_math import inverse, length, product, quotient


def numbers(seed: int) -> torch.Tensor:
    return torch.view_as_complex(torch.randn((33, 2), generator=torch.Generator().manual_seed(seed)))


def test_arithmetic_is_that_of_complex_numbers() -> None:
    a, b = numbers(0), numbers(1)
    assert torch.allclose(product(a, b), a * b, atol=1e-5)
    assert torch.allclose(inverse(a), 1 / a, rtol=1e-4)
    assert torch.allclose(length(a), a.abs(), atol=1e-6)
    assert torch.allclose(quotient(a, b.real), a / b.real, rtol=1e-4)


def test_a_number_is_rounded_the_same_whatever_the_length_of_its_array() -> None:
    a, b = numbers(0), numbers(1)
    whole = product(a, b), inverse(a), length(a)
    for size in range(1, 20):
        part = product(a[:size], b[:size]), inverse(a[:size]), length(a[:size])
        assert all(torch.equal(few, many[:size]) for few, many in zip(part, whole, strict=True))
