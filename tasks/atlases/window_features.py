"""Features of windows of a cluster's images, made anew from the originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from congeal.settings import Settings
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.atlases.cluster_members import Dense, Member, dense_of
from tasks.catalog.image_reading import Pixels, Unreadable, read_window, readers_of
from tasks.execution.packed_rows import unpack_rows
from tasks.features.feature_shards import empty_arrays, store_views
from tasks.features.run_backbone import Weights, load_weights

if TYPE_CHECKING:
    from congeal.alignment.inputs.windows import Windows


@dataclass(frozen=True)
class Originals:
    """Where the images of a cluster are, and the backbone that their features are of.

    Attributes:
        source: of the run.
        weights: of the backbone.
        uris: by image id; None: no longer in the source.
        settings: of the run.
    """

    source: Location
    weights: Weights
    uris: Mapping[str, str | None]
    settings: Settings

    @classmethod
    def of(
        cls, source: Location, weights: Weights, uris: bytes, members: Sequence[Member], settings: Settings
    ) -> Originals:
        """From the uris of the members, packed in their order."""
        named = zip(members, unpack_rows(uris), strict=True)
        return cls(source, weights, {member.image_id: uri for member, (uri,) in named}, settings)

    def read_window(self, member: Member, windows: Windows, row: int, size: int) -> Pixels | Unreadable:
        """What the window of an image shows, uint8 [size, size, 3], or why it cannot be read."""
        named = (member.image_id, self.uris.get(member.image_id))

        def read(centre: npt.NDArray[np.floating], half: float, pixels: int) -> Pixels | Unreadable:
            return read_window(self.source, named, centre.tolist(), half, pixels, self.settings)

        return windows.pixels(row, size, read)


def one_view(settings: Settings) -> Settings:
    """The same, every image being seen as it is given, and no other way."""
    features = settings.features.model_copy(update={"mirror": False})
    alignment = settings.alignment.model_copy(update={"rotation": "upright"})
    return settings.model_copy(update={"features": features, "alignment": alignment})


def window_features(
    originals: Originals, members: Sequence[Member], windows: Windows, *, posed: bool
) -> tuple[Dense, dict[str, str]]:
    """What the backbone sees in a window of each image, and why images could not be read again, by id.

    The rows of those stay NaN.

    posed: whether windows show things as they stand in the atlas: they are seen at that angle and in that
        mirror state alone, else in all that the settings ask for.
    """
    settings = one_view(originals.settings) if posed else originals.settings
    backbone = load_weights(originals.weights, settings.features)
    arrays = empty_arrays(backbone, len(members), settings)
    size, unread = settings.features.batch_size, {}

    def read(position: int) -> Pixels | Unreadable:
        return originals.read_window(members[position], windows, position, backbone.image_size)

    readers = readers_of(originals.source)
    images = in_threads(read, range(len(members)), ahead=2 * size + readers + 1, threads=readers)
    # By position, so that an image is seen in the same batch whatever became of the others.
    batch: dict[int, Pixels] = {}
    for position, image in enumerate(images):
        if isinstance(image, Unreadable):
            unread[members[position].image_id] = image.reason
        else:
            batch[position] = image
        if batch and ((position + 1) % size == 0 or position + 1 == len(members)):
            store_views(arrays, list(batch), backbone, np.stack(list(batch.values())), settings)
            batch = {}
    taps = {str(tap): count for tap, count in backbone.taps.items()}
    return dense_of(arrays, backbone.extent, taps), unread
