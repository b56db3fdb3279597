"""The members of one cluster: who they are, their features out of the shards, their alignment."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from congeal.alignment.model import joined
from congeal.results.schema.feature_arrays import (
    FEATURES,
    FEATURES_MIRRORED,
    FEATURES_TURNED,
    FEATURES_TURNED_MIRRORED,
    SALIENCY,
    SALIENCY_MIRRORED,
    SALIENCY_TURNED,
    SALIENCY_TURNED_MIRRORED,
    FeatureAttributes,
)
from congeal.results.schema.zarr_arrays import ZarrArray
from congeal.settings import Settings
from infra.errors import DamagedError
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.clusters.cluster_roles import MEMBER
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import address, batched
from tasks.features import features_stage
from tasks.features.position_bias_unit import Position, read_position
from tasks.features.shard_reading import VIEWS, Rows, opened_shard

if TYPE_CHECKING:
    import torch

    from congeal.alignment.inputs.rotated_views import Turned
    from congeal.alignment.model import Alignment, Anchor, Atlas

Array = npt.NDArray[np.float16]

SLAB = 32  # images whose features are in memory at once while they are fitted; seen at any angle, fewer
SLAB_AT_ANY_ANGLE = 8


class Member(NamedTuple):
    """One image of a cluster and where its features lie."""

    image_id: str
    role: str
    features_unit: str  # "scope/unit"
    features_row: int
    width: int
    height: int
    content: str | None = None  # the folder of the unit's outputs; None: its marker tells
    preview: int | None = None  # the side of the square that lies beside the features; None: there is none


@dataclass(frozen=True)
class Dense:
    """The features of n images. features: float16 [n, g, g, c]; saliency: float16 [n, g, g]; mirrored: of the
    images mirrored left to right, or None; turned: of the images turned, or None; extent: see
    congeal.geometry.frames; taps: where in the backbone the channels were taken, in order, and how many
    there.
    """

    features: Array
    saliency: Array
    mirrored: Array | None
    mirrored_saliency: Array | None
    extent: float
    turned: Turned | None
    taps: dict[str, int]


def packed(members: Sequence[Member]) -> bytes:
    """Members as they travel to a worker."""
    return pack_rows(members)


def unpacked(data: bytes) -> list[Member]:
    """The members that were packed, in their order."""
    return [Member(*values) for values in unpack_rows(data)]


def read_features(destination: Location, members: Sequence[Member]) -> Dense:
    """The members' features, each shard opened once."""
    by_unit: dict[str, list[int]] = defaultdict(list)
    for position, member in enumerate(members):
        by_unit[member.features_unit].append(position)

    arrays: dict[ZarrArray, Array] = {}
    making = threading.Lock()

    def whole(array: ZarrArray, kept: Rows) -> Array:
        with making:
            if array not in arrays:
                arrays[array] = np.empty((len(members), *kept.shape[1:]), kept.dtype)
            return arrays[array]

    def read(item: tuple[str, list[int]]) -> FeatureAttributes:
        name, positions = item
        content = members[positions[0]].content or _content(destination, name)
        shard = opened_shard(destination, name, content)
        rows = [members[position].features_row for position in positions]
        for array in VIEWS:
            kept = shard.rows.get(array.path)
            if kept is not None:
                # Put in their place at once: a cluster's features are in memory once, not twice.
                kept.read_into(rows, whole(array, kept), positions)
        return cast("FeatureAttributes", shard.attributes)

    attributes: FeatureAttributes | None = None
    for facts in in_threads(read, sorted(by_unit.items())):
        attributes = facts if attributes is None else {**attributes, **facts}
    assert attributes is not None  # noqa: S101 - a set has members
    # Features from one place were stored before there was a choice of more.
    taps = {str(tap): int(size) for tap, size in attributes.get("taps", ())}
    return dense_of(arrays, float(attributes["extent"]), taps)


class HeldFeatures:
    """Features of some images, read when they are first asked for and held until they are let go.

    What looks at the images that build an atlas one after the other need not read them each time.
    """

    def __init__(self, destination: Location, members: Sequence[Member], watch: Stopwatch) -> None:
        self.destination = destination
        self.members = members
        self._watch = watch
        self._dense: Dense | None = None

    def read(self) -> Dense:
        """The features of the images, in their order."""
        if self._dense is None:
            with self._watch.phase("read"):
                self._dense = read_features(self.destination, self.members)
        return self._dense

    def let_go(self) -> None:
        """Free their memory."""
        self._dense = None


def dense_of(arrays: Mapping[ZarrArray, Array], extent: float, taps: dict[str, int]) -> Dense:
    """Arrays of views, by what they are, as they go to the solver."""
    from congeal.alignment.inputs.rotated_views import Turned

    turned = None
    if FEATURES_TURNED in arrays:
        turned = Turned(
            arrays[FEATURES_TURNED],
            arrays[SALIENCY_TURNED],
            arrays.get(FEATURES_TURNED_MIRRORED),
            arrays.get(SALIENCY_TURNED_MIRRORED),
        )
    return Dense(
        arrays[FEATURES],
        arrays[SALIENCY],
        arrays.get(FEATURES_MIRRORED),
        arrays.get(SALIENCY_MIRRORED),
        extent,
        turned,
        taps,
    )


def _content(destination: Location, name: str) -> str:
    place = address(destination, features_stage.STAGE, features_stage.VERSION, *name.split("/"))
    marker = place.marker()
    if marker is None:
        raise DamagedError(f"The features {place.folder.url} are gone: run again to make them anew.")
    return marker.content


def align_set(
    destination: Location,
    members: Sequence[Member],
    position: Location,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    anchor: Anchor | None = None,
    held: HeldFeatures | None = None,
) -> Alignment:
    """The alignment of a whole cluster, in the members' order.

    Those with the role "member" come first and build the atlas; the rest are fitted to it. anchor: poses that
    the builders had in an older solution, in whose frame the atlas then lies. held: the builders' features,
    if others look at them, too.
    """
    builders = [member for member in members if member.role == MEMBER]
    with watch.phase("read"):
        known = read_position(position)
    dense = (held or HeldFeatures(destination, builders, watch)).read()
    with watch.phase("solver"):
        first = align_views(dense, on_images(builders, dense), known, settings, device, anchor)
    del dense  # the rest is read slab by slab: but for what is held, one slab is in memory at a time
    rest = fit_set(first.atlas, destination, members[len(builders) :], settings, device, watch)
    return joined([first, *(aligned for _, aligned in rest)])


def fit_set(
    atlas: Atlas,
    destination: Location,
    members: Sequence[Member],
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
) -> Iterator[tuple[Sequence[Member], Alignment]]:
    """Images fitted to an atlas, a slab at a time."""
    size = SLAB_AT_ANY_ANGLE if features_stage.at_any_angle(settings) else SLAB
    for slab in batched(members, size):
        with watch.phase("read"):
            dense = read_features(destination, slab)
        with watch.phase("solver"):
            found = fit_views(atlas, dense, on_images(slab, dense), settings, device)
        del dense
        yield slab, found


def align_views(
    dense: Dense,
    valid: npt.NDArray[np.float32],
    known: Position,
    settings: Settings,
    device: torch.device,
    anchor: Anchor | None = None,
) -> Alignment:
    """The alignment of views of a set, as the settings ask for it.

    valid: float32 [n, g, g], 1 where a token lies on its image. known: of the backbone.
    """
    from congeal.alignment.solver import align

    return align(
        dense.features,
        dense.saliency,
        mirrored_features=dense.mirrored,
        mirrored_saliency=dense.mirrored_saliency,
        turned=dense.turned,
        position=known.directions,
        blank=known.blank.tolist(),
        parts=dense.taps or None,
        extent=dense.extent,
        resolution=settings.atlases.resolution,
        map_resolution=settings.atlases.map_resolution,
        seed=settings.seed,
        anchor=anchor,
        valid=valid,
        device=device,
        config=settings.atlases.solver_config,
    )


def fit_views(
    atlas: Atlas, dense: Dense, valid: npt.NDArray[np.float32], settings: Settings, device: torch.device
) -> Alignment:
    """Views fitted to an atlas, as the settings ask for it. valid: as of `align_views`."""
    from congeal.alignment.solver import fit

    return fit(
        atlas,
        dense.features,
        dense.saliency,
        mirrored_features=dense.mirrored,
        mirrored_saliency=dense.mirrored_saliency,
        turned=dense.turned,
        extent=dense.extent,
        map_resolution=settings.atlases.map_resolution,
        seed=settings.seed,
        valid=valid,
        device=device,
        config=settings.atlases.solver_config,
    )


def on_images(members: Sequence[Member], dense: Dense) -> npt.NDArray[np.float32]:
    """float32 [n, g, g], 1 where a token lies on its image."""
    from congeal.alignment.image_features import on_image
    from congeal.geometry.frames import Frame

    frames = [Frame(member.width, member.height) for member in members]
    return on_image(frames, dense.features.shape[1], dense.extent)
