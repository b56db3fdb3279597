"""The atlas and the dense maps of one cluster as they are stored, read in few requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infra.storage.location import Location
from infra.storage.zarr_groups import open_group

if TYPE_CHECKING:
    from congeal.transfer.points import ForwardMaps, Maps

Floats = npt.NDArray[np.float32]

WHOLE = 67_108_864  # bytes of an array up to which it is read whole rather than image by image
MAPS = ("forward", "forward_confidence", "backward", "backward_confidence")
SLAB = 256  # images whose maps are in memory at once


@dataclass(frozen=True)
class StoredAtlas:
    """The atlas of one cluster over the square [-1, 1]^2: v down, u right, cells as in align_corners=False.

    features: float16 [a, a, c]. saliency, confidence: float32 [a, a] in [0, 1]. average: uint8 [s, s, 3], the
    average of the aligned images, or None where none could be shown. members: image ids, in the maps' order.
    deformation: what the maps have beyond a pose: "rigid" (nothing), "flow" or "guided". mixture: by which of
    its features the cluster chose to be compared, as "9.key"; empty where there was nothing to choose.
    """

    cluster_id: str
    status: str
    features: npt.NDArray[np.float16]
    saliency: Floats
    confidence: Floats
    average: npt.NDArray[np.uint8] | None
    members: tuple[str, ...]
    deformation: str
    mixture: tuple[str, ...]


class StoredMaps:
    """One cluster's group. Positions are those of `ids`."""

    def __init__(self, cluster_id: str, place: Location) -> None:
        self.cluster_id = cluster_id
        # zarr's own types say that anything may come out of a group.
        self.group: Any = open_group(place)
        facts: Any = self.group.attrs
        self.ids: tuple[str, ...] = tuple(facts["image_ids"])
        self.sizes: tuple[tuple[int, int], ...] = tuple((int(w), int(h)) for w, h in facts["sizes"])

    @cached_property
    def position(self) -> dict[str, int]:
        """Position by image id."""
        return {name: position for position, name in enumerate(self.ids)}

    @property
    def deformation(self) -> str:
        """What the maps have beyond a pose: "rigid" (nothing), "flow" or "guided"."""
        return str(self.group.attrs["deformation"])

    def atlas(self) -> StoredAtlas:
        """The atlas."""
        arrays = self.group["atlas"]
        return StoredAtlas(
            cluster_id=self.cluster_id,
            status=str(self.group.attrs["status"]),
            features=np.asarray(arrays["features"][:]),
            saliency=np.asarray(arrays["saliency"][:]),
            confidence=np.asarray(arrays["confidence"][:]),
            average=np.asarray(arrays["average"][:]) if "average" in arrays else None,
            members=self.ids,
            deformation=self.deformation,
            # What was published before there was a choice says nothing of it.
            mixture=tuple(self.group.attrs.get("mixture", ())),
        )

    def maps(self, position: int) -> Maps:
        """The maps of one image, both ways."""
        from congeal.geometry.frames import Frame
        from congeal.transfer.points import Maps

        arrays = {name: self._rows(name, [position])[0] for name in MAPS}
        return Maps(Frame(*self.sizes[position]), **arrays)

    def forward(self, positions: Sequence[int]) -> ForwardMaps:
        """Where the atlas is in several images."""
        from congeal.geometry.frames import Frame
        from congeal.transfer.points import ForwardMaps

        frames = [Frame(*self.sizes[position]) for position in positions]
        return ForwardMaps(
            frames, self._rows("forward", positions), self._rows("forward_confidence", positions)
        )

    def slabs(
        self, positions: Sequence[int], most: int | None = None
    ) -> Iterator[tuple[Sequence[int], ForwardMaps]]:
        """The same for any number of images, at most ``most`` (SLAB) at a time: memory stays bounded."""
        size = most or SLAB
        for start in range(0, len(positions), size):
            some = positions[start : start + size]
            yield some, self.forward(some)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        # Opening an array is a request of its own.
        maps = self.group["maps"]
        return {name: maps[name] for name in MAPS}

    def _rows(self, name: str, positions: Sequence[int]) -> Floats:
        array = self._arrays[name]
        if not positions:
            return np.zeros((0, *array.shape[1:]), np.float32)
        if len(positions) == 1:
            return np.asarray(array[positions[0]], np.float32)[None]
        if 8 * len(positions) >= array.shape[0] and array.nbytes <= WHOLE:
            # One request for the whole shard instead of one for every image.
            return np.asarray(array[:][list(positions)], np.float32)
        return np.asarray(array.oindex[list(positions)], np.float32)
