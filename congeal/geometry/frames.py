"""The one coordinate convention; nothing else in the project converts coordinates.

*Pixels* are those of the original image after EXIF orientation: x right, y down, (0, 0) the centre of the
top-left pixel, so the image covers [-0.5, width - 0.5] x [-0.5, height - 0.5].

*Frame* coordinates (u, v) span the image padded at its edges, centred, to a square: [-1, 1]^2 covers the
square from edge to edge, pixel centres as torch's ``align_corners=False``.

A grid of g x g cells laid out by `cell_centres` covers [-extent, extent]^2 of the frame.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from congeal.errors import CongealError
from congeal.geometry.grid_limits import MOST_CELLS

if TYPE_CHECKING:
    # Whoever passes a tensor has imported torch; reading images must not wait for it.
    import torch

Array = npt.NDArray[Any]
Coordinates = TypeVar("Coordinates", Array, "torch.Tensor")

_MOST_SIDE = 1e12  # pixels, far beyond any image


@dataclass(frozen=True)
class Frame:
    """The square frame of one image of `width` x `height` pixels (after EXIF orientation).

    The methods take numpy arrays or torch tensors of shape [..., 2], x before y. Those that convert give back
    the same kind and shape in the same floating dtype (integers become float64).
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            number = isinstance(side, int | float | np.number) and not isinstance(side, bool)
            # Finite, and so that its square is a number.
            if not number or not abs(side) < _MOST_SIDE:
                raise CongealError(f"width and height of a frame are numbers of pixels, not {side!r:.80}")
        if self.width < 1 or self.height < 1:
            raise CongealError(f"an image of {self.width} x {self.height} pixels has no frame")

    @property
    def side(self) -> int:
        """Side of the square, in pixels of the image."""
        return max(self.width, self.height)

    @property
    def pad(self) -> tuple[float, float]:
        """Padding at the left and at the top, in pixels; the right and the bottom get as much."""
        return (self.side - self.width) / 2, (self.side - self.height) / 2

    @property
    def pixel_size(self) -> float:
        """Side of one pixel, in frame units."""
        return 2 / self.side

    def to_frame(self, xy: Coordinates) -> Coordinates:
        """Pixels [..., 2] to frame coordinates [..., 2]."""
        xy = _floating(xy)
        shift = _pair(self.pad[0] + 0.5, self.pad[1] + 0.5, xy)
        return (xy + shift) * self.pixel_size - 1

    def to_pixels(self, uv: Coordinates) -> Coordinates:
        """Frame coordinates [..., 2] to pixels [..., 2]; positions in the padding lie outside the image."""
        uv = _floating(uv)
        shift = _pair(self.pad[0] + 0.5, self.pad[1] + 0.5, uv)
        return (uv + 1) / self.pixel_size - shift

    @overload
    def inside(self, xy: torch.Tensor) -> torch.Tensor: ...

    @overload
    def inside(self, xy: npt.ArrayLike) -> npt.NDArray[np.bool_]: ...

    def inside(self, xy: Any) -> Any:
        """Boolean mask [...] of the pixel positions [..., 2] that lie on the image, its outer edge included.

        Positions that are not numbers are outside.
        """
        xy = _floating(xy)
        x, y = xy[..., 0], xy[..., 1]
        on_row = (x >= -0.5) & (x <= self.width - 0.5)
        return on_row & (y >= -0.5) & (y <= self.height - 0.5)


def reach(cells: int) -> float:
    """How far from its middle an atlas of so many cells a side is known, in atlas units.

    It goes on straight beyond the border for one cell, so that a thing's tips are not lost by a hair.
    """
    return 1 + 2 / cells


def check_cells(cells: int, what: str) -> None:
    """CongealError unless ``cells`` is a number of cells along a side."""
    if isinstance(cells, bool) or not isinstance(cells, int | np.integer) or cells < 1:
        raise CongealError(f"{what} is a whole number of cells a side, at least 1, not {cells!r}")
    if cells > MOST_CELLS:
        raise CongealError(f"{what} is at most {MOST_CELLS} cells a side, not {cells}")


def cell_centres(g: int, extent: float = 1.0) -> npt.NDArray[np.float32]:
    """Centres of the g x g cells that cover [-extent, extent]^2, float32 [g (v), g (u), 2], u before v."""
    if g < 1:
        raise CongealError(f"a grid needs at least one cell a side, not {g}")
    ticks = ((2 * np.arange(g) + 1) / g - 1) * extent
    u, v = np.meshgrid(ticks, ticks)
    return np.stack([u, v], axis=-1).astype(np.float32)


def _floating(values: Coordinates) -> Coordinates:
    floating: Any
    if _is_tensor(values):
        tensor: Any = values
        floating = tensor if tensor.is_floating_point() else tensor.double()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise CongealError(f"coordinates are numbers [..., 2], not {array.dtype}")
        floating = array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)
    if floating.ndim == 0 or floating.shape[-1] != 2:
        raise CongealError(f"coordinates have the shape [..., 2], not {list(floating.shape)}")
    return cast(Coordinates, floating)


def _pair(x: float, y: float, like: Coordinates) -> Coordinates:
    kind: Any = like
    pair: Any = kind.new_tensor([x, y]) if _is_tensor(like) else np.array([x, y], dtype=kind.dtype)
    return cast(Coordinates, pair)


def _is_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)
