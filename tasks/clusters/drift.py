"""Which clusters have drifted from their atlases, and which are to be solved anew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from congeal.alignment.outcomes import FAILED, OK
from congeal.settings import Settings
from infra.errors import DamagedError, UserError
from infra.ledger.commits import Marker, outputs_location
from infra.ledger.publications import Publication, published
from infra.ledger.tombstones import FOLDER as TOMBSTONES
from infra.storage.location import Location
from tasks.clusters.regrade import Regrade
from tasks.execution import stage_versions
from tasks.execution.published_units import published_markers
from tasks.execution.stage_runner import worth_retrying

DRIFTED, ALL = "drifted", "all"
DRIFT = 1.25  # residual of many newcomers over that of the images before them from which a cluster is flagged
FORGOTTEN = "forgotten"  # in the record of an atlas: an image of it was, and it is to be solved anew
ENOUGH = 3  # newcomers that say something about a cluster
COLUMNS = (
    "cluster_id", "name", "status", "n_images", "n_outliers", "n_new", "drift", "deformation", "fixed_camera",
    "match_agreement",
)  # fmt: skip


def drifting(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of rows of the table clusters, or records of atlases, those that are flagged, the worst first."""
    flagged = [
        {name: row[name] for name in ("cluster_id", "n_new", "drift")} | _name(row)
        for row in rows
        if row.get("n_new", 0) >= ENOUGH and (row.get("drift") or 0) >= limit(row["n_new"])
    ]
    return sorted(flagged, key=lambda row: (-row["drift"], row["cluster_id"]))


def _name(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": row["name"]} if row.get("name") else {}


def limit(n_new: int) -> float:
    """The drift from which a cluster is flagged; by chance, the median of a few is far from 1 more often."""
    return max(DRIFT, 1 + 1 / math.sqrt(n_new))


def published_clusters(destination: Location, publication: Publication) -> list[dict[str, Any]]:
    """What there is to say of the clusters of a version: a row each, of the table clusters, with COLUMNS."""
    from congeal.results.schema.parquet_files import small_rows
    from congeal.results.schema.tables import CLUSTERS

    tables = [
        outputs_location(destination, marker) / "clusters.parquet"
        for _, marker in published_markers(destination, publication, [stage_versions.INDEX])
        if marker is not None and "clusters.parquet" in marker.outputs
    ]
    return small_rows(tables, CLUSTERS, COLUMNS)


def to_regrade(settings: Settings, atlases: Iterable[Marker]) -> Regrade:
    """What the clusters' stage grades anew, given the atlases of the version that it starts from.

    Beside what `atlases.resolve` asks for, clusters that have no atlas worth keeping: those grow by being
    solved anew. Raises UserError if a cluster is asked for that there is not.
    """
    records = [marker.record for marker in atlases]
    asked = _asked(settings.atlases.resolve, records)
    always = {row["cluster_id"] for row in records if row["cluster_id"] in asked and _gains(row, settings)}
    always |= {row["cluster_id"] for row in records if row.get(FORGOTTEN)}
    # Where there was no memory for an atlas, other members would not help.
    unsettled = {row["cluster_id"] for row in records if row["status"] not in (OK, FAILED)}
    return Regrade(frozenset(always), frozenset((asked | unsettled) - always))


def something_to_resolve(settings: Settings, destination: Location) -> bool:
    """True if the last version has a cluster that `atlases.resolve` asks for, and that it would change.

    Raises UserError if a cluster is asked for that there is not, or if nothing may keep its id.
    """
    asked = settings.atlases.resolve
    if not asked:
        return False
    if settings.clusters.growth != "extend":
        raise UserError("atlases.resolve goes with clusters.growth=extend: take one of them away.")
    try:
        publication = published(destination)
    except DamagedError:
        publication = None  # the run publishes it anew
    if publication is None:
        _asked(asked, [])
        return False
    markers = published_markers(destination, publication, [stage_versions.ATLASES])
    return bool(to_regrade(settings, (marker for _, marker in markers if marker is not None)).always)


def something_forgotten(destination: Location) -> bool:
    """True if the last version has an atlas of which an image was forgotten, so that it is solved anew."""
    try:
        publication = published(destination) if (destination / TOMBSTONES).children() else None
    except DamagedError:
        publication = None  # the run publishes it anew
    if publication is None:
        return False
    markers = published_markers(destination, publication, [stage_versions.ATLASES])
    return any(marker is not None and marker.record.get(FORGOTTEN) for _, marker in markers)


def something_to_retry(settings: Settings, destination: Location) -> bool:
    """True if `engine.retry_failed` asks for what has killed workers, and the last version has such."""
    if not settings.engine.retry_failed:
        return False
    try:
        publication = published(destination)
    except DamagedError:
        publication = None  # the run publishes it anew
    if publication is None:
        return False
    stages = (stage_versions.CATALOG, stage_versions.FEATURES, stage_versions.ATLASES, stage_versions.INDEX)
    markers = published_markers(destination, publication, stages)
    return any(marker is not None and worth_retrying(marker) for _, marker in markers)


def _asked(resolve: Sequence[str], records: Sequence[Mapping[str, Any]]) -> set[str]:
    known = {row["cluster_id"] for row in records}
    asked = set(resolve) - {DRIFTED, ALL}
    if asked - known:
        raise UserError(
            f"atlases.resolve names {min(asked - known)}, and the last version has no such cluster: "
            'name ids of the table clusters, "drifted" or "all".'
        )
    if DRIFTED in resolve:
        asked |= {row["cluster_id"] for row in drifting(records)}
    return known if ALL in resolve else asked


def _gains(row: Mapping[str, Any], settings: Settings) -> bool:
    """Images have come, or such as built the atlas have gone."""
    most = min(row["n_images"], settings.atlases.atlas_size)
    return bool(row.get("n_new", 0) or row["n_members"] < most)
