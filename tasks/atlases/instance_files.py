"""The files of further instances, beside an atlas: a Zarr group and a table, written and read back."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pyarrow as pa

from congeal.results.schema.atlas_arrays import (
    COORDINATES,
    INSTANCE_IDS,
    INSTANCES_GROUP,
    MAPS,
    OF_IMAGES,
    POSE,
    InstancesAttributes,
)
from congeal.results.schema.instances import INSTANCE
from congeal.results.schema.parquet_files import dataset, encode_table
from congeal.results.schema.tables import ALIGNMENTS
from congeal.results.stored.arrays import stored_whole
from infra.errors import MissingError
from infra.storage.location import Location
from infra.storage.seals import damaged
from infra.storage.zarr_groups import ArraySpec, encode_group, open_group
from tasks.atlases.alignment_table import alignment_rows
from tasks.atlases.cluster_members import Member
from tasks.atlases.pose_array import packed_poses, poses_in
from tasks.atlases.stored_atlas import FIGURES, Stored, StoredInstances

INSTANCES = "instances.parquet"
COUNTS = "instances"  # what an atlas' record says of them


def encode_instances(stored: Stored, cluster_id: str) -> dict[str, bytes]:
    """The group and the table, by path; nothing where there is one instance an image."""
    found = stored.instances
    if found is None:
        return {}
    arrays = {
        INSTANCE_IDS: found.numbers,
        **{array: found.images[array] for array in MAPS},
        POSE: packed_poses(found.images),
    }
    specs = {
        array.path: ArraySpec(data, array.dims, array.chunks(data.shape), array.attributes)
        for array, data in arrays.items()
    }
    attributes: InstancesAttributes = {
        "coordinates": COORDINATES,
        "cluster_id": cluster_id,
        "image_ids": [member.image_id for member in found.members],
        "sizes": [(member.width, member.height) for member in found.members],
    }
    known = dict(attributes)
    within = {"maps": {key: known[key] for key in OF_IMAGES}}
    group = encode_group(specs, attributes=attributes, within=within)
    as_images = replace(stored, members=found.members, images=found.images, figures=found.figures)
    rows = alignment_rows(as_images, cluster_id, found.numbers)
    return {
        **{f"{INSTANCES_GROUP.name}/{path}": data for path, data in group.items()},
        INSTANCES: encode_table(rows, ALIGNMENTS),
    }


def read_instances(place: Location) -> StoredInstances | None:
    """What `encode_instances` wrote; None if there is nothing. DamagedError if the parts do not fit."""
    try:
        group = open_group(place / INSTANCES_GROUP.name)
    except MissingError:
        return None
    attributes = cast("InstancesAttributes", group.attrs.asdict())
    arrays = {array: stored_whole(group, array) for array in MAPS} | poses_in(group)
    numbers = stored_whole(group, INSTANCE_IDS)
    ids, sizes = attributes["image_ids"], attributes["sizes"]
    rows = instance_rows(place)
    table = {(row["image_id"], row[INSTANCE]): row for row in rows.to_pylist()}
    keys = list(zip(ids, numbers.tolist(), strict=False))
    counts = {len(ids), len(sizes), len(numbers), *(len(data) for data in arrays.values())}
    if counts != {len(table)} or set(keys) != set(table):
        raise damaged(place.url, "its parts do not fit each other")
    kinds = {"outlier": bool, "outlier_reason": object}
    return StoredInstances(
        numbers.astype(np.int32),
        [
            Member(name, table[key]["role"], "", 0, int(width), int(height))
            for key, name, (width, height) in zip(keys, ids, sizes, strict=True)
        ],
        arrays,
        {name: np.array([table[key][name] for key in keys], kinds.get(name, np.float32)) for name in FIGURES},
    )


def instance_rows(place: Location) -> pa.Table:
    """The rows of the table alignments, by image and number."""
    return dataset([place / INSTANCES], ALIGNMENTS).to_table()
