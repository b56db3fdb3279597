"""Which of the things of one kind in an image an individual is, by their colours.

A backbone's features tell parts, and hardly individuals: what it sees of two of a kind is nearly the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, UInt8

from congeal.geometry.arrays import Doubles, Flags
from congeal.geometry.shape_checks import check_fields
from congeal.transfer.points import Maps, interpolate_many

SALIENT = 0.5  # of an atlas' cells that show the thing
MOST_CELLS = 256  # that are compared
FLOOR = 1e-6  # confidence of a cell that is known at all
Floats = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """What one thing looks like, cell by cell of its atlas.

    Attributes:
        colours: float64 [k, 3], sRGB from 0 to 1.
        weight: float64 [k], how surely a cell shows the thing; 0: not at all.
    """

    colours: Float[Doubles, "k 3"]
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


def compared_cells(saliency: Floats) -> Flags:
    """The cells of an atlas, saliency [r, r], by which looks are compared: bool [r, r]."""
    shown = np.flatnonzero(saliency >= SALIENT)
    if not len(shown):
        shown = np.arange(saliency.size)
    chosen = np.zeros(saliency.size, bool)
    chosen[shown[:: -(-len(shown) // MOST_CELLS)]] = True
    return chosen.reshape(saliency.shape)


def look_of(shown: UInt8[Pixels, "s s 3"], maps: Maps, cells: Flags) -> Look:
    """The look of a thing.

    Args:
        shown: uint8 [s, s, 3], the square frame around its image.
        maps: of the thing.
        cells: bool [r, r], of the atlas, which are compared.
    """
    places = np.asarray(maps.forward, np.float64)[cells]
    at = np.clip(np.asarray(maps.frame.to_frame(places), np.float64), -1, 1)
    sure = np.clip(np.asarray(maps.forward_confidence, np.float64)[cells], FLOOR, 1)
    colours = interpolate_many(np.asarray(shown, np.float32)[None] / 255, at)[0]
    return Look(colours, sure * np.asarray(maps.frame.inside(places)))


def likeness(one: Look, other: Look) -> float:
    """How alike two things look, in [0, 1]: 1 less the usual difference of colour of cells that both show.

    0 if there are none.
    """
    weight = one.weight * other.weight
    total = float(weight.sum())
    if total <= 0:
        return 0.0
    return float(1 - (weight * np.abs(one.colours - other.colours).mean(1)).sum() / total)


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
