"""The files of a cluster's atlas: written as one Zarr group and one table, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import zarr

from congeal.results.schema.atlas_arrays import (
    ATLAS_CONFIDENCE,
    ATLAS_GROUP,
    COORDINATES,
    FIRST_LOOK_GROUP,
    FORWARD_CONFIDENCE,
    MAPS,
    NESTED,
    POSE,
    WINDOWS,
    AtlasAttributes,
    FirstLookAttributes,
)
from congeal.results.schema.parquet_files import dataset, encode_table
from congeal.results.schema.tables import ALIGNMENTS
from congeal.results.stored.arrays import stored_whole
from congeal.results.stored.template import template_arrays, template_in
from infra.errors import MissingError
from infra.storage.location import Location
from infra.storage.seals import damaged
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group
from tasks.atlases.alignment_table import alignment_rows
from tasks.atlases.cluster_members import Member
from tasks.atlases.instance_files import encode_instances, read_instances
from tasks.atlases.pose_array import packed_poses, poses_in
from tasks.atlases.stored_atlas import FIGURES, FirstLook, Stored

if TYPE_CHECKING:
    from congeal.alignment.model import Atlas

TABLE = "alignment.parquet"


def encode(stored: Stored, cluster_id: str, weights: str) -> dict[str, bytes]:
    """The group and the table, by path. weights: fingerprint."""
    atlas = stored.atlas
    arrays = {
        **template_arrays(atlas),
        ATLAS_CONFIDENCE: stored.images[FORWARD_CONFIDENCE].mean(axis=0, dtype=np.float32),
        **{array: stored.images[array] for array in MAPS},
        POSE: packed_poses(stored.images),
    }
    specs = {
        array.path: ArraySpec(data, array.dims, array.chunks(data.shape), array.attributes)
        for array, data in arrays.items()
    }
    attributes: AtlasAttributes = {
        "coordinates": COORDINATES,
        "cluster_id": cluster_id,
        "status": stored.status,
        "evidence": atlas.evidence,
        "least_contrast": atlas.least_contrast,
        "deformation": atlas.deformation,
        "fixed_camera": atlas.fixed_camera,
        "match_agreement": atlas.match_agreement,
        "confidence_level": atlas.confidence_level,
        "mixture": list(atlas.mixture),
        "weighed": [(list(one), share) for one, share in atlas.weighed.items()],
        "image_ids": [member.image_id for member in stored.members],
        "sizes": [(member.width, member.height) for member in stored.members],
        "weights_fingerprint": weights,
    }
    known = dict(attributes)
    within = {group: {name: known[name] for name in names} for group, names in NESTED.items()}
    group = encode_group(specs, attributes=attributes, within=within)
    return {
        **{f"{ATLAS_GROUP.name}/{path}": data for path, data in group.items()},
        **_encode_first_look(stored, cluster_id),
        **encode_instances(stored, cluster_id),
        **encode_rows(alignment_rows(stored, cluster_id)),
    }


def _encode_first_look(stored: Stored, cluster_id: str) -> dict[str, bytes]:
    """The group of a cluster whose atlas is of windows, by path; nothing for others."""
    look = stored.first_look
    if look is None:
        return {}
    atlas = look.atlas
    arrays = {**template_arrays(atlas), WINDOWS: look.windows.astype(WINDOWS.dtype)}
    specs = {
        array.path: ArraySpec(data, array.dims, array.chunks(data.shape), array.attributes)
        for array, data in arrays.items()
    }
    attributes: FirstLookAttributes = {
        "cluster_id": cluster_id,
        "status": atlas.status,
        "evidence": atlas.evidence,
        "least_contrast": atlas.least_contrast,
        "deformation": atlas.deformation,
        "confidence_level": atlas.confidence_level,
        "mixture": list(atlas.mixture),
        "weighed": [(list(one), share) for one, share in atlas.weighed.items()],
        "image_ids": [member.image_id for member in stored.members],
    }
    group = encode_group(specs, attributes=attributes)
    return {f"{FIRST_LOOK_GROUP.name}/{path}": data for path, data in group.items()}


def _read_first_look(place: Location, count: int) -> FirstLook | None:
    try:
        group = open_group(place / FIRST_LOOK_GROUP.name)
    except MissingError:
        return None
    windows = stored_whole(group, WINDOWS, count)
    return FirstLook(_read_atlas(group, cast("FirstLookAttributes", group.attrs.asdict())), windows)


def encode_rows(rows: pa.Table) -> dict[str, bytes]:
    """The table alone, by path: all that there is of a cluster without an atlas."""
    return {TABLE: encode_table(rows, ALIGNMENTS)}


def read(place: Location, margin: float | None, medoid: str) -> Stored:
    """What `encode` has written at a place. margin, medoid: as in the unit's record.

    Raises DamagedError if the parts do not fit each other.
    """
    group = open_group(place / ATLAS_GROUP.name)
    attributes = cast("AtlasAttributes", group.attrs.asdict())
    ids, sizes = attributes["image_ids"], attributes["sizes"]
    table = {row["image_id"]: row for row in dataset([place / TABLE], ALIGNMENTS).to_table().to_pylist()}
    images = {array: stored_whole(group, array) for array in MAPS} | poses_in(group)
    if set(ids) != set(table) or any(len(data) != len(ids) for data in images.values()):
        raise damaged(place.url, "its parts do not fit each other")
    members = [
        Member(name, table[name]["role"], "", 0, int(width), int(height))
        for name, (width, height) in zip(ids, sizes, strict=True)
    ]
    kinds = {"outlier": bool, "outlier_reason": object}
    return Stored(
        status=attributes["status"],
        margin=float("nan") if margin is None else margin,
        medoid=medoid,
        atlas=_read_atlas(group, attributes),
        members=members,
        images=images,
        figures={
            name: np.array([table[one][name] for one in ids], kinds.get(name, np.float32)) for name in FIGURES
        },
        first_look=_read_first_look(place, len(ids)),
        instances=read_instances(place),
    )


def _read_atlas(group: zarr.Group, attributes: AtlasAttributes | FirstLookAttributes) -> Atlas:
    from congeal.alignment.model import Atlas

    agreed = attributes.get("match_agreement")  # of atlases since version 15
    level = attributes.get("confidence_level")  # since version 16
    return Atlas(
        **template_in(group),
        evidence=float(attributes["evidence"]),
        status=attributes["status"],
        least_contrast=float(attributes["least_contrast"]),
        deformation=attributes["deformation"],
        fixed_camera=bool(attributes.get("fixed_camera", False)),
        match_agreement=float(agreed) if isinstance(agreed, int | float) else None,
        confidence_level=float(level) if isinstance(level, int | float) else None,
        mixture=tuple(attributes["mixture"]),
        weighed={tuple(one): float(share) for one, share in attributes["weighed"]},
    )
