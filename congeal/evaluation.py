"""PCK, the share of correct keypoints, and the baselines that stand beside it.

A keypoint is correct if it lands within a threshold of the truth; PCK is counted per keypoint over all
ordered pairs of a set, with the keypoints that are visible in both images (protocols: SPair-71k, Min et al.
2019; CUB as of ASIC, Gupta et al. 2023; PF-WILLOW, Ham et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from congeal.coordinates import Frame
from congeal.errors import CongealError

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

Transfer = Callable[[int, int, Doubles], Doubles]


@dataclass(frozen=True)
class Annotated:
    """One image with its keypoints.

    Attributes:
        frame: the image's frame.
        points: float64 [k, 2], pixels; NaN where a keypoint is hidden.
        unit: what the threshold α is a share of, in pixels of this image when it is the target.
    """

    frame: Frame
    points: Doubles
    unit: float

    @property
    def visible(self) -> npt.NDArray[np.bool_]:
        """bool [k]."""
        return np.asarray(np.isfinite(self.points).all(1))


def bounding_unit(points: Doubles) -> float:
    """The longer side of the box around the visible points, the unit of SPair and PF-WILLOW."""
    seen = points[np.isfinite(points).all(1)]
    if len(seen) < 2:
        raise CongealError("a bounding box needs two visible keypoints at least")
    return float((seen.max(0) - seen.min(0)).max())


def pck(images: Sequence[Annotated], transfer: Transfer, alpha: float) -> float:
    """Share of correct keypoints over all ordered pairs, in percent.

    Args:
        images: the set.
        transfer: (source, target, points [m, 2] of the source) to points [m, 2] of the target; pixels.
        alpha: the threshold as a share of each target's unit.

    Raises:
        CongealError: if no two images share a visible keypoint.
    """
    correct = total = 0
    for errors, unit in _errors(images, transfer):
        correct += int((errors <= alpha * unit).sum())
        total += len(errors)
    if not total:
        raise CongealError("no two images of the set share a visible keypoint")
    return 100 * correct / total


def _errors(images: Sequence[Annotated], transfer: Transfer) -> Iterator[tuple[Doubles, float]]:
    for source, one in enumerate(images):
        for target, other in enumerate(images):
            both = one.visible & other.visible
            if source != target and both.any():
                found = transfer(source, target, one.points[both])
                yield np.linalg.norm(found - other.points[both], axis=1), other.unit


def identity(images: Sequence[Annotated]) -> Transfer:
    """The baseline that leaves every point at its place in the frame."""

    def transfer(source: int, target: int, points: Doubles) -> Doubles:
        return np.asarray(images[target].frame.to_pixels(images[source].frame.to_frame(points)))

    return transfer


def nearest_neighbour(images: Sequence[Annotated], features: Floats, extent: float = 1.0) -> Transfer:
    """The baseline that matches each pair on its own: the most similar token of the target.

    Args:
        images: the set.
        features: [n, g, g, c], dense features of the images' frames.
        extent: half the side of the token grid in frame units.
    """
    import torch

    from congeal.coordinates import cell_centres
    from congeal.warps import sample

    grid = torch.as_tensor(np.asarray(features, np.float32))
    unit = torch.nn.functional.normalize(grid, dim=-1)
    centres = cell_centres(grid.shape[1], extent).reshape(-1, 2)

    def transfer(source: int, target: int, points: Doubles) -> Doubles:
        at = torch.as_tensor(np.asarray(images[source].frame.to_frame(points), np.float32))
        query = torch.nn.functional.normalize(sample(grid[source][None], at[None], extent)[0], dim=-1)
        best = (query @ unit[target].flatten(0, 1).T).argmax(1)
        return np.asarray(images[target].frame.to_pixels(centres[best.numpy()].astype(np.float64)))

    return transfer
