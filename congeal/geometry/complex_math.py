"""Complex numbers by their real parts, for arrays in which every number is another image's or pair's.

A processor multiplies complex numbers several at a time, and those that are left over at an array's end in
another way, with another rounding: an image's result would depend on how many others are in the array.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor) -> Tensor:
    """a·b of complex64 [...], which broadcast."""
    return torch.complex(a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real)


def quotient(a: Tensor, by: Tensor) -> Tensor:
    """a/by of complex64 [...] by float32 [...], complex64."""
    return torch.complex(a.real / by, a.imag / by)


def inverse(a: Tensor) -> Tensor:
    """1/a of complex64 [...]."""
    return quotient(a.conj(), a.real**2 + a.imag**2)


def length(a: Tensor) -> Tensor:
    """|a| of complex64 [...], float32."""
    found: Tensor = (a.real**2 + a.imag**2).sqrt()
    return found
