"""The sets of a whole collection, by those of a sample, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from congeal.settings import Settings
from flows.planning.sample import Sampled, Seen, SetCost


@dataclass(frozen=True)
class Sets:
    """The sets that are expected: their sizes, and the images without one; and between what they may be."""

    sizes: tuple[float, ...]
    lone: float
    least: int
    most: int


def expected_sets(sample: Sampled, images: float, known: Sequence[int] | None, settings: Settings) -> Sets:
    """The sets of a whole collection.

    known: the sizes of groups that are known. Else those of the sample, as large as their share of it. An
    image without a set there may have one in the whole: if it stands for enough images for that, there may be
    as many more sets, and half of them are expected.
    """
    smallest = settings.clusters.smallest
    if known is not None and settings.clusters.split == "off":
        sizes = [float(size) for size in known if size >= smallest]
        return Sets(tuple(sizes), max(0.0, images - sum(sizes)), len(sizes), len(sizes))
    wider = sample.seen or Seen(tuple(one.images for one in sample.sets), sample.ok, sample.lone)
    scale = images / max(1, wider.images)
    seen = tuple(size * scale for size in wider.sets)
    more = wider.alone
    more = more if scale >= smallest and settings.clusters.method != "single" else 0
    sizes = [*seen, *[scale] * (more // 2)]
    return Sets(tuple(sizes), max(0.0, images - sum(sizes)), len(seen), len(seen) + more)


def atlas_seconds(costs: Sequence[SetCost], most: int) -> tuple[float, float]:
    """What a set takes, and each of its images up to `most`."""
    return _per_set([min(one.images, most) for one in costs], [one.seconds for one in costs])


def atlas_bytes(costs: Sequence[SetCost], sizes: Sequence[float]) -> tuple[float, float]:
    """Bytes and files of the atlases of sets of these sizes, by those of the sample.

    Arrays of an atlas are there however few images it has: files go with the sets, hardly with the images.
    """
    images = [one.images for one in costs]
    found = []
    for values in ([one.bytes for one in costs], [one.files for one in costs]):
        each, more = _per_set(images, values)
        found.append(sum(each + more * size for size in sizes))
    return found[0], found[1]


def _per_set(images: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """What a set costs, and each of its images: least squares, from 0 up."""
    from scipy.optimize import nnls

    if not images:
        return 0.0, 0.0
    found, _ = nnls(np.array([[1.0, one] for one in images]), np.array(values, np.float64))
    return float(found[0]), float(found[1])
