"""Fields of a report's index that do not depend on where it lies: the clusters' columns, their doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from congeal.alignment.outcomes import MEANINGLESS

FORMAT = 1
FIGURES = (
    "name", "status", "error", "n_images", "n_members", "n_outliers", "n_new", "deformation", "residual",
    "cycle_error", "fold_fraction", "coverage", "confidence", "margin", "drift", "seconds", "device",
)  # fmt: skip
_COUNTS = ("ok", "failed", "duplicate", "clusters", "failed_clusters")


def cluster_columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows of the table clusters as columns, and how doubtful each is."""
    columns: dict[str, list[Any]] = {name: [] for name in ("id", *FIGURES, "doubt")}
    for row in rows:
        columns["id"].append(row["cluster_id"])
        for name in FIGURES:
            columns[name].append(row.get(name))
        columns["doubt"].append(doubt(row))
    return columns


def doubt(row: Mapping[str, Any]) -> float:
    """0 to 1: how much of a cluster does not fit, or is not sure; 1 where there is no alignment."""
    if row["status"] in MEANINGLESS or row.get("atlas_unit") is None or not row["n_images"]:
        return 1.0
    fits = 1 - float(row["n_outliers"]) / float(row["n_images"])
    return round(1 - fits * float(row["confidence"] or 0.0), 6)


def counts_of(counts: Mapping[str, int], outliers: int) -> dict[str, int]:
    """How many images and clusters there are of each kind."""
    images = sum(counts.get(name, 0) for name in ("ok", "failed", "duplicate"))
    return {"images": images, **{name: counts.get(name, 0) for name in _COUNTS}, "outliers": outliers}
