"""An atlas with the maps, poses and figures of its images, in the types in which they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from congeal.alignment.model import SALIENT
from congeal.results.schema.atlas_arrays import BACKWARD, FORWARD, MAPS, POSES
from congeal.results.schema.zarr_arrays import ZarrArray
from tasks.atlases.cluster_members import Member

if TYPE_CHECKING:
    from congeal.alignment.model import Alignment, Atlas

# Columns of the table alignments that the solver gives.
FIGURES = ("residual", "cycle_error", "fold_fraction", "coverage", "outlier", "outlier_reason")


@dataclass(frozen=True)
class FirstLook:
    """What is kept of the look at whole frames where an atlas is one of windows, for the sake of newcomers.

    Attributes:
        atlas: by which they are found in their frames.
        windows: float32 [n, 3], of each image the middle (u, v) and half the side of its window, frame units;
            [n, 5] where windows show things as they stand in the atlas, at any angle: by how much each is
            turned, radians, and 1 if it shows the image mirrored.
    """

    atlas: Atlas
    windows: npt.NDArray[np.float32]

    @property
    def posed(self) -> bool:
        """Whether windows show things as they stand in the atlas."""
        return bool(self.windows.shape[1] == 5)


@dataclass(frozen=True)
class StoredInstances:
    """Further instances in the images of an atlas, k of them, by image and number.

    Attributes:
        numbers: int32 [k], 1, 2, …
        members: the image that each is in.
        images, figures: as of `Stored`, of the instances.
    """

    numbers: npt.NDArray[np.int32]
    members: Sequence[Member]
    images: Mapping[ZarrArray, npt.NDArray[Any]]
    figures: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Stored:
    """An atlas with n images, as it is stored.

    Attributes:
        status, margin: of the solution.
        medoid: image id.
        atlas: the template.
        members: the images.
        images: the arrays MAPS and POSES, [n, …]; maps/forward in pixels of each image.
        figures: what FIGURES names of each image, as in the table of alignments.
        first_look: where the atlas is of windows of the images; None: it is of whole frames.
        instances: what the images show of the kind besides the first; None: nothing, or nobody looked.
    """

    status: str
    margin: float
    medoid: str
    atlas: Atlas
    members: Sequence[Member]
    images: Mapping[ZarrArray, npt.NDArray[Any]]
    figures: Mapping[str, npt.NDArray[Any]]
    first_look: FirstLook | None = None
    instances: StoredInstances | None = None

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """bool [n]: the images that fit the atlas."""
        return ~np.asarray(self.figures["outlier"], bool)


def as_stored(members: Sequence[Member], aligned: Alignment) -> Stored:
    """A solution, or images fitted to an atlas, in the form in which they are stored."""
    from congeal.geometry.frames import Frame

    # An alignment's fields are called like the arrays; only its maps to the images are in frame units.
    arrays = {array: np.asarray(getattr(aligned, array.name)) for array in (*MAPS, *POSES)}
    fields = zip(members, aligned.forward, strict=True)
    arrays[FORWARD] = np.stack([Frame(m.width, m.height).to_pixels(field) for m, field in fields])
    return with_cycle_error(
        Stored(
            status=aligned.status,
            margin=aligned.margin,
            medoid=members[aligned.medoid].image_id,
            atlas=aligned.atlas,
            members=members,
            images={array: data.astype(array.dtype) for array, data in arrays.items()},
            figures={name: np.asarray(getattr(aligned, name)) for name in FIGURES},
        )
    )


def with_cycle_error(stored: Stored) -> Stored:
    """The same, its cycle errors computed from the maps as they are stored."""
    from congeal.geometry.frames import Frame
    from congeal.transfer.forward_backward_error import forward_backward_error

    pixels = stored.images[FORWARD].astype(np.float64)
    fields = zip(stored.members, pixels, strict=True)
    forward = np.stack([Frame(m.width, m.height).to_frame(field) for m, field in fields])
    found = forward_backward_error(forward, stored.images[BACKWARD], stored.atlas.saliency, SALIENT)
    return replace(stored, figures={**stored.figures, "cycle_error": found})
