"""Keys of an atlas against bilinear values of images' keys, without the values: their inner products suffice.

A bilinear value is a sum of four tokens, so that its product with the atlas' key is that sum of the tokens'
products, and its square a polynomial of the place within its cell, whose coefficients depend on the image
alone. So 8 numbers a place are computed instead of 128 channels for each of many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from congeal.neural import grids


@dataclass(frozen=True)
class KeyTable:
    """The tokens of n images, for products with them.

    Attributes:
        rows: float32 [..., n, g·g, c], the keys.
        squares: float32 [..., n, 9, g·g], the square of the bilinear value at (x, y) from a cell's upper left
            token: coefficients of 1, x, x², y, xy, x²y, y², xy², x²y².
        side: g, at least 2.
    """

    rows: Tensor
    squares: Tensor
    side: int

    @classmethod
    def of(cls, keys: Tensor) -> KeyTable:
        """keys: float32 [..., c, g, g]."""
        g = keys.shape[-1]
        rows = keys.flatten(-2).transpose(-1, -2).contiguous()
        here = keys[..., :-1, :-1]
        right, down = keys[..., :-1, 1:] - here, keys[..., 1:, :-1] - here
        both = keys[..., 1:, 1:] - keys[..., 1:, :-1] - right

        def product(one: Tensor, two: Tensor, times: float = 1.0) -> Tensor:
            return times * (one * two).sum(-3)

        found = (
            product(here, here), product(here, right, 2), product(right, right),
            product(here, down, 2), product(here, both, 2) + product(right, down, 2), product(right, both, 2),
            product(down, down), product(down, both, 2), product(both, both),
        )  # fmt: skip
        # A place on the last row or column belongs to the cell before it.
        squares = torch.nn.functional.pad(torch.stack(found, -3), (0, 1, 0, 1)).flatten(-2)
        return cls(rows, squares, g)

    def some(self, *rows: Tensor | slice | int | None) -> KeyTable:
        """Some of the images, by the indices of the leading dimensions."""
        return KeyTable(self.rows[rows], self.squares[rows], self.side)

    def products(self, atlas: Tensor, places: Tensor, extent: float) -> tuple[Tensor, Tensor]:
        """Products of the atlas' keys with the images' [n, r, r], and the squares of these [n, r, r].

        atlas: float32 [c, r, r]. places: [n, r, r, 2], frame units; those beyond the images are read at the
        border. Gradients reach the atlas and the places.
        """
        n, r = places.shape[:2]
        atlas_rows = atlas.permute(1, 2, 0).reshape(r * r, -1)
        dot, square = _Products.apply(
            atlas_rows, places.reshape(n, -1, 2), self.rows, self.squares, self.side, extent
        )
        return dot.view(n, r, r), square.view(n, r, r)


class _Products(torch.autograd.Function):
    """From the atlas [p, c] and places [n, p, 2] to both products [n, p]."""

    @staticmethod
    def forward(
        ctx: Any, atlas: Tensor, places: Tensor, rows: Tensor, squares: Tensor, side: int, extent: float
    ) -> tuple[Tensor, Tensor]:
        n, p, _ = places.shape
        at = (grids.sound_places(places, extent) + 1) * (side / 2) - 0.5
        inside = (at > 0) & (at < side - 1)
        at = at.clamp(0, side - 1)
        corner = at.floor().clamp(max=side - 2)
        x, y = (at - corner).unbind(-1)
        base = (corner[..., 1] * side + corner[..., 0]).long()
        first = torch.arange(n, device=base.device)[:, None] * side**2
        taps = torch.tensor([0, 1, side, side + 1], device=base.device)
        tokens = (base + first).T.unsqueeze(-1) + taps  # [p, n, 4]
        found = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            atlas.contiguous(), rows.flatten(0, 1), tokens.flatten(), *_bags(p, 4 * n, base.device), 0, -1
        )
        one, two, three, four = found.view(p, n, 4).permute(2, 1, 0).contiguous()
        upper, lower = two - one, four - three
        above, below = one + x * upper, three + x * lower
        c = squares.gather(2, base[:, None].expand(-1, 9, -1)).unbind(1)
        level, slope, curve = (c[k] + x * (c[k + 1] + x * c[k + 2]) for k in (0, 3, 6))
        tilts = [c[k + 1] + 2 * x * c[k + 2] for k in (0, 3, 6)]
        scale = inside.float() * (side / 2 / extent)
        ctx.save_for_backward(
            torch.stack([upper + y * (lower - upper), below - above], -1) * scale,
            torch.stack([tilts[0] + y * (tilts[1] + y * tilts[2]), slope + 2 * y * curve], -1) * scale,
            tokens, x, y, rows,
        )  # fmt: skip
        return above + y * (below - above), level + y * (slope + y * curve)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_dot: Tensor, of_square: Tensor) -> tuple[Tensor | None, ...]:
        dot_moves, square_moves, tokens, x, y, rows = ctx.saved_tensors
        to_atlas = to_places = None
        if ctx.needs_input_grad[1]:
            to_places = of_dot[..., None] * dot_moves + of_square[..., None] * square_moves
        if ctx.needs_input_grad[0]:
            left, top = 1 - x, 1 - y
            share = torch.stack([left * top, x * top, left * y, x * y], -1) * of_dot[..., None]
            to_atlas = torch.nn.functional.embedding_bag(
                tokens.flatten(1),
                rows.flatten(0, 1),
                per_sample_weights=share.transpose(0, 1).flatten(1),
                mode="sum",
            )
        return to_atlas, to_places, None, None, None, None


@lru_cache(maxsize=4)
def _bags(bags: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each bag of so many entries begins, [bags], and the bag of each entry, [bags · size]."""
    every = torch.arange(bags, device=device)
    return every * size, every.repeat_interleave(size)
