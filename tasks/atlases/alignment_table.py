"""What the tables alignments and clusters say of one cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.alignment.model import SALIENT
from congeal.alignment.outcomes import FAILED
from congeal.results.schema.atlas_arrays import FORWARD_CONFIDENCE, MIRRORED, ROTATION, SCALE, TRANSLATION
from congeal.results.schema.rows import ClusterFacts
from congeal.results.schema.tables import ALIGNMENTS
from congeal.transfer.object_confidence import object_confidence
from tasks.atlases.cluster_members import Member
from tasks.atlases.stored_atlas import FIGURES, Stored
from tasks.clusters.cluster_roles import MEMBER, NEWCOMER


class AlignedFacts(ClusterFacts):
    """Of a cluster with an atlas."""

    deformation: str
    fixed_camera: bool
    match_agreement: float | None


class FailedFacts(ClusterFacts):
    """Of a cluster whose atlas could not be made."""

    cluster_id: str
    error: str


def alignment_rows(stored: Stored, cluster_id: str, numbers: npt.NDArray[np.int32] | None = None) -> pa.Table:
    """The rows of the table alignments, by image id; numbers: of the instances, None: all are first ones."""
    shift = stored.images[TRANSLATION]
    columns: dict[str, Any] = {
        "image_id": [member.image_id for member in stored.members],
        "cluster_id": [cluster_id] * len(stored.members),
        "instance_id": np.zeros(len(stored.members), np.int32) if numbers is None else numbers,
        "role": [member.role for member in stored.members],
        **{array.name: stored.images[array] for array in (MIRRORED, ROTATION, SCALE)},
        "translation_u": shift[:, 0],
        "translation_v": shift[:, 1],
        **{name: stored.figures[name] for name in FIGURES},
    }
    arrays = [
        pa.array(
            list(values) if name == "outlier_reason" else values,
            ALIGNMENTS.field(name).type,
            from_pandas=True,
        )
        for name, values in columns.items()
    ]
    return pa.Table.from_arrays(arrays, names=list(columns)).sort_by(
        [("image_id", "ascending"), ("instance_id", "ascending")]
    )


def failed(members: Sequence[Member], cluster_id: str, reason: str) -> tuple[pa.Table, FailedFacts]:
    """The rows of a cluster whose atlas could not be made, and its facts for the table clusters."""
    n, roles = len(members), [member.role for member in members]
    columns: dict[str, Any] = {
        "image_id": [member.image_id for member in members],
        "cluster_id": [cluster_id] * n,
        "instance_id": [0] * n,
        "role": roles,
        "outlier": [True] * n,
        "outlier_reason": [f"its cluster has no atlas: {reason}"] * n,
    }
    arrays = [pa.array(columns.get(field.name, [None] * n), field.type) for field in ALIGNMENTS]
    table = pa.Table.from_arrays(arrays, names=ALIGNMENTS.names).sort_by("image_id")
    return table, {
        "cluster_id": cluster_id,
        "status": FAILED,
        "error": reason,
        "n_images": n,
        "n_members": roles.count(MEMBER),
        "n_outliers": n,
        "n_new": roles.count(NEWCOMER),
        "medoid_image_id": members[0].image_id,
        "residual": None,
        "cycle_error": None,
        "fold_fraction": None,
        "coverage": None,
        "confidence": None,
        "margin": None,
        "drift": None,
    }


def facts(stored: Stored) -> AlignedFacts:
    """A cluster's row of the table clusters, as far as its atlas knows it."""
    good, roles = stored.good, np.array([member.role for member in stored.members])
    sure = object_confidence(stored.images[FORWARD_CONFIDENCE], stored.atlas.saliency, SALIENT)
    return {
        "status": stored.status,
        "n_images": len(roles),
        "n_members": int((roles == MEMBER).sum()),
        "n_outliers": int((~good).sum()),
        "n_new": int((roles == NEWCOMER).sum()),
        "drift": _drift(stored, roles),
        "medoid_image_id": stored.medoid,
        "residual": _median(stored.figures["residual"], good),
        "cycle_error": _median(stored.figures["cycle_error"], good),
        "fold_fraction": _median(stored.figures["fold_fraction"], good),
        "coverage": _median(stored.figures["coverage"], good),
        "confidence": _median(sure, good),
        "margin": _number(stored.margin),
        "deformation": stored.atlas.deformation,
        "fixed_camera": stored.atlas.fixed_camera,
        "match_agreement": stored.atlas.match_agreement,
    }


def _drift(stored: Stored, roles: npt.NDArray[np.str_]) -> float | None:
    """The newcomers' median residual over that of the images before them, of those that fit.

    Not of the members alone: they are the nearest to the medoid, and fit better than most.
    """
    residual, new = stored.figures["residual"], roles == NEWCOMER
    usual, theirs = _median(residual, ~new & stored.good), _median(residual, new)
    return None if theirs is None or not usual else _number(theirs / usual)


def _median(values: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]) -> float | None:
    found = np.asarray(values, np.float64)[chosen]
    found = found[np.isfinite(found)]
    return _number(np.median(found)) if found.size else None


def _number(value: float | np.floating[Any]) -> float | None:
    # What is not finite has no place in JSON: it is not known.
    return float(np.float32(value)) if np.isfinite(value) else None
