"""Rows of further instances among those of the images of a cluster, where some of its images show several."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr

from congeal.results.schema.atlas_arrays import (
    FORWARD,
    FORWARD_CONFIDENCE,
    INSTANCE_IDS,
    INSTANCES_GROUP,
    InstancesAttributes,
)
from congeal.results.schema.instances import INSTANCE
from congeal.results.stored.arrays import stored_array, stored_whole
from infra.ledger.commits import Marker
from infra.storage.location import Location
from infra.storage.zarr_groups import open_group, read_sorted_rows
from tasks.atlases.instance_files import INSTANCES, instance_rows


class HeadInstances(NamedTuple):
    """Further instances in images of a cluster: the group, and by image their numbers and rows in it."""

    group: zarr.Group
    by_image: dict[str, list[tuple[int, int]]]


class Block(NamedTuple):
    """What correspondences are sampled from: arguments of `tasks.index.atlas_lattice.correspondences`."""

    image_ids: list[str]
    sizes: list[tuple[int, int]]
    forward: npt.NDArray[Any]
    confidence: npt.NDArray[Any]
    numbers: npt.NDArray[np.int32]


def merged(folder: Location, marker: Marker, alignments: pa.Table) -> tuple[pa.Table, HeadInstances | None]:
    """The rows of some of an atlas' images with those of their further instances, and these instances.

    folder: of the outputs of the atlas' unit. alignments: rows of first instances, by image id.
    """
    if INSTANCES not in marker.outputs:
        return alignments, None
    group = open_group(folder / INSTANCES_GROUP.name)
    ids = cast("InstancesAttributes", group.attrs.asdict())["image_ids"]
    numbers = stored_whole(group, INSTANCE_IDS, len(ids)).tolist()
    held = set(alignments["image_id"].to_pylist())
    by_image: dict[str, list[tuple[int, int]]] = {}
    for row, (image, number) in enumerate(zip(ids, numbers, strict=True)):
        if image in held:
            by_image.setdefault(image, []).append((number, row))
    rows = instance_rows(folder)
    mine = rows.filter(pa.array([image in held for image in rows["image_id"].to_pylist()], pa.bool_()))
    order = [("image_id", "ascending"), (INSTANCE, "ascending")]
    whole = pa.concat_tables([alignments, mine.cast(alignments.schema)]).sort_by(order)
    return whole, HeadInstances(group, by_image)


def with_further(block: Block, instances: HeadInstances) -> Block:
    """The same images, each followed by its further instances."""
    wanted = sorted(
        (image, number, row) for image in block.image_ids for number, row in instances.by_image.get(image, ())
    )
    if not wanted:
        return block
    rows = [row for _, _, row in wanted]
    at = {image: position for position, image in enumerate(block.image_ids)}
    ids = [*block.image_ids, *(image for image, _, _ in wanted)]
    numbers = np.concatenate([block.numbers, np.array([number for _, number, _ in wanted], np.int32)])
    order = sorted(range(len(ids)), key=lambda place: (ids[place], numbers[place]))
    sizes = [*block.sizes, *(block.sizes[at[image]] for image, _, _ in wanted)]
    forward = read_ordered(stored_array(instances.group, FORWARD), rows)
    confidence = read_ordered(stored_array(instances.group, FORWARD_CONFIDENCE), rows)
    return Block(
        [ids[place] for place in order],
        [sizes[place] for place in order],
        np.concatenate([block.forward, forward])[order],
        np.concatenate([block.confidence, confidence])[order],
        numbers[order],
    )


def read_ordered(array: zarr.Array[Any], order: list[int]) -> npt.NDArray[Any]:
    """Rows of an array in an order of their own: read as they are stored, then put in that order."""
    stored = np.sort(order)
    return read_sorted_rows(array, stored)[np.searchsorted(stored, order)]
