"""Further instances in the images of one cluster, as they are stored beside its atlas."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from congeal.results.schema.atlas_arrays import INSTANCE_IDS, INSTANCES_GROUP
from congeal.results.stored.arrays import stored_whole
from congeal.results.stored.maps import StoredMaps
from infra.errors import UserError
from infra.ledger.commits import Marker, outputs_location
from infra.storage.location import Location

if TYPE_CHECKING:
    from congeal.transfer.points import Maps


class StoredInstances:
    """The further instances of a cluster: none where nobody looked for them, or found any.

    Nothing is read before it is asked for.
    """

    def __init__(self, cluster_id: str, destination: Location, atlas: Marker) -> None:
        """atlas: the marker of the cluster's atlas."""
        there = any(path.startswith(f"{INSTANCES_GROUP.name}/") for path in atlas.outputs)
        self._cluster_id = cluster_id
        self.place = outputs_location(destination, atlas) / INSTANCES_GROUP.name if there else None

    @cached_property
    def stored(self) -> StoredMaps | None:
        """Their maps; None if there are none."""
        return None if self.place is None else StoredMaps(self._cluster_id, self.place)

    @cached_property
    def rows(self) -> dict[str, dict[int, int]]:
        """By image id and number, their rows in the arrays."""
        found: dict[str, dict[int, int]] = {}
        if self.stored is not None:
            count = len(self.stored.ids)
            numbers = np.asarray(stored_whole(self.stored.group, INSTANCE_IDS, count)).tolist()
            for row, (image, number) in enumerate(zip(self.stored.ids, numbers, strict=True)):
                found.setdefault(image, {})[number] = row
        return found

    def numbers(self, image_id: str) -> tuple[int, ...]:
        """All instances of an image, the first among them: 0, 1, …"""
        return (0, *sorted(self.rows.get(image_id, {})))

    def maps(self, image_id: str, number: int) -> Maps:
        """The maps of a further instance; UserError if the image has none of this number."""
        row = self.rows.get(image_id, {}).get(number)
        if self.stored is None or row is None:
            held = ", ".join(map(str, self.numbers(image_id)))
            raise UserError(f"The image has no instance {number}: it has {held}.")
        return self.stored.maps(row)
