"""Correspondences: the salient points of a lattice over an atlas, carried to the images of its cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.results.schema.tables import CORRESPONDENCES

SALIENT = 0.25  # a lattice point of less saliency lies on the background: it corresponds to nothing

Floats = npt.NDArray[np.floating[Any]]


class LatticePoints(NamedTuple):
    """The lattice points of an atlas that lie on what its images show. uv: float64 [k, 2]."""

    ids: npt.NDArray[np.int32]
    uv: npt.NDArray[np.float64]


def lattice_points(saliency: Floats, lattice: int) -> LatticePoints:
    """The centres of lattice x lattice cells over the atlas that lie on something salient.

    saliency: [a, a] over [-1, 1]^2. A point's id is row * lattice + column, whichever others are there. Where
    nothing is salient, every point counts.
    """
    from congeal.geometry.frames import cell_centres
    from congeal.transfer.points import interpolate

    uv = cell_centres(lattice).reshape(-1, 2).astype(np.float64)
    at = interpolate(saliency, uv)
    kept = at >= SALIENT * max(float(np.nanmax(at, initial=0)), 1e-30)
    ids = np.arange(lattice * lattice, dtype=np.int32)
    return LatticePoints(ids[kept], uv[kept]) if kept.any() else LatticePoints(ids, uv)


def correspondences(
    cluster_id: str,
    image_ids: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    forward: Floats,
    confidence: Floats,
    points: LatticePoints,
    numbers: npt.NDArray[np.int32] | None = None,
) -> pa.RecordBatch:
    """The rows of n images and k points, image after image, in the order they are given.

    numbers: int32 [n], which instance in its image each is; None: all are first ones.

    sizes: width and height of each original image. forward: [n, a, a, 2], the place of each atlas cell in the
    image, pixels of the original. confidence: [n, a, a]. What lies outside its image has no confidence.
    """
    from congeal.geometry.frames import Frame
    from congeal.transfer.points import VISIBLE, interpolate

    n, k = len(image_ids), len(points.ids)
    # All images at once: their fields are the channels of one.
    fields = np.concatenate([forward, confidence[..., None].astype(forward.dtype)], -1)
    channels = np.moveaxis(fields, 0, 2).reshape(*forward.shape[1:3], 3 * n)
    values = interpolate(channels, points.uv).reshape(k, n, 3).transpose(1, 0, 2)
    xy = values[..., :2]
    inside = np.stack([np.asarray(Frame(*size).inside(at)) for size, at in zip(sizes, xy, strict=True)])
    sure = np.where(inside, np.clip(values[..., 2], 0, 1), 0)
    columns = {
        "cluster_id": _repeated([cluster_id], n * k),
        "point_id": np.tile(points.ids, n),
        "u": np.tile(points.uv[:, 0], n),
        "v": np.tile(points.uv[:, 1], n),
        "image_id": _repeated(image_ids, k),
        "instance_id": np.repeat(np.zeros(n, np.int32) if numbers is None else numbers, k),
        "x": xy[..., 0].ravel(),
        "y": xy[..., 1].ravel(),
        "confidence": sure.ravel(),
        "visible": (inside & (sure >= VISIBLE)).ravel(),
    }
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for values, field in zip(columns.values(), CORRESPONDENCES, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=CORRESPONDENCES)


def _repeated(texts: Sequence[str], times: int) -> pa.Array:
    indices = np.repeat(np.arange(len(texts), dtype=np.int32), times)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string())).cast(pa.string())
