"""What `congeal.align_many` takes of every set, and which sets are aligned side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from congeal.alignment.config import SolverConfig
from congeal.alignment.inputs.image_set import ImageArrays, check_arrays
from congeal.alignment.inputs.rotated_views import Turned
from congeal.alignment.inputs.solver_arguments import check_extent, check_seed, plain_arrays
from congeal.alignment.model import Anchor
from congeal.errors import CongealError
from congeal_floors.plurals import counted

SIDE_BY_SIDE = {"cpu": 2**27, "cuda": 2**31}  # bytes that the images of a batch take, by kind of device


@dataclass(frozen=True)
class SetArrays(ImageArrays):
    """A set of n images; the arrays are those of `congeal.align`.

    Attributes:
        turned: the features of the same images at seven other angles, or None.
        extent: half the side of the token grid in frame units.
        seed: fixes the drawing of hypotheses.
        anchor: poses in an older solution, or None.
    """

    turned: Turned | None = None
    extent: float = 1.0
    seed: int = 0
    anchor: Anchor | None = None

    def check(self) -> tuple[int, int, int, int]:
        """The shape n, g, g, c of the features.

        Raises:
            CongealError: if the arrays do not fit each other.
        """
        shape = check_arrays(self)
        check_extent(self.extent)
        check_seed(self.seed)
        if self.turned is not None:
            self.turned.check(self)
        if self.anchor is not None and not issubclass(type(self.anchor), Anchor):
            raise CongealError(f"anchor is {type(self.anchor).__name__}, not congeal.alignment.model.Anchor")
        if self.anchor is not None and len(self.anchor.mirrored) != shape[0]:
            raise CongealError(
                f"the anchor has {counted(len(self.anchor.mirrored), 'image')}, and the set {shape[0]}"
            )
        return shape


def checked_sets(sets: Iterable[SetArrays]) -> list[SetArrays]:
    """The sets with NumPy arrays, a whole number as seed.

    Raises:
        CongealError: with the place of the set, if one is not sound or does not go with the others.
    """
    if not isinstance(sets, Iterable):
        raise CongealError(f"sets is {type(sets).__name__}, not a list of congeal.SetArrays")
    found: list[SetArrays] = []
    for number, given in enumerate(sets):
        if not issubclass(type(given), SetArrays):
            raise CongealError(f"set {number} is {type(given).__name__}, not congeal.SetArrays")
        try:
            one = plain_arrays(given)
            channels = one.check()[3]
        except CongealError as error:
            raise CongealError(f"set {number}: {error}") from error
        found.append(replace(one, seed=int(one.seed)))
        usual = np.shape(found[0].features)[3]
        if channels != usual:
            raise CongealError(
                f"set {number}: its features have {counted(channels, 'channel')}, those of set 0 {usual}; "
                "all sets of a call come from one backbone"
            )
    return found


def batches(sets: Sequence[SetArrays], device: torch.device, config: SolverConfig) -> list[list[int]]:
    """Which sets are aligned side by side: those on equal grids, as many as there is room for."""
    room = SIDE_BY_SIDE.get(device.type, SIDE_BY_SIDE["cpu"])
    open_ones: dict[tuple[int, float], tuple[list[int], int]] = {}
    found = []
    for number, one in enumerate(sets):
        n, g, _, c = np.shape(one.features)
        kind, need = (g, one.extent), n * image_bytes(g, c, config)
        batch, taken = open_ones.get(kind, ([], 0))
        if not batch or taken + need > room:
            batch, taken = [], 0
            found.append(batch)
        batch.append(number)
        open_ones[kind] = (batch, taken + need)
    return found


def image_bytes(g: int, c: int, config: SolverConfig) -> int:
    """What an image takes for as long as its batch is aligned.

    Three times its features in the set's basis (as it is, mirrored, in its chosen mirror state), and its
    tokens.
    """
    return 4 * min(c, config.features.channels) * (3 * g * g + 2 * min(config.tokens.most, g * g))
