"""How far the points of an atlas have moved from one version of a destination to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from congeal.geometry.arrays import Doubles
from congeal.geometry.frames import cell_centres
from congeal.results.published_version import Published

GRID = 16  # points of an atlas a side that are followed
MOST_FOLLOWED = 64  # images of a cluster in which they are followed, evenly spread over the ids
SAME_FRAME = 0.05  # atlas units (half the atlas' side is 1) by which a frame may move and count as the same


@dataclass(frozen=True)
class PointChanges:
    """How far the points of an atlas have moved on the images that are in the cluster before and after.

    Attributes:
        images: in how many of them the points were followed, at most MOST_FOLLOWED.
        points: how many were seen (confidence 0.5 or more, on the image) in the earlier version.
        median, p90: of the distance between where a point was and where it is, pixels of each image.
        frame_moved: how far the frame of the atlas has moved, atlas units (half the atlas' side is 1): the
            median over the points, of each the median over the images; 0 for an atlas that was kept.
        same_frame: whether that is 0.05 or less, so that u, v and point_id mean the same place.
    """

    images: int
    points: int
    median: float
    p90: float
    frame_moved: float
    same_frame: bool


def point_changes(
    before: Published, after: Published, cluster: str, shared: set[str], *, kept: bool
) -> PointChanges | None:
    """Of a cluster that is aligned in both; None if nothing can be followed.

    shared: ids of the images that it has in both. kept: whether its atlas is the same.
    """
    from congeal.transfer.points import VISIBLE, from_atlas_to_many, to_atlas

    old, new = before.stored(cluster), after.stored(cluster)
    misfits = before.misfits(cluster).keys() | after.misfits(cluster).keys()
    names = sorted((shared & old.position.keys() & new.position.keys()) - misfits)
    if not names:
        return None
    chosen = [
        names[at] for at in np.unique(np.linspace(0, len(names) - 1, MOST_FOLLOWED).round().astype(int))
    ]
    places = cell_centres(GRID).reshape(-1, 2).astype(np.float64)
    then = old.forward([old.position[name] for name in chosen])
    xy, sure = from_atlas_to_many(places, then)
    there, _ = from_atlas_to_many(places, new.forward([new.position[name] for name in chosen]))
    inside = np.stack([frame.inside(at) for frame, at in zip(then.frames, xy, strict=True)])
    seen = (sure >= VISIBLE) & inside
    if not seen.any():
        return None
    distance = np.linalg.norm(there - xy, axis=-1)[seen]
    moved = 0.0
    if not kept:
        shift = np.full((*seen.shape, 2), np.nan)
        for row, name in enumerate(chosen):
            at, _ = to_atlas(xy[row][seen[row]], new.maps(new.position[name]))
            shift[row, seen[row]] = at - places[seen[row]]
        moved = _frame_moved(shift[:, seen.any(axis=0)])
    return PointChanges(
        len(chosen),
        int(seen.sum()),
        float(np.median(distance)),
        float(np.quantile(distance, 0.9)),
        moved,
        moved <= SAME_FRAME,
    )


def _frame_moved(shift: Doubles) -> float:
    """shift [images, points, 2], NaN where a point is not seen; each point is seen in some image."""
    return float(np.median(np.linalg.norm(np.nanmedian(shift, axis=0), axis=-1)))
