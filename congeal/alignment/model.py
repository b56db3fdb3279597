"""What an alignment is: an atlas, and for every image of the set a pose, two dense maps and its quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from congeal.alignment.outcomes import (
    COLLAPSED,
    FAILED,
    FLOW,
    GUIDED,
    MEANINGLESS,
    NOTHING_IN_COMMON,
    OK,
    RIGID,
    SINGLE,
)
from congeal.errors import CongealError
from congeal.geometry.arrays import Flags

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "COLLAPSED",
    "FAILED",
    "FLOW",
    "GUIDED",
    "MEANINGLESS",
    "NOTHING_IN_COMMON",
    "OK",
    "PER_IMAGE",
    "RIGID",
    "SALIENT",
    "SINGLE",
    "Alignment",
    "Anchor",
    "Atlas",
    "Bytes",
    "Exemplars",
    "Floats",
    "Halves",
    "Mixture",
    "Verdict",
    "joined",
    "picked",
]

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Bytes = npt.NDArray[np.uint8]

Mixture = tuple[str, ...]  # parts of the features that are compared together, by name

# The fields of an alignment that are arrays with an entry for every image.
PER_IMAGE = (
    "mirrored",
    "rotation",
    "scale",
    "translation",
    "forward",
    "forward_confidence",
    "backward",
    "backward_confidence",
    "residual",
    "cycle_error",
    "fold_fraction",
    "coverage",
    "support",
    "outlier",
)

SALIENT = 0.3  # saliency above which a cell of an atlas belongs to what its images share


@dataclass(frozen=True)
class Exemplars:
    """The salient tokens of e members, k of each, by which newcomers find their pose.

    Attributes:
        features: float16 [e, k, d], unit length, in the basis of the atlas.
        places: float32 [e, k, 2], where the members' own maps put them in the atlas.
        weight: float32 [e, k], saliency; 0 marks padding.
    """

    features: Halves
    places: Floats
    weight: Floats


@dataclass(frozen=True)
class Atlas:
    """The common template of a set, over the square [-1, 1]² (cell centres as ``align_corners=False``).

    Attributes:
        features: float16 [r, r, c], the members' features averaged in place, in the backbone's own space.
        saliency: float32 [r, r] in [0, 1], how much a cell belongs to what the members share.
        mean: float32 [c] and projection: float32 [c, d], the basis in which features were compared.
        discriminant: float32 [d + 1], direction and offset of
            `congeal.alignment.inputs.cosaliency.Discriminant`.
        exemplars: members, token by token.
        evidence: matches, in tokens, that a member usually shares with an exemplar; newcomers are measured
            against it.
        least_contrast: of an image that is not blank, see
            `congeal.alignment.inputs.feature_basis.Basis.contrast`; 0: any will do.
        deformation: what the members' maps have beyond a pose, and newcomers get: RIGID, FLOW or GUIDED.
        fixed_camera: whether the members are frames of a fixed camera, so that what moves is aligned, see
            `congeal.alignment.inputs.fixed_camera`.
        match_agreement: share of plain matches between members' features that their maps agree with, see
            `congeal.alignment.selection.match_agreement`; None: not known.
        confidence_level: log odds that the weighed evidence of a place is added to in its confidence (see
            `congeal.alignment.maps.point_evidence.level_of`); None: of an earlier version, it is estimated.
        mixture: the parts of the features that are compared, where they were taken at several places in the
            backbone; empty: all that there is.
        weighed: the evidence for each mixture that was tried, see
            `congeal.alignment.selection.feature_selection`.
        status: of the set that it was made of, as `Alignment.status`.
        average: uint8 [s, s, 3], the members' pictures averaged in place, if it was made.
    """

    features: Halves
    saliency: Floats
    mean: Floats
    projection: Floats
    discriminant: Floats
    exemplars: Exemplars
    evidence: float = 0.0
    least_contrast: float = 0.0
    deformation: str = RIGID
    fixed_camera: bool = False
    match_agreement: float | None = None
    confidence_level: float | None = None
    mixture: Mixture = ()
    weighed: Mapping[Mixture, float] = field(default_factory=dict)
    status: str = OK
    average: Bytes | None = None


@dataclass(frozen=True)
class Alignment:
    """A set aligned: n images, an r×r atlas, m×m maps over each image's square frame.

    The pose of an image takes atlas to frame: rotate and scale about the atlas' centre, shift, and, if
    ``mirrored``, mirror the frame left to right.

    Attributes:
        status: "ok", "single" (one image: its own atlas), "nothing-in-common" (the set shares nothing that
            could be found) or "collapsed" (what came out cannot be an alignment, see
            `congeal.alignment.selection.collapse_check`). In the last two the maps are there, and their
            confidence is 0.
        atlas: the template.
        mirrored: bool [n].
        rotation: float32 [n], radians, positive = clockwise on screen (y down).
        scale: float32 [n], frame units per atlas unit.
        translation: float32 [n, 2], frame position of the atlas' centre.
        forward: float32 [n, r, r, 2], for each atlas cell its place in the image's frame.
        forward_confidence: float32 [n, r, r] in [0, 1], the probability of an error of at most a tenth of the
            object (see `congeal.alignment.maps.confidence.probability`), low where the object does not show.
        backward: float32 [n, m, m, 2], for each cell of the image's frame its place in the atlas; beyond
            [-1, 1] (and of no confidence) where the atlas does not reach.
        backward_confidence: float32 [n, m, m] in [0, 1].
        residual: float32 [n], mean 1 − cosine between the image and the atlas of the others.
        cycle_error: float32 [n], mean distance, in atlas units, between a salient cell and where ``forward``
            and then ``backward`` lead it (see `congeal.transfer.forward_backward_error`); NaN where no
            such cell is mapped into the image's frame.
        fold_fraction: float32 [n], share of the salient atlas where the map folds.
        coverage: float32 [n], share of the salient atlas that the image shows with confidence.
        support: float32 [n], share of the evidence from other images that agrees with the image's pose.
        outlier: bool [n] and outlier_reason, one sentence or None for each.
        margin: how far the chosen mirror states are ahead of the opposite ones, −1 to 1; near 0 for objects
            that look alike in a mirror.
        medoid: position of the image nearest to all others.
    """

    status: str
    atlas: Atlas
    mirrored: Flags
    rotation: Floats
    scale: Floats
    translation: Floats
    forward: Floats
    forward_confidence: Floats
    backward: Floats
    backward_confidence: Floats
    residual: Floats
    cycle_error: Floats
    fold_fraction: Floats
    coverage: Floats
    support: Floats
    outlier: Flags
    outlier_reason: list[str | None]
    margin: float
    medoid: int


@dataclass(frozen=True)
class Anchor:
    """Poses of n images in an older solution, as in `congeal.alignment.model.Alignment`.

    Attributes:
        mirrored: bool [n].
        rotation, scale: float32 [n], radians and frame units per atlas unit.
        translation: float32 [n, 2], frame units.
        weight: float32 [n], trust in each; 0 for images that were not in it.
    """

    mirrored: npt.NDArray[np.bool_]
    rotation: Floats
    scale: Floats
    translation: Floats
    weight: Floats

    def __post_init__(self) -> None:
        if np.ndim(self.mirrored) != 1 or np.asarray(self.mirrored).dtype.kind not in "bui":
            raise CongealError(
                f"mirrored of the anchor is true or false for each image, not {self.mirrored!r:.80}"
            )
        n = len(self.mirrored)
        for name, shape in (("rotation", (n,)), ("scale", (n,)), ("translation", (n, 2)), ("weight", (n,))):
            if np.shape(getattr(self, name)) != shape:
                raise CongealError(f"{name} of the anchor has not the shape {list(shape)}")
            if np.asarray(getattr(self, name)).dtype.kind not in "fiu":
                raise CongealError(f"{name} of the anchor holds what is no number")


@dataclass(frozen=True)
class Verdict:
    """What was decided about a set: its status, each image's support [n] and fault, margin and medoid."""

    status: str
    support: Tensor
    reasons: list[str | None]
    margin: float
    medoid: int


def joined(parts: Sequence[Alignment]) -> Alignment:
    """The first part's atlas and verdict, with the images of all parts one after the other."""
    values: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_IMAGE
    }
    reasons = [reason for part in parts for reason in part.outlier_reason]
    return replace(parts[0], **values, outlier_reason=reasons)


def picked(aligned: Alignment, rows: Sequence[int]) -> Alignment:
    """Some of the images of an alignment, in that order."""
    chosen = np.asarray(rows, np.int64)
    values: dict[str, Any] = {name: getattr(aligned, name)[chosen] for name in PER_IMAGE}
    return replace(aligned, **values, outlier_reason=[aligned.outlier_reason[row] for row in rows])
