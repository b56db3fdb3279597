"""Points of one thing in an image, in every thing of its kind that other images of the cluster show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from congeal.geometry.arrays import Doubles
from congeal.results.published_version import Published
from congeal.results.schema.rows import MemberRow
from congeal.results.transfer.point_transfer import chosen, lies_on


def instance_of(published: Published, image: str, points: Doubles) -> int:
    """The number of the instance of an image that points [k, 2], in its pixels, lie on."""
    row = published.aligned(image)
    published.require_aligned(row["cluster_id"])
    return lies_on(published, row, points)


def transfer_to_instances(
    published: Published, source: str, points: Doubles, targets: Sequence[str] | None, instance: int = 0
) -> pa.Table:
    """target, instance_id, point, x, y, confidence, visible of points [k, 2]; a row a point and instance.

    targets: images of the source's cluster, the source itself if need be; None: every image that fits.
    instance: of the source, on which the points are.
    """
    from congeal.transfer.points import ForwardMaps, transfer_to_many

    rows: Sequence[MemberRow]
    if targets is None:
        first = published.aligned(source)
        rows = chosen(published, first["cluster_id"], "all")
        names = [row["uri"] for row in rows]
    else:
        first, *rows = published.of_one_cluster([source, *targets])
        names = list(targets)
    cluster = first["cluster_id"]
    maps, held, stored = (
        published.maps(first, instance),
        published.instances(cluster),
        published.stored(cluster),
    )
    positions = [stored.position[row["image_id"]] for row in rows]
    slabs = [transfer_to_many(points, maps, some) for _, some in stored.slabs(positions)]
    of_first = [each for part in slabs for each in zip(part.xy, part.confidence, part.visible, strict=True)]
    images: list[str] = []
    numbers: list[int] = []
    parts = []
    for name, row, found in zip(names, rows, of_first, strict=True):
        for number in held.numbers(row["image_id"]):
            if row["image_id"] == first["image_id"] and number == instance and targets is None:
                continue  # where the points come from
            part = found
            if number:
                one = transfer_to_many(points, maps, ForwardMaps.of(held.maps(row["image_id"], number)))
                part = one.xy[0], one.confidence[0], one.visible[0]
            parts.append(part)
            images.append(name)
            numbers.append(number)
    k, nothing = len(points), np.zeros(0)
    return pa.table(
        {
            "target": pa.array(np.repeat(np.array(images, object), k), pa.string()),
            "instance_id": pa.array(np.repeat(np.array(numbers, np.int32), k)),
            "point": pa.array(np.tile(np.arange(k), len(images))),
            "x": np.concatenate([nothing, *(xy[:, 0] for xy, _, _ in parts)]),
            "y": np.concatenate([nothing, *(xy[:, 1] for xy, _, _ in parts)]),
            "confidence": np.concatenate([nothing, *(sure for _, sure, _ in parts)]),
            "visible": np.concatenate([nothing.astype(bool), *(seen for _, _, seen in parts)]),
        }
    )
