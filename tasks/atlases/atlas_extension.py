"""An atlas that stays as it is while its images come and go, and the frame of one that is solved anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from congeal.results.schema.atlas_arrays import MIRRORED, ROTATION, SCALE, SUPPORT, TRANSLATION
from congeal.settings import Settings
from infra.ledger.provenance import Stopwatch
from infra.storage.location import Location
from tasks.atlases.cluster_members import Member, fit_set
from tasks.atlases.second_look import Fitted, fit_windows
from tasks.atlases.stored_atlas import FIGURES, Stored, as_stored, with_cycle_error
from tasks.atlases.window_features import Originals
from tasks.clusters.cluster_roles import NEWCOMER
from tasks.corrections.corrections import Pose

if TYPE_CHECKING:
    import torch

    from congeal.alignment.model import Anchor


def still_holds(stored: Stored, members: Sequence[Member]) -> bool:
    """True if an atlas serves these members: those it knows have their roles, all others are newcomers."""
    from congeal.alignment.outcomes import OK

    roles = {member.image_id: member.role for member in stored.members}
    return stored.status == OK and all(
        member.role == roles.get(member.image_id, NEWCOMER) for member in members
    )


def extended(
    stored: Stored,
    destination: Location,
    members: Sequence[Member],
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    originals: Originals,
) -> Stored:
    """The same atlas for other members: the maps of those it knows as they were, the rest fitted to it.

    An atlas of an earlier version of its stage may have cycle errors of another meaning: all are of the maps.
    """
    place = {member.image_id: at for at, member in enumerate(stored.members)}
    known = [member for member in members if member.image_id in place]
    rest = [member for member in members if member.image_id not in place]
    rows = [place[member.image_id] for member in known]
    images = {array: [data[rows]] for array, data in stored.images.items()}
    figures = {name: [stored.figures[name][rows]] for name in FIGURES}
    look, windows = stored.first_look, []
    if look is None:
        fitted = fit_set(stored.atlas, destination, rest, settings, device, watch)
    else:
        seen = fit_windows(stored.atlas, look, destination, rest, originals, settings, device, watch)
        windows.append(look.windows[rows])
        fitted = ((one.members, one.aligned) for one in _remembered(seen, windows))
    for slab, aligned in fitted:
        part = as_stored(slab, aligned)
        for array, data in part.images.items():
            images[array].append(data)
        for name in FIGURES:
            figures[name].append(part.figures[name])
    found = with_cycle_error(
        replace(
            stored,
            members=[*known, *rest],
            images={array: np.concatenate(parts) for array, parts in images.items()},
            figures={name: np.concatenate(parts) for name, parts in figures.items()},
            first_look=None if look is None else replace(look, windows=np.concatenate(windows)),
        )
    )
    return (
        found
        if stored.medoid in {member.image_id for member in known}
        else replace(found, medoid=_best(found))
    )


def _remembered(parts: Iterator[Fitted], windows: list[npt.NDArray[np.float32]]) -> Iterator[Fitted]:
    """The same, the windows of each put beside the others."""
    for part in parts:
        windows.append(part.windows.as_array())
        yield part


def _best(stored: Stored) -> str:
    """Of the images that fit, the one that the others support most."""
    standing = stored.images[SUPPORT] * (stored.good + 1e-3)
    return stored.members[int(standing.argmax())].image_id


def anchor_of(stored: Stored, members: Sequence[Member]) -> Anchor | None:
    """The poses that an atlas knows of some images; None if they mean nothing."""
    from congeal.alignment.model import Anchor
    from congeal.alignment.outcomes import MEANINGLESS

    if stored.status in MEANINGLESS:
        return None
    place = {member.image_id: at for at, member in enumerate(stored.members)}
    rows = np.array([place.get(member.image_id, -1) for member in members])
    trust = np.where(rows >= 0, (stored.images[SUPPORT] * stored.good)[rows], 0)
    poses = {array.name: stored.images[array][rows] for array in (MIRRORED, ROTATION, SCALE, TRANSLATION)}
    return Anchor(**poses, weight=trust)


def framed_by(reference: str, pose: Pose, members: Sequence[Member]) -> Anchor | None:
    """The frame in which one image has a given pose; None if it is not among these images."""
    from congeal.alignment.model import Anchor

    is_it = np.array([member.image_id == reference for member in members], bool)
    if not is_it.any():
        return None
    n = len(members)
    return Anchor(
        mirrored=np.full(n, pose.mirrored),
        rotation=np.full(n, pose.rotation, np.float32),
        scale=np.full(n, pose.scale, np.float32),
        translation=np.tile(np.array([pose.translation_u, pose.translation_v], np.float32), (n, 1)),
        weight=is_it.astype(np.float32),
    )
