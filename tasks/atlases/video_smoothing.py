"""The maps of a cluster's frames made smooth over time, as they are stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from congeal.results.schema.atlas_arrays import (
    BACKWARD,
    FORWARD,
    FORWARD_CONFIDENCE,
    MIRRORED,
    ROTATION,
    SCALE,
    TRANSLATION,
)
from congeal.settings import Settings
from tasks.atlases.stored_atlas import Stored, with_cycle_error
from tasks.catalog.catalog_stage import Catalog
from tasks.catalog.frame_columns import TABLE
from tasks.execution.duckdb_workspace import rows as rows_of
from tasks.execution.packed_rows import unpack_rows

if TYPE_CHECKING:
    import duckdb

FEWEST = 3  # frames that have a course


class FramePlace(NamedTuple):
    """Of which video an image is a frame, and when it is shown, in seconds; None: of none."""

    clip: str | None
    time: float | None


NO_FRAME = FramePlace(None, None)


def smoothing_asked(settings: Settings) -> list[Any]:
    """How maps of videos are smoothed, if not as usual: an atlas smoothed otherwise is not grown."""
    period = settings.alignment.smoothing
    usual = type(settings.alignment).model_fields["smoothing"].default
    return [] if period == usual else ["smoothing", period]


def frame_places(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> dict[str, FramePlace]:
    """Of the images that are frames of a video, by path: of which, and when."""
    if not catalog.survey.frames:
        return {}
    found = rows_of(connection, f"SELECT key, c0, c2 FROM {TABLE}")  # noqa: S608 - our own name
    return {uri: FramePlace(clip, time) for uri, clip, time in found}


def smoothed_over_time(
    stored: Stored, frames: bytes, settings: Settings, known: Collection[str] = ()
) -> tuple[Stored, dict[str, int]]:
    """The same atlas, the maps of its videos' frames smooth; and what there is to say of it.

    frames: a FramePlace for each member, packed, in their order; empty: there are none. known: images whose
    maps stay as they are.
    """
    from congeal.alignment.model import MEANINGLESS

    period = settings.alignment.smoothing
    if not frames or period <= 0 or stored.status in MEANINGLESS:
        return stored, {}
    places = [FramePlace(*row) for row in unpack_rows(frames)]
    images = {array: data.copy() for array, data in stored.images.items()}
    figures = {name: np.asarray(data).copy() for name, data in stored.figures.items()}
    facts = {"frames": 0, "bridged": 0, "turned": 0}
    for rows in _videos(places):
        free = np.array([stored.members[row].image_id not in known for row in rows])
        if len(rows) >= FEWEST and free.any():
            _smooth(stored, images, figures, np.array(rows), free, places, period, facts)
    if not facts["frames"]:
        return stored, {}
    return with_cycle_error(replace(stored, images=images, figures=figures)), facts


def _videos(places: Sequence[FramePlace]) -> list[list[int]]:
    """The frames of each video in order of time, each time once."""
    found: dict[str, dict[float, int]] = defaultdict(dict)
    for row, place in enumerate(places):
        if place.clip is not None and place.time is not None:
            found[place.clip].setdefault(place.time, row)
    return [[rows[time] for time in sorted(rows)] for _, rows in sorted(found.items())]


def _smooth(
    stored: Stored,
    images: dict[Any, npt.NDArray[Any]],
    figures: dict[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.intp],
    free: npt.NDArray[np.bool_],
    places: Sequence[FramePlace],
    period: float,
    facts: dict[str, int],
) -> None:
    from congeal.geometry.frames import Frame
    from congeal.transfer.temporal_maps import smooth_maps

    frames = [Frame(stored.members[row].width, stored.members[row].height) for row in rows]
    pixels = np.asarray(stored.images[FORWARD], np.float64)[rows]
    found = smooth_maps(
        np.stack([frame.to_frame(field) for frame, field in zip(frames, pixels, strict=True)]),
        np.asarray(stored.images[FORWARD_CONFIDENCE], np.float64)[rows],
        np.asarray(stored.images[BACKWARD], np.float64)[rows],
        np.asarray(stored.images[MIRRORED], bool)[rows],
        stored.good[rows],
        np.array([places[row].time for row in rows], np.float64),
        period,
    )
    reasons = figures["outlier_reason"].astype(object)
    for at, row in enumerate(rows.tolist()):
        if not free[at]:
            continue
        images[FORWARD][row] = frames[at].to_pixels(found.forward[at])
        images[BACKWARD][row] = found.backward[at]
        if found.turned[at] or found.bridged[at]:
            pose = _pose(found.forward[at], bool(found.mirrored[at]))
            images[MIRRORED][row] = found.mirrored[at]
            images[ROTATION][row], images[SCALE][row] = np.angle(pose[0]), abs(pose[0])
            images[TRANSLATION][row] = [pose[1].real, pose[1].imag]
        if found.bridged[at]:
            figures["outlier"][row], reasons[row] = False, None
    figures["outlier_reason"] = reasons
    facts["frames"] += int(free.sum())
    facts["bridged"] += int((found.bridged & free).sum())
    facts["turned"] += int((found.turned & free).sum())


def _pose(forward: npt.NDArray[np.floating], mirrored: bool) -> tuple[complex, complex]:
    """The similarity nearest to a map from the atlas [r, r, 2]: oriented frame = a·u + b."""
    from congeal.geometry.frames import cell_centres

    cells = np.asarray(cell_centres(forward.shape[0]), np.float64)
    u = (cells[..., 0] + 1j * cells[..., 1]).ravel()
    z = (forward[..., 0] * (-1 if mirrored else 1) + 1j * forward[..., 1]).ravel()
    middle, centre = u.mean(), z.mean()
    a = complex(np.vdot(u - middle, z - centre) / np.vdot(u - middle, u - middle))
    return a, complex(centre - a * middle)
