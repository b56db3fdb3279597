"""Points of one thing in an image, in every thing of its kind that other images of the cluster show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from congeal.geometry.arrays import Doubles
from congeal.results.point_transfer import chosen
from congeal.results.published_version import Published
from congeal.results.schema.rows import MemberRow


def transfer_to_instances(
    published: Published, source: str, points: Doubles, targets: Sequence[str] | None, instance: int = 0
) -> pa.Table:
    """target, instance_id, point, x, y, confidence, visible of points [k, 2]; a row a point and instance.

    targets: images of the source's cluster, the source itself if need be; None: every image that fits.
    instance: of the source, on which the points are.
    """
    from congeal.transfer.points import transfer

    rows: Sequence[MemberRow]
    if targets is None:
        first = published.aligned(source)
        rows = chosen(published, first["cluster_id"], "all")
        names = [row["uri"] for row in rows]
    else:
        first, *rows = published.of_one_cluster([source, *targets])
        names = list(targets)
    maps, held = published.maps(first, instance), published.instances(first["cluster_id"])
    images: list[str] = []
    numbers: list[int] = []
    parts = []
    for name, row in zip(names, rows, strict=True):
        for number in held.numbers(row["image_id"]):
            if row["image_id"] == first["image_id"] and number == instance and targets is None:
                continue  # where the points come from
            there = held.maps(row["image_id"], number) if number else published.maps(row)
            parts.append(transfer(points, maps, there))
            images.append(name)
            numbers.append(number)
    k, nothing = len(points), np.zeros(0)
    return pa.table(
        {
            "target": pa.array(np.repeat(np.array(images, object), k), pa.string()),
            "instance_id": pa.array(np.repeat(np.array(numbers, np.int32), k)),
            "point": pa.array(np.tile(np.arange(k), len(images))),
            "x": np.concatenate([nothing, *(part.xy[:, 0] for part in parts)]),
            "y": np.concatenate([nothing, *(part.xy[:, 1] for part in parts)]),
            "confidence": np.concatenate([nothing, *(part.confidence for part in parts)]),
            "visible": np.concatenate([nothing.astype(bool), *(part.visible for part in parts)]),
        }
    )
