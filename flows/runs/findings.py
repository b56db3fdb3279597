"""What a run has found that somebody may want to look at: failures and drift, an event each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from congeal_floors.plurals import counted
from infra.compute.progress import Progress

if TYPE_CHECKING:
    from congeal.results.collection import Collection

MOST = 100  # of each kind that are named one by one

_IMAGES = "SELECT uri, image_id, error FROM images WHERE status = 'failed' ORDER BY uri LIMIT {most}"
_CLUSTERS = (
    "SELECT cluster_id, name, error FROM clusters WHERE status = 'failed' ORDER BY cluster_id LIMIT {most}"
)


@dataclass(frozen=True)
class Failures:
    """Rows of the tables images and clusters, with the reason as `error`; at most MOST of each."""

    images: tuple[dict[str, Any], ...] = ()
    clusters: tuple[dict[str, Any], ...] = ()


def failures(facts: dict[str, Any], collection: Collection) -> Failures:
    """What failed in the version that a run reports; nothing is read where nothing did."""
    images = _rows(collection, _IMAGES) if facts["images"]["failed"] else ()
    clusters = _rows(collection, _CLUSTERS) if facts["failed_clusters"] else ()
    return Failures(images, clusters)


def tell(facts: dict[str, Any], found: Failures, progress: Progress) -> None:
    """One event for each image and cluster that failed, each cluster that drifts, and the version."""
    for row in found.images:
        progress.event(
            "image_failed", f"image {row['uri']} failed: {row['error']}",
            image_id=row["image_id"], uri=row["uri"], error=row["error"],
        )  # fmt: skip
    for row in found.clusters:
        progress.event(
            "cluster_failed", f"cluster {row['cluster_id']} failed: {row['error']}",
            cluster_id=row["cluster_id"], error=row["error"],
        )  # fmt: skip
    for what, all_of_them, named in (
        ("images", facts["images"]["failed"], found.images),
        ("clusters", facts["failed_clusters"], found.clusters),
    ):
        if all_of_them > len(named):
            progress.event(
                "more_failed", f"{all_of_them - len(named):,} more {what} failed: see `congeal status`"
            )
    for row in facts["drifting"]:
        progress.event(
            "cluster_drifts", f"cluster {row['cluster_id']} drifts: its "
            f"{counted(row['n_new'], 'new image')} fit "
            f"{row['drift']:.2f} times as badly as those before", **row,
        )  # fmt: skip
    progress.event(
        "published" if facts["published"] else "up_to_date",
        f"version {facts['version']} of {facts['destination']} "
        + ("is published" if facts["published"] else "says all there is to say"),
        version=facts["version"], destination=facts["destination"],
    )  # fmt: skip


def _rows(collection: Collection, query: str) -> tuple[dict[str, Any], ...]:
    return tuple(collection.query(query.format(most=MOST)).to_pylist())
