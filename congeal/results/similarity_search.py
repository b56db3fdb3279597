"""Images that look alike: by the cosine between the embeddings that the features stage has stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.results.published_version import Published
from congeal.results.schema.feature_arrays import EMBEDDING, FEATURE_GROUP
from congeal.results.schema.rows import ImageRow
from congeal.results.stored.arrays import stored_whole
from infra.errors import UserError
from infra.ledger.commits import Marker, outputs_location
from infra.threads import in_threads

Floats = npt.NDArray[np.float32]

SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("rank", pa.int32()),
        ("neighbour", pa.string()),
        ("image_id", pa.string()),
        ("cluster_id", pa.string()),
        ("similarity", pa.float64()),
    ]
)


def nearest(published: Published, images: Sequence[str], k: int, same_cluster: bool = False) -> pa.Table:
    """The k most similar other images of each image, most similar first.

    Embeddings are read unit by unit: memory does not grow with the collection.
    """
    if k < 1:
        raise UserError(f"{k} neighbours cannot be given: ask for 1 or more.")
    if not images:
        return SCHEMA.empty_table()
    rows = published.find_all(images)
    for image, row in zip(images, rows, strict=True):
        if row["status"] == "failed":
            raise UserError(f"The image {image!r} could not be used: {row['error']}.")
        if same_cluster and row["cluster_id"] is None:
            raise UserError(f"The image {image!r} is an outlier: it belongs to no cluster.")
    queries = np.stack([_embedding(published, row) for row in rows])
    found: list[dict[str, Any]] = []
    wanted = 2 * k + 8
    while True:
        ids, similarity, scanned = _best(published, queries, wanted)
        known = {row["image_id"]: row for row in _existing(published, np.unique(ids).tolist())}
        found = []
        complete = True
        for image, row, names, values in zip(images, rows, ids, similarity, strict=True):
            kept = [
                (name, value)
                for name, value in zip(names.tolist(), values.tolist(), strict=True)
                if name in known
                and name != row["image_id"]
                and (not same_cluster or known[name]["cluster_id"] == row["cluster_id"])
            ][:k]
            complete &= len(kept) == k
            found += [
                {
                    "image": image,
                    "rank": rank,
                    "neighbour": known[name]["uri"],
                    "image_id": name,
                    "cluster_id": known[name]["cluster_id"],
                    "similarity": value,
                }
                for rank, (name, value) in enumerate(kept, 1)
            ]
        if complete or wanted >= scanned:
            return pa.Table.from_pylist(found, schema=SCHEMA)
        # Some were images that have left the source since, or of other clusters.
        wanted *= 8


def _best(published: Published, queries: Floats, wanted: int) -> tuple[Any, Any, int]:
    """Ids [q, m] and similarities [q, m] of the best m ≤ wanted embeddings, and how many there are."""
    ids = np.zeros((len(queries), 0), "U32")
    values = np.zeros((len(queries), 0), np.float32)
    scanned = 0
    for names, embeddings in _units(published):
        scanned += len(names)
        scores = queries @ embeddings.T
        scores[~np.isfinite(scores)] = -np.inf
        here = _top(scores, wanted)
        values = np.concatenate([values, np.take_along_axis(scores, here, 1)], 1)
        ids = np.concatenate([ids, names[here]], 1)
        order = _top(values, wanted)
        values, ids = np.take_along_axis(values, order, 1), np.take_along_axis(ids, order, 1)
    return ids, values, scanned


def _top(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """Places [q, m] of the m ≤ count largest of each row [q, n], largest first, equal ones in their order."""
    n = values.shape[1]
    if count >= n:
        return np.argsort(-values, axis=1, kind="stable")
    least = np.partition(values, n - count, axis=1)[:, n - count, None]
    # torch.topk and argpartition choose freely among equals; here the first ones stay.
    above = values > least
    equal = values == least
    lacking = count - above.sum(1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= lacking))
    places = np.nonzero(chosen)[1].reshape(len(values), count)
    order = np.argsort(-np.take_along_axis(values, places, 1), axis=1, kind="stable")
    return np.take_along_axis(places, order, 1)


def _units(published: Published) -> Iterator[tuple[Any, Floats]]:
    def read(unit: str) -> tuple[Any, Floats] | None:
        marker = published.tables.marker("features", unit)
        if "image_ids" not in marker.record:
            return None  # the unit that knows the backbone alone
        embeddings = _embeddings(published, marker)
        return np.array(marker.record["image_ids"], "U32"), embeddings

    for part in in_threads(read, published.publication.units["features"]):
        if part is not None:
            yield part


def _embedding(published: Published, row: ImageRow) -> Floats:
    unit, position = row["features_unit"], row["features_row"]
    if unit is None or position is None:
        raise UserError(f"The image {row['uri']!r} has no features.")
    return np.asarray(_embeddings(published, published.tables.marker("features", unit))[position])


def embeddings_of(published: Published, places: Sequence[tuple[str, int]]) -> Floats:
    """The embeddings of images, float32 [n, d]. places: unit and row of each, as in the table images."""
    rows: dict[str, list[int]] = {}
    for number, (unit, _) in enumerate(places):
        rows.setdefault(unit, []).append(number)

    def read(unit: str) -> tuple[list[int], Floats]:
        stored = _embeddings(published, published.tables.marker("features", unit))
        return rows[unit], stored[[places[at][1] for at in rows[unit]]]

    found: Floats | None = None
    for at, part in in_threads(read, rows):
        if found is None:
            found = np.empty((len(places), part.shape[1]), np.float32)
        found[at] = part
    return np.zeros((0, 0), np.float32) if found is None else found


def _embeddings(published: Published, marker: Marker) -> Floats:
    """The embeddings of a unit of features, float32 [n, c]; they lie in one chunk."""
    from infra.storage.zarr_groups import open_group

    group = open_group(outputs_location(published.place, marker) / FEATURE_GROUP.name)
    return np.asarray(stored_whole(group, EMBEDDING, len(marker.record["image_ids"])), np.float32)


def _existing(published: Published, ids: list[str]) -> list[ImageRow]:
    import pyarrow.dataset as pads

    wanted = pads.field("image_id").isin(ids) & (pads.field("status") == "ok")
    columns = ["image_id", "uri", "cluster_id", "status"]
    rows: list[ImageRow] = (
        published.tables.dataset("images").to_table(columns=columns, filter=wanted).to_pylist()
    )
    return rows
