"""Further instances of the thing in the images of a cluster: looked for once its atlas is there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from congeal.alignment.model import joined, picked
from congeal.results.schema.atlas_arrays import BACKWARD, FORWARD_CONFIDENCE, SCALE
from congeal.settings import Settings
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from tasks.atlases.cluster_members import (
    SLAB,
    SLAB_AT_ANY_ANGLE,
    Dense,
    HeldFeatures,
    Member,
    align_views,
    fit_set,
    on_images,
    read_features,
)
from tasks.atlases.stored_atlas import FIGURES, Stored, StoredInstances, as_stored
from tasks.execution.stage_runner import batched
from tasks.features.features_stage import at_any_angle
from tasks.features.position_bias_unit import read_position

if TYPE_CHECKING:
    import torch

    from congeal.alignment.further_instances import Instances, Known
    from congeal.alignment.model import Alignment, Anchor


def solved_apart(
    first: Alignment,
    held: HeldFeatures,
    members: list[Member],
    position: Location,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    anchor: Anchor | None = None,
) -> Alignment:
    """A cluster solved again with the further instances in its builders' images taken away, if there are any.

    Where images show two, an atlas of both comes about, and maps that mix them. The arguments are those of
    `tasks.atlases.cluster_members.align_set`; first: what that found, which stays if the second solution has
    more outliers. held: features of those that built its atlas.
    """
    from congeal.alignment.further_instances import Known, without_others
    from congeal.alignment.outcomes import OK

    if settings.alignment.instances_max <= 1 or first.status != OK:
        return first
    builders, dense = held.members, held.read()
    with watch.phase("instances"):
        valid = on_images(builders, dense)
        known = Known.of(picked(first, range(len(builders))))
        found = _look(known, dense, valid, settings, device)
        if found.aligned is None:
            return first
        left = without_others(known, found, valid, dense.extent, settings.atlases.solver_config)
    with watch.phase("solver"):
        again = align_views(dense, left, read_position(position), settings, device, anchor)
    del dense
    if again.status != OK or again.outlier.sum() > (~known.good).sum():
        return first
    rest = fit_set(again.atlas, held.destination, members[len(builders) :], settings, device, watch)
    return joined([again, *(aligned for _, aligned in rest)])


def _look(
    known: Known, dense: Dense, valid: npt.NDArray[np.float32], settings: Settings, device: torch.device
) -> Instances:
    from congeal.alignment.further_instances import further_instances
    from congeal.alignment.inputs.image_set import ImageArrays

    return further_instances(
        known,
        ImageArrays(dense.features, dense.saliency, dense.mirrored, dense.mirrored_saliency, valid),
        settings.alignment.instances_max,
        turned=dense.turned,
        extent=dense.extent,
        map_resolution=settings.atlases.map_resolution,
        seed=settings.seed,
        device=device,
        config=settings.atlases.solver_config,
    )


def with_instances(
    stored: Stored,
    destination: Location,
    members: list[Member],
    known: Collection[str],
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
) -> tuple[Stored, dict[str, Any]]:
    """The same atlas with what its images show besides their first instance, and what there is to say of it.

    An atlas of windows is looked at no further: its images were seen around one thing.

    members: the images, in the order of the atlas'. known: ids of images that were looked at before, whose
    instances, if there are any, stay as they are.
    """
    most = settings.alignment.instances_max
    if most <= 1 or stored.first_look is not None:
        return replace(stored, instances=None), {}
    rows = [row for row, member in enumerate(members) if member.image_id not in known]
    kept = _of_images(stored.instances, {member.image_id for member in members} & set(known))
    new = _found(stored, destination, members, rows, settings, device, watch)
    found = _together(kept, new)
    count = 0 if found is None else len(found.numbers)
    images = 0 if found is None else len({member.image_id for member in found.members})
    return replace(stored, instances=found), {"most": most, "found": count, "images": images}


def _found(
    stored: Stored,
    destination: Location,
    members: list[Member],
    rows: list[int],
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
) -> StoredInstances | None:
    from congeal.alignment.further_instances import Known
    from congeal.alignment.outcomes import OK

    good = stored.good & (stored.status == OK)
    parts: list[tuple[list[Member], Instances]] = []
    for slab in batched(
        [row for row in rows if good[row]], SLAB_AT_ANY_ANGLE if at_any_angle(settings) else SLAB
    ):
        some, where = [members[row] for row in slab], np.array(slab)
        with watch.phase("read"):
            dense = read_features(destination, some)
        with watch.phase("instances"):
            images = stored.images
            known = Known(
                stored.atlas,
                images[BACKWARD][where].astype(np.float32),
                images[FORWARD_CONFIDENCE][where].astype(np.float32),
                images[SCALE][where].astype(np.float32),
                np.ones(len(some), bool),
            )
            found = _look(known, dense, on_images(some, dense), settings, device)
        parts.append(([some[row] for row in found.rows.tolist()], found))
    alignments = [found.aligned for _, found in parts if found.aligned is not None]
    if not alignments:
        return None
    shown = [member for some, _ in parts for member in some]
    # As if each were an image; the medoid means nothing here.
    whole = as_stored(shown, replace(joined(alignments), medoid=0))
    numbers = np.concatenate([found.numbers for _, found in parts])
    return StoredInstances(numbers, shown, whole.images, whole.figures)


def _of_images(instances: StoredInstances | None, ids: Collection[str]) -> StoredInstances | None:
    """Those in some of the images."""
    if instances is None:
        return None
    rows = [row for row, member in enumerate(instances.members) if member.image_id in ids]
    return StoredInstances(
        instances.numbers[rows],
        [instances.members[row] for row in rows],
        {array: data[rows] for array, data in instances.images.items()},
        {name: np.asarray(data)[rows] for name, data in instances.figures.items()},
    )


def _together(one: StoredInstances | None, two: StoredInstances | None) -> StoredInstances | None:
    parts = [part for part in (one, two) if part is not None and len(part.numbers)]
    if not parts:
        return None
    members = [member for part in parts for member in part.members]
    numbers = np.concatenate([part.numbers for part in parts])
    order = sorted(range(len(members)), key=lambda row: (members[row].image_id, numbers[row]))
    return StoredInstances(
        numbers[order],
        [members[row] for row in order],
        {array: np.concatenate([part.images[array] for part in parts])[order] for array in parts[0].images},
        {name: np.concatenate([np.asarray(part.figures[name]) for part in parts])[order] for name in FIGURES},
    )
