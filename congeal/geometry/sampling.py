"""A few of many, for what need not be asked of all."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly(count: int, most: int) -> Tensor:
    """At most so many of the places 0 … count − 1, evenly spaced: int64 [min(count, most)], ascending.

    They are the middles of as many equal stretches; all places, if there are no more.
    """
    if count <= most:
        return torch.arange(count)
    return (2 * torch.arange(most) + 1) * count // (2 * most)
