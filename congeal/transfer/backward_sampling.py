"""From each pixel of a target back to where something was painted: where to look, how surely, how coarsely.

The target is cut into pieces, so that memory follows the piece and not the picture. A piece knows, for every
painting, the part of it that it needs, where in it to look, and at which level of an image pyramid: where the
map shrinks, what is shown is an average of what there is (Williams, *Pyramidal parametrics*, 1983).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from congeal.transfer.points import Maps

Pixels = npt.NDArray[Any]

TILE = 512  # side of the largest piece, pixels of the target
SMALLEST = 32
PATCH = 4_000_000  # pixels of a painting that one piece may ask for before it is cut up
LEVELS = 12.0
RING = 2  # cells by which a map is continued, straight, beyond its border


@dataclass(frozen=True)
class Painting:
    """Something painted on an image, or on the average of its atlas.

    Attributes:
        pixels: [h, w] or [h, w, c]. On an image: of its size. On the average: any square over [-1, 1]².
        maps: the image's maps; None for the average.
    """

    pixels: Pixels
    maps: Maps | None


@dataclass(frozen=True)
class Placed:
    """One painting as a piece of h x w pixels sees it.

    Attributes:
        patch: the part of the painting's pixels that is needed; None where it shows nothing.
        at: float32 [h, w, 2], positions x, y in the patch, (0, 0) the centre of its top-left pixel.
        level: float32 [h, w], of the pyramid: 0 as painted, 1 at half the scale, ….
        coverage: float32 [h, w] in [0, 1], the share of the pixel that lies on the atlas.
        confidence: float32 [h, w] in [0, 1].
    """

    patch: Pixels | None
    at: Tensor
    level: Tensor
    coverage: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class Piece:
    """Rows and columns of the target, and every painting as it is seen there."""

    rows: slice
    columns: slice
    placed: Sequence[Placed]


def pieces(paintings: Sequence[Painting], target: Maps) -> Iterator[Piece]:
    """The pieces of a target on which any of the paintings shows something; elsewhere there is nothing."""
    boxes = [_content(painting.pixels) for painting in paintings]
    width, height = target.frame.width, target.frame.height
    waiting = [
        (top, min(top + TILE, height), left, min(left + TILE, width))
        for top in range(0, height, TILE)
        for left in range(0, width, TILE)
    ]
    fields = _TargetFields(target)
    forward = [None if painting.maps is None else _SourceFields(painting.maps) for painting in paintings]
    while waiting:
        top, bottom, left, right = waiting.pop()
        placed = []
        for painting, field, box in zip(paintings, forward, boxes, strict=True):
            one = _placed(painting, field, box, fields, (top, bottom, left, right))
            if one is None:
                break
            placed.append(one)
        if len(placed) < len(paintings):
            middle = (top + bottom + 1) // 2, (left + right + 1) // 2
            waiting += [
                (first, last, begin, end)
                for first, last in ((top, middle[0]), (middle[0], bottom))
                for begin, end in ((left, middle[1]), (middle[1], right))
                if first < last and begin < end
            ]
        elif any(one.patch is not None for one in placed):
            yield Piece(slice(top, bottom), slice(left, right), placed)


def look(planes: Tensor, placed: Placed) -> Tensor:
    """Values of ``planes`` [c, h', w'], a patch in float32, where a piece looks: [c, h, w], in their range.

    Bicubic as painted, bilinear in coarser levels, linear between levels; 0 beyond the patch.
    """
    level = placed.level
    out = torch.zeros((planes.shape[0], *level.shape))
    current = planes[None]
    last = int(level.max().ceil())
    for step in range(last + 1):
        weight = (1 - (level - step).abs()).clamp_min(0)
        if bool((weight > 0).any()):
            size = torch.tensor([current.shape[3], current.shape[2]], dtype=torch.float32)
            grid = ((placed.at + 0.5) / 2**step) * 2 / size - 1
            values = torch.nn.functional.grid_sample(
                current, grid[None], mode="bilinear" if step else "bicubic", align_corners=False
            )[0]
            out += weight * values
        if step == last:
            break
        odd = (0, current.shape[3] % 2, 0, current.shape[2] % 2)
        current = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(current, odd), 2)
    return out.clamp(0, 1)


def _placed(
    painting: Painting,
    source: _SourceFields | None,
    box: tuple[int, int, int, int] | None,
    target: _TargetFields,
    region: tuple[int, int, int, int],
) -> Placed | None:
    """None: the region asks for too much of the painting at once, and can be cut up."""
    height, width = painting.pixels.shape[:2]
    top, bottom, left, right = region
    places, sure = target.look(region)
    if source is None:
        at = (places + 1) * torch.tensor([width, height]) / 2 - 0.5
        confidence = sure
    else:
        at, there = source.look(places)
        confidence = (sure * there).sqrt()
    inner = (slice(1, -1), slice(1, -1))
    down, along = (_difference(at, axis)[inner] for axis in (0, 1))
    stretch = ((down**2).sum(-1) + (along**2).sum(-1)).div(2).sqrt()
    level = stretch.clamp_min(1e-6).log2().clamp(0, LEVELS)
    coverage = _on_atlas(places)[inner]
    at, confidence = at[inner], confidence[inner] * (coverage > 0)
    nothing = Placed(None, at, level, coverage, confidence)
    step = 2 ** int(level.max().ceil())
    margin = 2 * step + 2
    if box is None:
        return nothing
    seen = at[coverage > 0]
    if not len(seen):
        return nothing
    low, high = seen.amin(0) - margin, seen.amax(0) + margin
    x0, y0 = max(int(low[0]), box[0] - margin, 0), max(int(low[1]), box[1] - margin, 0)
    x1, y1 = min(int(high[0]) + 1, box[2] + margin, width), min(int(high[1]) + 1, box[3] + margin, height)
    if x0 >= x1 or y0 >= y1 or x1 <= box[0] or y1 <= box[1] or x0 >= box[2] or y0 >= box[3]:
        return nothing
    # Cells of every level lie as they would in a pyramid of the whole painting, so that pieces fit together.
    x0, y0 = x0 // step * step, y0 // step * step
    if (x1 - x0) * (y1 - y0) > PATCH and max(bottom - top, right - left) > SMALLEST:
        return None
    patch = painting.pixels[y0:y1, x0:x1]
    return Placed(patch, at - torch.tensor([float(x0), float(y0)]), level, coverage, confidence)


class _TargetFields:
    def __init__(self, maps: Maps) -> None:
        self.frame = maps.frame
        self.backward = _continued(maps.backward)
        self.confidence = _continued(np.asarray(maps.backward_confidence)[..., None])

    def look(self, region: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
        """Atlas places [h + 2, w + 2, 2] and confidence of a region's pixels and one pixel around them."""
        top, bottom, left, right = region
        x, y = np.meshgrid(np.arange(left - 1, right + 1), np.arange(top - 1, bottom + 1))
        frame = torch.from_numpy(
            np.asarray(self.frame.to_frame(np.stack([x, y], -1).astype(np.float64))).astype(np.float32)
        )
        return _values(self.backward, frame), _values(self.confidence, frame)[..., 0].clamp(0, 1)


class _SourceFields:
    def __init__(self, maps: Maps) -> None:
        self.forward = _continued(maps.forward)
        self.confidence = _continued(np.asarray(maps.forward_confidence)[..., None])

    def look(self, places: Tensor) -> tuple[Tensor, Tensor]:
        sure = _values(self.confidence, places.clamp(-1, 1))[..., 0].clamp(0, 1)
        return _values(self.forward, places), sure


def _continued(field: Pixels) -> Tensor:
    """A field [r, r, c] as planes [1, c, r + 2 RING, r + 2 RING], going on straight beyond its border."""
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(field, np.float32), 2, 0)))[None]
    for axis in (2, 3):
        side = planes.shape[axis]
        first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, side - 1, 1)
        inner = min(1, side - 1)
        slope = first - planes.narrow(axis, inner, 1), last - planes.narrow(axis, side - 1 - inner, 1)
        before = [first + slope[0] * step for step in range(RING, 0, -1)]
        after = [last + slope[1] * step for step in range(1, RING + 1)]
        planes = torch.cat([*before, planes, *after], axis)
    return planes


def _values(planes: Tensor, at: Tensor) -> Tensor:
    side = planes.shape[2]
    found = torch.nn.functional.grid_sample(
        planes, at[None] * ((side - 2 * RING) / side), align_corners=False, padding_mode="border"
    )
    return found[0].permute(1, 2, 0)


def _on_atlas(places: Tensor) -> Tensor:
    """The share of each pixel that lies within [-1, 1]², its border a pixel wide."""
    change = (_difference(places, 0) ** 2 + _difference(places, 1) ** 2).sqrt().clamp_min(1e-9)
    return ((1 - places.abs()) / change + 0.5).clamp(0, 1).prod(-1)


def _difference(values: Tensor, axis: int) -> Tensor:
    """Central differences per pixel; what they are at the border is not used."""
    return (values.roll(-1, axis) - values.roll(1, axis)) / 2


def _content(pixels: Pixels) -> tuple[int, int, int, int] | None:
    """left, top, right, bottom of what is painted (alpha, where there is one); None: nothing is."""
    shown = pixels[..., -1] if pixels.ndim == 3 else pixels
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
