"""What is counted over a version's clusters, for all who say it: a run, `status`, a collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from congeal.alignment.outcomes import DOUBTFUL_BELOW, FLOW, GUIDED, MEANINGLESS, OK, RIGID
from congeal.results.schema.instances import FURTHER, OF_SEVERAL


def outliers(counts: Mapping[str, int], clusters: Iterable[Mapping[str, Any]]) -> int:
    """How many images are outliers: those without a cluster, and those that do not fit their cluster's atlas.

    counts: of the publication. clusters: rows of the table clusters, or records of atlases. They are only
    asked where the publication is so old that images with a cluster are not among its outliers.
    """
    count = counts.get("outliers", 0)
    if "misfits" not in counts:
        count += sum(row.get("n_outliers") or 0 for row in clusters)
    return count


def misfits(counts: Mapping[str, int]) -> int | None:
    """How many of the outliers have a cluster whose atlas they do not fit; None: an old publication.

    counts: of the publication.
    """
    return counts.get("misfits")


def deformations(clusters: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many clusters have maps that are rigid, flow or guided, of those that are aligned (status ok).

    clusters: as of `outliers`. Those of which it is not known (old versions) are not counted.
    """
    found = dict.fromkeys((RIGID, FLOW, GUIDED), 0)
    for row in clusters:
        kind = row.get("deformation")
        if row.get("status") == OK and kind is not None:
            found[kind] = found.get(kind, 0) + 1
    return {kind: count for kind, count in found.items() if count}


def fixed_cameras(clusters: Iterable[Mapping[str, Any]]) -> int:
    """How many clusters are frames of a fixed camera, so that what moves in them is aligned."""
    return sum(bool(row.get("fixed_camera")) for row in clusters)


def further_instances(counts: Mapping[str, int]) -> dict[str, int]:
    """How many things of their kind images show besides their first, and in how many images.

    counts: of the publication. found: further instances; images: that show them.
    """
    return {"found": counts.get(FURTHER, 0), "images": counts.get(OF_SEVERAL, 0)}


def is_doubtful(row: Mapping[str, Any]) -> bool:
    """Whether a cluster is not to be trusted: its maps are smooth, and plain matches do not bear them out.

    Of maps that are matched cell by cell the agreement says little: where things bend, they differ.
    """
    agreed = row.get("match_agreement")
    smooth = row.get("status") == OK and row.get("deformation") in (RIGID, FLOW)
    return smooth and agreed is not None and float(agreed) < DOUBTFUL_BELOW


def doubtful(clusters: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of which clusters `is_doubtful` holds: their ids, sorted; clusters: as of `outliers`."""
    return sorted(str(row["cluster_id"]) for row in clusters if is_doubtful(row))


def not_aligned(clusters: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which clusters' images share nothing that their features show: their ids, sorted.

    clusters: as of `outliers`. A stronger backbone may see more in them (`congeal.backbones.stronger`).
    """
    return sorted(str(row["cluster_id"]) for row in clusters if row.get("status") in MEANINGLESS)
