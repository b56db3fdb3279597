"""The atlas and the dense maps of one cluster as they are stored, read in few requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from congeal.results.schema.atlas_arrays import (
    ATLAS_CONFIDENCE,
    ATLAS_FEATURES,
    ATLAS_SALIENCY,
    FORMER_AVERAGE,
    FORWARD,
    FORWARD_CONFIDENCE,
    MAPS,
    AtlasAttributes,
)
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.results.stored.arrays import require_fit, require_same, stored_whole
from infra.storage.location import Location
from infra.storage.seals import damaged
from infra.threads import in_threads

if TYPE_CHECKING:
    from congeal.transfer.points import ForwardMaps, Maps

Floats = npt.NDArray[np.float32]

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
        # zarr takes as long to import as all else that opening a collection needs.
        from infra.storage.zarr_groups import array_at, open_group
        from infra.storage.zarr_shards import ShardedRows, is_sharded_by_row

        self.cluster_id = cluster_id
        # What describes the group and each of its maps is an object of its own: asked for at the same time.
        with ThreadPoolExecutor(len(MAPS)) as pool:
            asked = [pool.submit(array_at, place, array.path) for array in MAPS]
            self.group = open_group(place)
            maps = [answer.result() for answer in asked]
        self._maps = {array: found for array, found in zip(MAPS, maps, strict=True) if found is not None}
        self._shards = {
            array: ShardedRows(found, place / array.path)
            for array, found in self._maps.items()
            if is_sharded_by_row(found)
        }
        # A group of an earlier version may lack some of them.
        self._attributes = cast("AtlasAttributes", self.group.attrs.asdict())
        self.ids = tuple(self._attributes["image_ids"])
        self.sizes = tuple((int(w), int(h)) for w, h in self._attributes["sizes"])
        url = str(self.group.store_path)
        for array, there in self._maps.items():
            require_fit(url, array, there, len(self.ids))
        require_same(url, {"image_ids": len(self.ids), "sizes": len(self.sizes)})

    @cached_property
    def position(self) -> dict[str, int]:
        """Position by image id."""
        return {name: position for position, name in enumerate(self.ids)}

    @property
    def deformation(self) -> str:
        """What the maps have beyond a pose: "rigid" (nothing), "flow" or "guided"."""
        return str(self._attributes["deformation"])

    def atlas(self, picture: Callable[[], npt.NDArray[np.uint8] | None]) -> StoredAtlas:
        """The atlas. picture: gives its average, uint8 [s, s, 3], where that lies beside the group."""
        from infra.storage.zarr_groups import find_array, read_whole

        former = find_array(self.group, FORMER_AVERAGE.path)
        return StoredAtlas(
            cluster_id=self.cluster_id,
            status=str(self._attributes["status"]),
            features=self._whole(ATLAS_FEATURES),
            saliency=self._whole(ATLAS_SALIENCY),
            confidence=self._whole(ATLAS_CONFIDENCE),
            average=picture() if former is None else read_whole(former),
            members=self.ids,
            deformation=self.deformation,
            # What was published before there was a choice says nothing of it.
            mixture=tuple(self._attributes.get("mixture", ())),
        )

    def atlas_shares(self) -> tuple[Floats, Floats]:
        """The atlas' saliency and confidence alone, float32 [a, a]."""
        return self._whole(ATLAS_SALIENCY), self._whole(ATLAS_CONFIDENCE)

    def maps(self, position: int) -> Maps:
        """The maps of one image, both ways."""
        from congeal.geometry.frames import Frame
        from congeal.transfer.points import Maps

        parts = in_threads(lambda array: self._rows(array, [position])[0], MAPS)
        forward, forward_confidence, backward, backward_confidence = parts
        return Maps(
            Frame(*self.sizes[position]),
            forward=forward,
            forward_confidence=forward_confidence,
            backward=backward,
            backward_confidence=backward_confidence,
        )

    def forward(self, positions: Sequence[int]) -> ForwardMaps:
        """Where the atlas is in several images."""
        from congeal.geometry.frames import Frame
        from congeal.transfer.points import ForwardMaps

        frames = [Frame(*self.sizes[position]) for position in positions]
        forward, confidence = in_threads(
            lambda array: self._rows(array, positions), (FORWARD, FORWARD_CONFIDENCE)
        )
        return ForwardMaps(frames, forward, confidence)

    def both_ways(self, positions: Sequence[int]) -> tuple[Floats, Floats, Floats, Floats]:
        """The arrays MAPS of several images, float32 [n, ...] each."""
        forward, forward_confidence, backward, backward_confidence = in_threads(
            lambda array: self._rows(array, positions), MAPS
        )
        return forward, forward_confidence, backward, backward_confidence

    def slabs(
        self, positions: Sequence[int], most: int | None = None
    ) -> Iterator[tuple[Sequence[int], ForwardMaps]]:
        """The same for any number of images, at most ``most`` (SLAB) at a time: memory stays bounded."""
        size = most or SLAB
        for start in range(0, len(positions), size):
            some = positions[start : start + size]
            yield some, self.forward(some)

    def _whole(self, array: ZarrArray) -> npt.NDArray[Any]:
        return stored_whole(self.group, array)

    def _rows(self, of: ZarrArray, positions: Sequence[int]) -> Floats:
        if of not in self._maps:
            raise damaged(str(self.group.store_path), f"it has no array {of.path}")
        array = self._maps[of]
        if not positions:
            return np.zeros((0, *array.shape[1:]), np.float32)
        from infra.storage.zarr_groups import read_rows

        if of in self._shards:
            return np.asarray(self._shards[of].read(positions), np.float32)
        return np.asarray(read_rows(array, positions), np.float32)
