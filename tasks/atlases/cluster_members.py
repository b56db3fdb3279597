"""The members of one cluster: who they are, their features out of the shards, their alignment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as pads

from congeal.results.schema.parquet_files import dataset
from congeal.settings import Settings
from infra.errors import DamagedError
from infra.ledger.commits import outputs_location
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group, read_rows
from infra.threads import in_threads
from tasks.clusters.cluster_roles import MEMBER
from tasks.clusters.clusters_stage import MEMBERS
from tasks.execution.stage_runner import address, batched
from tasks.features import features_stage as features
from tasks.features.position_bias_unit import read_position

if TYPE_CHECKING:
    import torch

    from congeal.alignment.inputs.rotated_views import Turned
    from congeal.alignment.model import Alignment, Anchor, Atlas

Array = npt.NDArray[np.float16]

SLAB = 64  # images whose features are in memory at once while they are fitted; seen at any angle, fewer
SLAB_AT_ANY_ANGLE = 8
DENSE = ("features", "saliency", "features_mirrored", "saliency_mirrored")
TURNED = ("features_turned", "saliency_turned", "features_turned_mirrored", "saliency_turned_mirrored")
PER_IMAGE = (
    "mirrored",
    "rotation",
    "scale",
    "translation",
    "forward",
    "backward",
    "forward_confidence",
    "backward_confidence",
    "residual",
    "cycle_error",
    "fold_fraction",
    "coverage",
    "support",
    "outlier",
)


class Member(NamedTuple):
    """One image of a cluster and where its features lie."""

    image_id: str
    role: str
    features_unit: str  # "scope/unit"
    features_row: int
    width: int
    height: int


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


def read_members(table: Location, cluster_id: str) -> list[Member]:
    """The members of a cluster in order of rank: those that build the atlas come first."""
    columns = ["rank", *Member._fields]
    wanted = pads.field("cluster_id") == cluster_id
    read = dataset([table], MEMBERS).to_table(columns=columns, filter=wanted).sort_by("rank")
    return [Member(**{name: row[name] for name in Member._fields}) for row in read.to_pylist()]


def read_features(destination: Location, members: Sequence[Member]) -> Dense:
    """The members' features, each shard opened once."""
    by_unit: dict[str, list[int]] = defaultdict(list)
    for position, member in enumerate(members):
        by_unit[member.features_unit].append(position)

    def read(item: tuple[str, list[int]]) -> tuple[list[int], dict[str, Array], Mapping[str, Any]]:
        name, positions = item
        scope, unit = name.split("/")
        place = address(destination, features.STAGE, features.VERSION, scope, unit)
        marker = place.marker()
        if marker is None:
            raise DamagedError(f"The features {place.folder.url} are gone: run again to make them anew.")
        group: Any = open_group(outputs_location(destination, marker) / features.GROUP)
        rows = [members[position].features_row for position in positions]
        parts = {key: read_rows(group[key], rows) for key in (*DENSE, *TURNED) if key in group}
        return positions, parts, dict(group.attrs)

    arrays: dict[str, Array] = {}
    attributes: dict[str, Any] = {}
    for positions, parts, facts in in_threads(read, sorted(by_unit.items())):
        attributes.update(facts)
        for key, part in parts.items():
            if key not in arrays:
                arrays[key] = np.empty((len(members), *part.shape[1:]), part.dtype)
            arrays[key][positions] = part
    from congeal.alignment.inputs.rotated_views import Turned

    turned = None
    if TURNED[0] in arrays:
        mirrored = (arrays.get(name) for name in TURNED[2:])
        turned = Turned(arrays[TURNED[0]], arrays[TURNED[1]], *mirrored)
    return Dense(
        arrays["features"],
        arrays["saliency"],
        arrays.get("features_mirrored"),
        arrays.get("saliency_mirrored"),
        float(attributes["extent"]),
        turned,
        # Features from one place were stored before there was a choice of more.
        {str(tap): int(size) for tap, size in attributes.get("taps", ())},
    )


def align_set(
    destination: Location,
    members: Sequence[Member],
    position: Location,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    anchor: Anchor | None = None,
) -> Alignment:
    """The alignment of a whole cluster, in the members' order.

    Those with the role "member" come first and build the atlas; the rest are fitted to it. anchor: poses that
    the builders had in an older solution, in whose frame the atlas then lies.
    """
    builders = [member for member in members if member.role == MEMBER]
    with watch.phase("read"):
        known = read_position(position)
        dense = read_features(destination, builders)
    with watch.phase("solver"):
        from congeal.alignment.solver import align

        first = align(
            dense.features,
            dense.saliency,
            mirrored_features=dense.mirrored,
            mirrored_saliency=dense.mirrored_saliency,
            turned=dense.turned,
            position=known.directions,
            blank=known.blank,
            parts=dense.taps or None,
            extent=dense.extent,
            resolution=settings.atlases.resolution,
            map_resolution=settings.atlases.map_resolution,
            seed=settings.seed,
            anchor=anchor,
            valid=on_image(builders, dense),
            device=device,
            config=settings.atlases.solver_config,
        )
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
    from congeal.alignment.solver import fit

    size = SLAB_AT_ANY_ANGLE if features.at_any_angle(settings) else SLAB
    for slab in batched(members, size):
        with watch.phase("read"):
            dense = read_features(destination, slab)
        with watch.phase("solver"):
            yield (
                slab,
                fit(
                    atlas,
                    dense.features,
                    dense.saliency,
                    mirrored_features=dense.mirrored,
                    mirrored_saliency=dense.mirrored_saliency,
                    turned=dense.turned,
                    extent=dense.extent,
                    map_resolution=settings.atlases.map_resolution,
                    seed=settings.seed,
                    valid=on_image(slab, dense),
                    device=device,
                    config=settings.atlases.solver_config,
                ),
            )


def on_image(members: Sequence[Member], dense: Dense) -> npt.NDArray[np.float32]:
    """float32 [n, g, g]: 1 where a cell's centre lies on the image, 0 where it lies on its padding."""
    from congeal.geometry.frames import Frame, cell_centres

    centres = cell_centres(dense.features.shape[1], dense.extent)
    frames = (Frame(member.width, member.height) for member in members)
    return np.stack([frame.inside(frame.to_pixels(centres)) for frame in frames]).astype(np.float32)


def joined(parts: Sequence[Alignment]) -> Alignment:
    """The first part's atlas and verdict, with the images of all parts one after the other."""
    values: dict[str, Any] = {
        name: np.concatenate([np.asarray(getattr(part, name)) for part in parts]) for name in PER_IMAGE
    }
    reasons = [reason for part in parts for reason in part.outlier_reason]
    return replace(parts[0], **values, outlier_reason=reasons)
