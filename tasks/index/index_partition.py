"""Which clusters share a file of the index: cut where the clusters' own names say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from infra.ledger.commits import digest

STRETCH = 2  # a bucket that meets no boundary ends at this many times its usual size


class ClusterPart(NamedTuple):
    """Images `start` to `stop` of a cluster, in order of their ids, and the unit that holds its atlas."""

    cluster_id: str
    unit: str
    start: int
    stop: int


def buckets(clusters: Iterable[tuple[str, str, int]], images: int) -> Iterator[list[ClusterPart]]:
    """Clusters (id, unit, number of images), sorted by id, in buckets of about `images` images.

    A bucket ends after a cluster whose digest says so, the likelier the larger the cluster is, or before it
    would exceed twice its usual size: a cluster that comes or goes changes one bucket and leaves the others
    as they are. A cluster of more than `images` images is cut, and shares a bucket with no other.
    """
    bucket: list[ClusterPart] = []
    held = 0
    for cluster_id, unit, size in clusters:
        if bucket and (size > images or held + size > STRETCH * images):
            yield bucket
            bucket, held = [], 0
        if size > images:
            yield from (
                [ClusterPart(cluster_id, unit, start, min(start + images, size))]
                for start in range(0, size, images)
            )
            continue
        bucket.append(ClusterPart(cluster_id, unit, 0, size))
        held += size
        if int(digest(cluster_id, length=16), 16) * images < size << 64:
            yield bucket
            bucket, held = [], 0
    if bucket:
        yield bucket
