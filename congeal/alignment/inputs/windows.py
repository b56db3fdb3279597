"""Sets seen a second time: square windows of their images, and the way back to the whole frames.

A window is a square of an image's frame, which may be turned and mirrored. What a backbone sees of it has
frame coordinates of its own, [-1, 1]² from edge to edge, as if it were an image:
whole frame position = centre + half · R(turn) · F · window position, F mirroring left to right or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Real
from torch import Tensor

from congeal.alignment.inputs.rotated_views import wrapped
from congeal.alignment.model import SALIENT, Alignment, Anchor
from congeal.errors import CongealError
from congeal.geometry.frames import Frame, cell_centres
from congeal.geometry.shape_checks import check_fields
from congeal.geometry.warps import sample
from congeal.imaging.turned_windows import Pixels, cut_turned, enclosing_size
from congeal.transfer.forward_backward_error import forward_backward_error

Array = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Seen = TypeVar("Seen")
UPRIGHT, POSED = 3, 5  # columns of windows as they are stored


@dataclass(frozen=True)
class Windows:
    """Square windows of n images, in frame units.

    Attributes:
        centre: float64 [n, 2], the middle of each.
        half: float64 [n], half a side of each.
        turn: float64 [n], by how much each is turned, radians, from u to v; None: not at all.
        mirrored: bool [n], whether each shows its part of the image mirrored; None: none does.
    """

    centre: Real[Array, "n 2"]
    half: Real[Array, " n"]
    turn: Real[Array, " n"] | None = None
    mirrored: Bool[npt.NDArray[np.bool_], " n"] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not (np.isfinite(self.centre).all() and (np.isfinite(self.half) & (self.half > 0)).all()):
            raise CongealError("a window has a finite centre and a side longer than 0")

    def __len__(self) -> int:
        return len(self.half)

    def __getitem__(self, rows: slice | list[int]) -> Windows:
        """The windows of some of the images."""
        turn = None if self.turn is None else self.turn[rows]
        return Windows(
            self.centre[rows], self.half[rows], turn, None if self.mirrored is None else self.mirrored[rows]
        )

    @classmethod
    def stored(cls, array: Array) -> Windows:
        """As `as_array` gives them."""
        if array.shape[1] == UPRIGHT:
            return cls(array[:, :2], array[:, 2])
        return cls(array[:, :2], array[:, 2], array[:, 3], array[:, 4] > 0)

    def as_array(self) -> npt.NDArray[np.float32]:
        """float32 [n, 3], as they are stored: middle and half a side of each; of windows that are turned
        [n, 5]: besides the turn, and 1 for mirrored.
        """
        posed = [] if self.turn is None else [self.turns, self.flips]
        return np.column_stack([self.centre, self.half, *posed]).astype(np.float32)

    @property
    def turns(self) -> Doubles:
        """float64 [n], by how much each is turned, radians."""
        return np.zeros(len(self)) if self.turn is None else np.asarray(self.turn, np.float64)

    @property
    def flips(self) -> npt.NDArray[np.bool_]:
        """bool [n], which of them show the image mirrored."""
        return np.zeros(len(self), bool) if self.mirrored is None else np.asarray(self.mirrored, bool)

    def further(self, angle: float) -> Windows:
        """The same, each turned by so many radians more."""
        return replace(self, turn=self.turns + angle)

    def to_frame(self, places: Array) -> Doubles:
        """Places [n, ..., 2] in the windows as places of the whole frames."""
        centre, half = self._shaped(np.ndim(places))
        found: Doubles = centre + half * self._turned(self._mirrored(np.asarray(places, np.float64)), 1)
        return found

    def to_window(self, places: Array) -> Doubles:
        """Places [n, ..., 2] of the whole frames as places in the windows."""
        centre, half = self._shaped(np.ndim(places))
        return self._mirrored(self._turned((np.asarray(places, np.float64) - centre) / half, -1))

    def pixels(self, row: int, size: int, read: Callable[[Array, float, int], Seen]) -> Pixels | Seen:
        """What one of them shows, uint8 [size, size, 3].

        read: gives the pixels of an upright window by its middle, half a side and pixels a side, see
            `congeal.imaging.decoding.window_pixels`; what it gives that is no array is given back.
        """
        turn, mirrored = float(self.turns[row]), bool(self.flips[row])
        larger = enclosing_size(size, turn)
        seen = read(self.centre[row], float(self.half[row]) * (larger / size), larger)
        return cut_turned(seen, turn, mirrored, size) if isinstance(seen, np.ndarray) else seen

    def on_image(self, frames: list[Frame], cells: int, extent: float) -> npt.NDArray[np.float32]:
        """float32 [n, g, g]: 1 where a token of a window lies on the image, 0 where it lies beyond it."""
        centres = np.broadcast_to(cell_centres(cells, extent), (len(self), cells, cells, 2))
        places = self.to_frame(centres)
        inside = [frame.inside(frame.to_pixels(of_one)) for frame, of_one in zip(frames, places, strict=True)]
        return np.stack(inside).astype(np.float32)

    def _turned(self, places: Doubles, sense: int) -> Doubles:
        if self.turn is None:
            return places
        angle = sense * self.turns.reshape(-1, *(1,) * (places.ndim - 2))
        cosine, sine, (x, y) = np.cos(angle), np.sin(angle), (places[..., 0], places[..., 1])
        return np.stack([cosine * x - sine * y, sine * x + cosine * y], -1)

    def _mirrored(self, places: Doubles) -> Doubles:
        if self.mirrored is None:
            return places
        sign = np.where(self.flips, -1.0, 1.0).reshape(-1, *(1,) * (places.ndim - 2))
        return np.stack([sign * places[..., 0], places[..., 1]], -1)

    def _shaped(self, dimensions: int) -> tuple[Array, Array]:
        ones = (1,) * (dimensions - 2)
        return self.centre.reshape(-1, *ones, 2), self.half.reshape(-1, *ones, 1)


def to_whole_frames(aligned: Alignment, windows: Windows) -> Alignment:
    """An alignment of windows as one of the whole images that they are windows of.

    Poses and maps from the atlas are composed exactly. A map to the atlas is read where the centres of the
    whole frame's cells lie in the window; around the window it goes on as the pose does, of no confidence.
    """
    n, m = aligned.backward.shape[:2]
    cells = torch.as_tensor(
        windows.to_window(np.broadcast_to(cell_centres(m), (n, m, m, 2))).astype(np.float32)
    )
    backward, sure = torch.as_tensor(aligned.backward), torch.as_tensor(aligned.backward_confidence)
    # A map is known up to the centres of its outermost cells.
    near = cells.clamp(-(1 - 1 / m), 1 - 1 / m)
    beyond = _from_pose(aligned, cells - near)
    inside = (cells.abs() <= 1).all(-1)
    back = (sample(backward, near) + beyond).numpy()
    half = np.asarray(windows.half)
    forward = windows.to_frame(aligned.forward).astype(np.float32)
    mirrored = aligned.mirrored ^ windows.flips
    rotation = aligned.rotation
    if windows.turn is not None:
        rotation = wrapped(rotation + np.where(mirrored, -1, 1) * windows.turns)
    return replace(
        aligned,
        mirrored=mirrored,
        rotation=rotation,
        scale=(aligned.scale * half).astype(np.float32),
        translation=windows.to_frame(aligned.translation).astype(np.float32),
        forward=forward,
        backward=back,
        backward_confidence=torch.where(inside, sample(sure[..., None], near)[..., 0], 0.0).numpy(),
        cycle_error=forward_backward_error(forward, back, aligned.atlas.saliency, SALIENT),
    )


def _from_pose(aligned: Alignment, steps: Tensor) -> Tensor:
    """Steps [n, ..., 2] in the frames as steps in the atlas, by the poses' linear part."""
    ones = (1,) * (steps.ndim - 2)
    sign = np.where(aligned.mirrored, -1.0, 1.0).reshape(-1, *ones)
    angle, scale = (
        np.asarray(each, np.float64).reshape(-1, *ones) for each in (aligned.rotation, aligned.scale)
    )
    x, y = steps[..., 0].double().numpy() * sign, steps[..., 1].double().numpy()
    scale = np.maximum(scale, 1e-6)
    turned = np.stack([np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x], -1)
    return torch.as_tensor((turned / scale[..., None]).astype(np.float32))


def window_anchor(anchor: Anchor, windows: Windows) -> Anchor:
    """Poses in the whole frames as poses in the windows."""
    mirrored, rotation = np.asarray(anchor.mirrored, bool), anchor.rotation
    if windows.turn is not None:
        rotation = wrapped(rotation - np.where(mirrored, -1, 1) * windows.turns)
    return replace(
        anchor,
        mirrored=mirrored ^ windows.flips,
        rotation=rotation,
        scale=(np.asarray(anchor.scale) / windows.half).astype(np.float32),
        translation=windows.to_window(anchor.translation).astype(np.float32),
    )
