"""The second look at a cluster: solved again on windows of its images, where the things in them are small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from congeal.alignment.model import joined, picked
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
    fit_views,
    on_images,
    read_features,
)
from tasks.atlases.network_training import Finish
from tasks.atlases.stored_atlas import FirstLook
from tasks.atlases.window_features import Originals, window_features
from tasks.execution.stage_runner import batched
from tasks.features.features_stage import at_any_angle
from tasks.features.position_bias_unit import read_position

if TYPE_CHECKING:
    import torch

    from congeal.alignment.inputs.image_set import ImageArrays
    from congeal.alignment.inputs.windows import Windows
    from congeal.alignment.model import Alignment, Anchor, Atlas


class Found(NamedTuple):
    """What came of a second look. facts: for the record of the unit.

    aligned: in whole frames, of all members; first: what newcomers need; both None if the first look stays.
    """

    facts: dict[str, Any]
    aligned: Alignment | None = None
    first: FirstLook | None = None


class Fitted(NamedTuple):
    """Some images fitted to an atlas of windows. aligned: in whole frames. unread: why, by image id."""

    members: Sequence[Member]
    aligned: Alignment
    windows: Windows
    unread: Mapping[str, str]


def second_look(
    first: Alignment,
    held: HeldFeatures,
    members: Sequence[Member],
    position: Location,
    originals: Originals,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    anchor: Anchor | None = None,
    finish: Finish | None = None,
) -> Found | None:
    """Solve a cluster again on windows of its images; None if it is not worth it.

    first, members, position, anchor: the first solution, and what it was made of, see
    `tasks.atlases.cluster_members.align_set`. held: features of those that built its atlas, which are let go.
    finish: what becomes of the second one, if it is kept.
    """
    from congeal.alignment.inputs.windows import to_whole_frames, window_anchor
    from congeal.alignment.selection.second_look import better, compare, find_windows, seen

    config, turned = settings.atlases.solver_config, at_any_angle(settings)
    builders = held.members
    with watch.phase("read"):
        known = read_position(position)
    dense = held.read()
    with watch.phase("solver"):
        arrays = _arrays(dense, on_images(builders, dense))
        one = seen(arrays, picked(first, range(len(builders))), dense.extent, config, device=device)
        windows = find_windows(one, config.second_look, turned=turned)
    del dense, arrays
    held.let_go()
    if windows is None:
        return None
    with watch.phase("second look"):
        crops, unread = window_features(originals, builders, windows, posed=turned)
    with watch.phase("solver"):
        valid = _on_windows(builders, windows, crops)
        enlarged = float(np.median(1 / windows.half))
        if anchor is None and turned and enlarged <= config.second_look.same_frame_zoom:
            anchor = frame_of(picked(first, range(len(builders))))
        moved = None if anchor is None else window_anchor(anchor, windows)
        aligned = align_views(crops, valid, known, settings, device, moved)
        # Windows follow what moves: the second look can no longer tell that the camera is fixed.
        atlas = replace(aligned.atlas, fixed_camera=first.atlas.fixed_camera)
        aligned = replace(aligned, atlas=atlas)
        two = seen(_arrays(crops, valid), aligned, crops.extent, config, windows=windows, device=device)
        whole = to_whole_frames(aligned, windows)
        evidence = compare(one, two, whole, settings.seed, config)
        kept = better(evidence, whole, config.second_look)
    if kept and finish is not None:
        aligned = finish(aligned, crops, valid, windows)
        whole = to_whole_frames(aligned, windows)
    del crops, one, two
    facts = {
        "kept": kept,
        "first_explains": round(evidence.first, 4),
        "second_explains": round(evidence.second, 4),
        "enlarged": round(enlarged, 3),
    }
    if not kept:
        return Found({**facts, "unread": unread})
    parts, places = [_marked(whole, builders, unread)], [windows.as_array()]
    look = FirstLook(first.atlas, windows.as_array())
    rest = members[len(builders) :]
    coarse = picked(first, range(len(builders), len(members)))
    for fitted in fit_windows(
        aligned.atlas, look, held.destination, rest, originals, settings, device, watch, coarse
    ):
        parts.append(fitted.aligned)
        places.append(fitted.windows.as_array())
        unread |= fitted.unread
    return Found({**facts, "unread": unread}, joined(parts), FirstLook(first.atlas, np.concatenate(places)))


def frame_of(first: Alignment) -> Anchor:
    """The poses of a first look, for the second one's atlas to lie as its atlas does.

    Windows are laid closely around the thing: what is salient in them may be a part of it, and an atlas about
    that would cut off the rest (the tips of a butterfly's wings). A thing of a few tokens looks larger in the
    first look than it is, and its second atlas has a frame of its own.
    """
    from congeal.alignment.model import Anchor

    weight = np.where(np.asarray(first.outlier, bool), 0, 1).astype(np.float32)
    return Anchor(first.mirrored, first.rotation, first.scale, first.translation, weight)


def fit_windows(
    atlas: Atlas,
    look: FirstLook,
    destination: Location,
    members: Sequence[Member],
    originals: Originals,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    coarse: Alignment | None = None,
) -> Iterator[Fitted]:
    """Images fitted to an atlas of windows, a slab at a time.

    They are found by the atlas of the first look, and then seen again, as the members of that were.

    coarse: how they are fitted to the atlas of the first look; None: that is yet to be done.
    """
    from congeal.alignment.inputs.windows import Windows, to_whole_frames
    from congeal.alignment.selection.second_look import place_windows, seen

    config = settings.atlases.solver_config
    usual, done = Windows.stored(look.windows), 0
    for slab in batched(members, SLAB_AT_ANY_ANGLE if at_any_angle(settings) else SLAB):
        with watch.phase("read"):
            dense = read_features(destination, slab)
        with watch.phase("solver"):
            valid = on_images(slab, dense)
            found = (
                fit_views(look.atlas, dense, valid, settings, device)
                if coarse is None
                else replace(picked(coarse, range(done, done + len(slab))), atlas=look.atlas)
            )
            done += len(slab)
            one = seen(_arrays(dense, valid), found, dense.extent, config, device=device)
            windows = place_windows(one, config.second_look, usual, turned=look.posed)
        del dense, one
        with watch.phase("second look"):
            crops, unread = window_features(originals, slab, windows, posed=look.posed)
        with watch.phase("solver"):
            fitted = fit_views(atlas, crops, _on_windows(slab, windows, crops), settings, device)
            whole = _marked(to_whole_frames(fitted, windows), slab, unread)
        del crops
        yield Fitted(slab, whole, windows, unread)


def _marked(aligned: Alignment, members: Sequence[Member], unread: Mapping[str, str]) -> Alignment:
    """The same; an image that could not be read again is an outlier that says why."""
    reasons = [
        f"it could not be read again: {unread[member.image_id]}" if member.image_id in unread else reason
        for member, reason in zip(members, aligned.outlier_reason, strict=True)
    ]
    return replace(aligned, outlier_reason=reasons, outlier=np.array([one is not None for one in reasons]))


def _arrays(dense: Dense, valid: np.ndarray[Any, Any]) -> ImageArrays:
    from congeal.alignment.inputs.image_set import ImageArrays

    return ImageArrays(dense.features, dense.saliency, dense.mirrored, dense.mirrored_saliency, valid)


def _on_windows(members: Sequence[Member], windows: Windows, dense: Dense) -> np.ndarray[Any, Any]:
    from congeal.geometry.frames import Frame

    frames = [Frame(member.width, member.height) for member in members]
    return windows.on_image(frames, dense.features.shape[1], dense.extent)
