"""Flows inverted by Newton's method, point by point.

Coordinates are kept in a plane each: along an axis of two, torch goes through numbers one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from congeal.geometry.interpolation import corners, weighted_rows

CLOSED = 1e-5  # atlas units: a gap that needs no further closing
SHORTEST = 1e-3  # share of a Newton step below which a point is stuck
UPRIGHT = 0.05  # determinant from which a flow is taken at its word by Newton's method
FEW = 0.3  # share of the points from which on only those are looked up that are not there yet


def inverse_places(displacement: Tensor, at: Tensor, rounds: int) -> Tensor:
    """The points u [n, k, 2] with u + d(u) = ``at`` [n, k, 2]; see `congeal.geometry.warps.inverted`.

    displacement: float32 [n, r, r, 2].
    """
    r = displacement.shape[1]
    slopes = [torch.gradient(displacement, spacing=2.0 / r, dim=dim)[0] for dim in (2, 1)] if r > 1 else []
    field = torch.cat([displacement, *slopes], -1)
    planes = field.permute(0, 3, 1, 2).contiguous()

    def everywhere(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        places = torch.stack([x, y], -1)[:, None]
        found = torch.nn.functional.grid_sample(planes, places, align_corners=False, padding_mode="border")
        return found[:, :, 0].unbind(1)

    x, y = (part.contiguous() for part in at.unbind(-1))
    state = _started(x, y, everywhere(x, y))
    for done in range(rounds):
        # A GPU is not waited for; it steps with all points as quickly as with a few.
        if x.device.type == "cpu":
            going = state.going()
            count = int(going.sum())
            if not count:
                break
            if count < FEW * going.numel() and r > 1:
                _finish(state, (x, y), going, field, rounds - done)
                break
        state.step(x, y, everywhere(*state.candidate()))
    return torch.stack([state.x, state.y], -1)


@dataclass
class _Points:
    """Points on their way; each stops by itself, so that none depends on how long the others take.

    Attributes:
        x, y: where they are.
        off_x, off_y: what is left of the way.
        step_x, step_y: Newton's next step.
        length: of the next step, as a share of Newton's.
    """

    x: Tensor
    y: Tensor
    off_x: Tensor
    off_y: Tensor
    step_x: Tensor
    step_y: Tensor
    length: Tensor

    def going(self) -> Tensor:
        """Which points have a way to go."""
        return (_squared(self.off_x, self.off_y) > CLOSED**2) & (self.length > SHORTEST)

    def candidate(self) -> tuple[Tensor, Tensor]:
        """Where the next step leads."""
        return (
            torch.addcmul(self.x, self.length, self.step_x),
            torch.addcmul(self.y, self.length, self.step_y),
        )

    def step(self, x: Tensor, y: Tensor, there: tuple[Tensor, ...]) -> None:
        """Take the step where it leads nearer to x and y; there: the flow and its slopes where it leads."""
        going, (new_x, new_y) = self.going(), self.candidate()
        off_x, off_y = x - new_x - there[0], y - new_y - there[1]
        nearer = going & (_squared(off_x, off_y) < _squared(self.off_x, self.off_y))
        step_x, step_y = _newton(there[2:], off_x, off_y)
        shorter = torch.where(going, self.length / 4, self.length)
        self.length = torch.where(nearer, (2 * self.length).clamp_max_(1.0), shorter)
        self.x, self.y = torch.where(nearer, new_x, self.x), torch.where(nearer, new_y, self.y)
        self.off_x = torch.where(nearer, off_x, self.off_x)
        self.off_y = torch.where(nearer, off_y, self.off_y)
        self.step_x = torch.where(nearer, step_x, self.step_x)
        self.step_y = torch.where(nearer, step_y, self.step_y)


def _started(x: Tensor, y: Tensor, found: tuple[Tensor, ...]) -> _Points:
    """All points where they are to be taken."""
    off_x, off_y = -found[0], -found[1]
    return _Points(x.clone(), y.clone(), off_x, off_y, *_newton(found[2:], off_x, off_y), torch.ones_like(x))


def _finish(state: _Points, at: tuple[Tensor, Tensor], going: Tensor, field: Tensor, rounds: int) -> None:
    """Take the points that are not there yet the rest of the way, without the others."""
    r, k = field.shape[1], going.shape[1]
    rows = torch.nonzero(going.flatten())[:, 0]
    first = (rows // k * r**2)[:, None]
    table = field.view(-1, field.shape[-1])
    few = _Points(*(part.flatten()[rows] for part in vars(state).values()))
    x, y = (part.flatten()[rows] for part in at)
    for _ in range(rounds):
        if not bool(few.going().any()):
            break
        index, weight = corners(torch.stack(few.candidate(), -1), r)
        few.step(x, y, weighted_rows(table, index.add_(first), weight).unbind(-1))
    state.x.view(-1)[rows] = few.x
    state.y.view(-1)[rows] = few.y


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return torch.addcmul(x * x, y, y)


def _newton(slopes: tuple[Tensor, ...], off_x: Tensor, off_y: Tensor) -> tuple[Tensor, Tensor]:
    """The step that closes the gap where the flow has the slopes (∂x of x and y, then ∂y).

    Where it folds, half the gap.
    """
    if not slopes:
        return off_x, off_y
    xx, xy, yx, yy = slopes
    xx, yy = xx + 1, yy + 1
    determinant = torch.addcmul(xx * yy, yx, xy, value=-1)
    sound, share = determinant > UPRIGHT, determinant.clamp_min(UPRIGHT).reciprocal_()
    along = torch.addcmul(yy * off_x, yx, off_y, value=-1).mul_(share)
    down = torch.addcmul(xx * off_y, xy, off_x, value=-1).mul_(share)
    return torch.where(sound, along, off_x / 2), torch.where(sound, down, off_y / 2)
