"""The images of a collection where their owner wants them: corrections of a split, or of its growth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from congeal.settings import Settings
from tasks.clusters.cluster_roles import EXCLUDED, VERSION, Floats, Rows, Sorting, names_of
from tasks.corrections.corrections import Placement

Positions = npt.NDArray[np.intp]


def taking_part(ids: pa.ChunkedArray, placement: Placement) -> Positions | None:
    """Positions of the images that are not excluded; None: all take part."""
    if not placement.excluded:
        return None
    found: Positions = np.flatnonzero([one not in placement.excluded for one in ids.to_pylist()])
    return found


def with_excluded(rows: Rows, kept: Positions, n: int) -> Rows:
    """The rows of n images, of which those at `kept` take part."""
    whole = Rows(n)
    whole.roles = [EXCLUDED] * n
    whole.distances[kept] = rows.distances
    columns = zip(kept.tolist(), rows.cluster_ids, rows.roles, rows.ranks, strict=True)
    for position, cluster, role, rank in columns:
        whole.cluster_ids[position] = cluster
        whole.roles[position] = role
        whole.ranks[position] = rank
    return whole


def placed(earlier: pa.Table, ids: pa.ChunkedArray, placement: Placement) -> pa.Table:
    """An earlier version's table with every image in its place; who changes has no role there yet.

    earlier: see `tasks.clusters.cluster_growth.grow`; ids: of its rows. An image that was excluded and is no
    more, and that had no cluster, is a newcomer.
    """
    names, roles, ranks, known = (
        earlier[column].to_pylist() for column in ("cluster_id", "role", "rank", "known")
    )
    wanted: dict[str, str | None] = {**placement.restored, **placement.clusters}
    for at, image in enumerate(ids.to_pylist()):
        if roles[at] == EXCLUDED:
            roles[at], known[at] = None, False
        if image in wanted and names[at] != wanted[image]:
            names[at], roles[at], ranks[at] = wanted[image], None, None
    columns = {
        "cluster_id": pa.array(names, pa.string()),
        "role": pa.array(roles, pa.string()),
        "rank": pa.array(ranks, pa.int32()),
        "known": pa.array(known, pa.bool_()),
    }
    for name, values in columns.items():
        earlier = earlier.set_column(earlier.column_names.index(name), name, values)
    return earlier


def split_anew(
    embeddings: Floats,
    ids: pa.ChunkedArray,
    sorting: Sorting,
    settings: Settings,
    placement: Placement,
    version: int = VERSION,
) -> Rows:
    """The split of a collection without an earlier version, with every image in its place.

    version: of the stage, by whose rule it is.
    """
    names = names_of(sorting, ids)
    if placement.clusters:
        sorting, names = _moved(embeddings, ids, sorting, names, placement)
    rows = Rows(len(sorting.labels), sorting.distances)
    sorting = with_references(sorting, names, ids, placement.references)
    rows.grade(sorting, names, settings, embeddings, version)
    return rows


def with_references(
    sorting: Sorting, names: Sequence[str], ids: pa.ChunkedArray, references: Mapping[str, str]
) -> Sorting:
    """The same with the reference image of a cluster in the place of its medoid, where it is in it."""
    chosen = {name: references[name] for name in names if name in references}
    if not chosen:
        return sorting
    place = {image: at for at, image in enumerate(ids.to_pylist())}
    medoids = sorting.medoids.copy()
    for label, name in enumerate(names):
        at = place.get(chosen.get(name, ""))
        if at is not None and sorting.labels[at] == label:
            medoids[label] = at
    return sorting._replace(medoids=medoids)


def _moved(
    embeddings: Floats, ids: pa.ChunkedArray, sorting: Sorting, names: list[str], placement: Placement
) -> tuple[Sorting, list[str]]:
    from congeal.clustering.agglomerative import around_centres

    place = {image: at for at, image in enumerate(ids.to_pylist())}
    labels, called = sorting.labels.copy(), list(names)
    label_of = {name: label for label, name in enumerate(called)}
    # A cluster of that name may be gone: where the image is by which it is known, it is meant.
    for cluster in sorted(set(placement.clusters.values())):
        if cluster in label_of:
            continue
        medoid = placement.medoids.get(cluster, "")
        at = place.get(medoid)
        if at is not None and labels[at] >= 0 and medoid not in placement.clusters:
            label_of[cluster] = int(labels[at])
        else:
            label_of[cluster] = len(called)
            called.append(cluster)
    for image, cluster in placement.clusters.items():
        if image in place:
            labels[place[image]] = label_of[cluster]
    left = np.unique(labels[labels >= 0])
    now = np.full(len(called) + 1, -1, np.int32)  # the last for those without a cluster
    now[left] = np.arange(len(left))
    found = around_centres(embeddings, now[labels], len(left))
    return Sorting(found.labels, found.medoids, found.distances), [called[label] for label in left.tolist()]
