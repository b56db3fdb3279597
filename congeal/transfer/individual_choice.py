"""Which of the things of one kind in an image an individual is, by what a backbone sees of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from congeal.geometry.arrays import Doubles, Flags
from congeal.geometry.shape_checks import check_fields
from congeal.transfer.points import Maps, interpolate_many

SALIENT = 0.5  # of an atlas' cells that show the thing
MOST_CELLS = 256  # that are compared
FLOOR = 1e-6  # confidence of a cell that is known at all
Features = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Look:
    """What one thing looks like, cell by cell of its atlas.

    Attributes:
        features: float32 [k, c], of unit length.
        weight: float64 [k], how surely a cell shows the thing; 0: not at all.
    """

    features: Float[Features, "k c"]
    weight: Float[Doubles, " k"]

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Individual:
    """Somebody who was marked on images of a cluster.

    Attributes:
        number: tells individuals apart.
        marked: image to the number of the instance that it was marked on.
    """

    number: int
    marked: Mapping[str, int]


def compared_cells(saliency: Features) -> Flags:
    """The cells of an atlas, saliency [r, r], by which looks are compared: bool [r, r]."""
    shown = np.flatnonzero(saliency >= SALIENT)
    if not len(shown):
        shown = np.arange(saliency.size)
    chosen = np.zeros(saliency.size, bool)
    chosen[shown[:: -(-len(shown) // MOST_CELLS)]] = True
    return chosen.reshape(saliency.shape)


def look_of(features: Features, extent: float, maps: Maps, cells: Flags) -> Look:
    """The look of a thing.

    Args:
        features: [g, g, c], of its image, over ±extent of the frame.
        extent: half the side of the features' grid in frame units.
        maps: of the thing.
        cells: bool [r, r], of the atlas, which are compared.
    """
    places = np.asarray(maps.forward, np.float64)[cells]
    at = np.asarray(maps.frame.to_frame(places)) / extent
    seen = interpolate_many(np.nan_to_num(np.asarray(features, np.float32))[None], np.clip(at, -1, 1))[0]
    length = np.linalg.norm(seen, axis=1, keepdims=True)
    sure = np.clip(np.asarray(maps.forward_confidence, np.float64)[cells], FLOOR, 1)
    sure *= np.asarray(maps.frame.inside(places)) & (length[:, 0] > 0)
    return Look((seen / np.maximum(length, 1e-12)).astype(np.float32), sure)


def likeness(one: Look, other: Look) -> float:
    """The mean cosine over cells that both show, in [-1, 1]; -1 if there are none."""
    weight = one.weight * other.weight
    total = float(weight.sum())
    return float((weight * (one.features * other.features).sum(1)).sum() / total) if total > 0 else -1.0


def rivals(individuals: Sequence[Individual]) -> bool:
    """Whether individuals were marked on different instances of one image, so that each has its own."""
    found: dict[str, set[int]] = {}
    for one in individuals:
        for image, number in one.marked.items():
            found.setdefault(image, set()).add(number)
    return any(len(numbers) > 1 for numbers in found.values())


def assigned(alike: Doubles, apart: bool) -> list[int | None]:
    """Which of n instances each of k individuals is, by how alike they are [k, n]; None: none of them.

    apart: no two are the same, so that the sum over those who are assigned is the largest; else each is the
    one that is most alike.
    """
    individuals, instances = alike.shape
    if not instances:
        return [None] * individuals
    if not apart:
        return [int(row.argmax()) for row in alike]
    # Opening a collection needs no scipy.
    from scipy.optimize import linear_sum_assignment

    found: list[int | None] = [None] * individuals
    for row, column in zip(*linear_sum_assignment(-alike), strict=True):
        found[int(row)] = int(column)
    return found
