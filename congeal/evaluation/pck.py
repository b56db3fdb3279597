"""PCK, the share of correct keypoints, and the baselines that stand beside it.

A keypoint is correct if it lands within a threshold of the truth; PCK is counted per keypoint over the
ordered pairs of a set (protocols: SPair-71k, Min et al. 2019; CUB as of ASIC, Gupta et al. 2023; PF-WILLOW,
Ham et al. 2016; see `congeal.evaluation.protocols`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Integer, Real

from congeal.errors import CongealError
from congeal.geometry.arrays import Doubles, Flags
from congeal.geometry.frames import Frame
from congeal.geometry.shape_checks import check_fields, checked
from congeal_floors.plurals import counted

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

Transfer = Callable[[int, int, Doubles], Doubles]
"""(source, target, points [m, 2] of the source) to points [m, 2] of the target; pixels."""
Assured = Callable[[int, int, Doubles], tuple[Doubles, Doubles]]
"""The same with a confidence [m] in [0, 1] for every point, NaN where a method has none."""


@dataclass(frozen=True)
class Annotated:
    """One image with its keypoints.

    Attributes:
        frame: the image's frame.
        points: float64 [k, 2], pixels; NaN where a keypoint is hidden.
        unit: what the threshold α is a share of, in pixels of this image when it is the target.
        origin: where the paper's evaluation believes a hidden keypoint to be; None: the frame's corner.
    """

    frame: Frame
    points: Real[Doubles, "k 2"]
    unit: float
    origin: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def visible(self) -> Flags:
        """bool [k]."""
        return np.asarray(np.isfinite(self.points).all(1))


@dataclass(frozen=True)
class Renaming:
    """How keypoints change names where the alignment mirrors one image of a pair.

    Attributes:
        mirrored: bool [n], whether each image is mirrored into the atlas.
        order: int64 [k], the keypoint that stands in each one's place in a mirrored image.
        early: look up who is visible before the names change, as the published evaluation of Neural
            Congealing does; then a point that is hidden may count, from where it is believed to be.
        by_pair: with early, keypoints that are hidden in either image of a pair count as hidden in both,
            as in the pairs of SPair-71k.
    """

    mirrored: Bool[Flags, " n"]
    order: Integer[Integers, " k"]
    early: bool = False
    by_pair: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Outcomes:
    """What became of m points that were carried from one image to another.

    Attributes:
        source, target, keypoint: int64 [m], positions of the images and of the target's keypoint.
        error: float64 [m], distance from the truth in pixels of the target.
        unit: float64 [m], the target's unit.
        confidence: float64 [m], NaN where the method has none.
    """

    source: Integers
    target: Integers
    keypoint: Integers
    error: Doubles
    unit: Doubles
    confidence: Doubles

    def __len__(self) -> int:
        return len(self.error)

    def correct(self, alpha: float) -> Flags:
        """bool [m]: within α times the unit, the threshold included."""
        return np.asarray(self.error <= alpha * self.unit)

    def pck(self, alpha: float) -> float:
        """Share of correct points, in percent."""
        return 100 * int(self.correct(alpha).sum()) / len(self)

    def pck_of_pairs(self, alpha: float) -> float:
        """Mean over the pairs of each pair's share ("per image" in SPair-71k), in percent."""
        pairs = np.stack([self.source, self.target], 1)
        return float(np.mean([share for _, _, share in _grouped(pairs, self.correct(alpha))]))

    def by_keypoint(self, alpha: float) -> list[tuple[int, int, float]]:
        """Keypoint, number of points, share in percent, for every keypoint that was carried."""
        groups = _grouped(self.keypoint[:, None], self.correct(alpha))
        return [(int(key[0]), count, share) for key, count, share in groups]

    def by_image(self, alpha: float) -> list[tuple[int, int, float]]:
        """Image, number of points, share in percent, of the points carried from or to each image."""
        images = np.concatenate([self.source, self.target])[:, None]
        groups = _grouped(images, np.tile(self.correct(alpha), 2))
        return [(int(key[0]), count, share) for key, count, share in groups]


def _grouped(keys: Integers, correct: Flags) -> list[tuple[Integers, int, float]]:
    groups, member = np.unique(keys, axis=0, return_inverse=True)
    member = member.reshape(-1)
    count = np.bincount(member, minlength=len(groups))
    right = np.bincount(member, weights=correct, minlength=len(groups))
    return [(key, int(n), 100 * float(r) / int(n)) for key, n, r in zip(groups, count, right, strict=True)]


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """All points of several outcomes."""
    names = Outcomes.__dataclass_fields__
    return Outcomes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@checked
def bounding_unit(points: Real[Doubles, "k 2"]) -> float:
    """The longer side of the box around the visible of points float64 [k, 2], the unit of PF-WILLOW."""
    seen = points[np.isfinite(points).all(1)]
    if len(seen) < 2:
        raise CongealError("a bounding box needs two visible keypoints at least")
    return float((seen.max(0) - seen.min(0)).max())


def all_pairs(count: int) -> list[tuple[int, int]]:
    """All ordered pairs of `count` images."""
    return list(itertools.permutations(range(count), 2))


def carry(
    images: Sequence[Annotated],
    transfer: Assured,
    pairs: Iterable[tuple[int, int]],
    renaming: Renaming | None = None,
) -> Outcomes:
    """Carry the keypoints of every pair's source to its target.

    Args:
        images: the set.
        transfer: the method, with its confidence.
        pairs: ordered pairs of positions in images.
        renaming: None: a keypoint is compared with its namesake.

    Raises:
        CongealError: if no pair shares a visible keypoint, or the method gives points of another shape.
    """
    rows = []
    for source, target in pairs:
        keypoints, start, truth = _compared(images, source, target, renaming)
        if len(keypoints):
            found, confidence = transfer(source, target, start)
            if np.shape(found) != truth.shape or np.shape(confidence) != truth.shape[:1]:
                raise CongealError(
                    f"the method gives points {list(np.shape(found))} and confidence "
                    f"{list(np.shape(confidence))} for {counted(len(truth), 'point')}, not [m, 2] and [m]"
                )
            error = np.linalg.norm(found - truth, axis=1)
            here = np.full(len(keypoints), source), np.full(len(keypoints), target)
            unit = np.full(len(keypoints), images[target].unit)
            rows.append(Outcomes(*here, keypoints, error, unit, np.asarray(confidence, np.float64)))
    if not rows:
        raise CongealError("no two images of the set share a visible keypoint")
    return joined(rows)


def _compared(
    images: Sequence[Annotated], source: int, target: int, renaming: Renaming | None
) -> tuple[Integers, Doubles, Doubles]:
    """The keypoints [m] that count, where they are in the source and where they are in the target [m, 2]."""
    one, other = images[source], images[target]
    here, there = one.points, other.points
    if renaming is None or renaming.mirrored[source] == renaming.mirrored[target]:
        both = one.visible & other.visible
    elif not renaming.early:
        here = here[renaming.order]
        both = np.isfinite(here).all(1) & other.visible
    else:
        both = one.visible & other.visible
        seen_here, seen_there = (both, both) if renaming.by_pair else (one.visible, other.visible)
        here = np.where(seen_here[:, None], here, _origin(one))
        there = np.where(seen_there[:, None], there, _origin(other))
        # Listed pairs rename the source; where each pair stands for both ways, its earlier image is renamed.
        if renaming.by_pair or source < target:
            here = here[renaming.order]
        else:
            there = there[renaming.order]
    return np.flatnonzero(both), here[both], there[both]


def _origin(image: Annotated) -> Doubles:
    if image.origin is not None:
        return np.array(image.origin)
    return np.asarray(image.frame.to_pixels(np.array([-1.0, -1.0])))


def unsure(transfer: Transfer) -> Assured:
    """A method without confidence."""
    return lambda source, target, points: (transfer(source, target, points), np.full(len(points), np.nan))


def pck(images: Sequence[Annotated], transfer: Transfer, alpha: float) -> float:
    """Share of correct keypoints over all ordered pairs, in percent.

    Raises CongealError if no two images share a visible keypoint.
    """
    return carry(images, unsure(transfer), all_pairs(len(images))).pck(alpha)


def identity(images: Sequence[Annotated]) -> Transfer:
    """The baseline that leaves every point at its place in the frame."""

    def transfer(source: int, target: int, points: Doubles) -> Doubles:
        return np.asarray(images[target].frame.to_pixels(images[source].frame.to_frame(points)))

    return transfer


@checked
def nearest_neighbour(
    images: Sequence[Annotated], features: Real[Floats, "n g g c"], extent: float = 1.0
) -> Transfer:
    """The baseline that matches each pair on its own: the most similar token of the target.

    Args:
        images: the set.
        features: [n, g, g, c], dense features of the images' frames.
        extent: half the side of the token grid in frame units.
    """
    import torch

    from congeal.geometry.frames import cell_centres
    from congeal.geometry.warps import sample

    grid = torch.as_tensor(np.asarray(features, np.float32))
    unit = torch.nn.functional.normalize(grid, dim=-1)
    centres = cell_centres(grid.shape[1], extent).reshape(-1, 2)

    def transfer(source: int, target: int, points: Doubles) -> Doubles:
        at = torch.as_tensor(np.asarray(images[source].frame.to_frame(points), np.float32))
        query = torch.nn.functional.normalize(sample(grid[source][None], at[None], extent)[0], dim=-1)
        best = (query @ unit[target].flatten(0, 1).T).argmax(1)
        return np.asarray(images[target].frame.to_pixels(centres[best.numpy()].astype(np.float64)))

    return transfer
