"""The index of a report: all that its page knows before it has loaded anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from congeal.alignment.outcomes import MEANINGLESS
from congeal.backbones.stronger import stronger
from congeal.report.cluster_page import PAGE
from congeal.report.index_fields import FORMAT, cluster_columns, counts_of
from congeal.report.thumbnail_sheets import WALL, columns_for
from congeal.results.outlier_counts import is_doubtful
from congeal_floors.plurals import counted
from infra.ledger.provenance import code_version
from infra.ledger.publications import Publication
from tasks.report import annotation_marks, overview_files, owner_values, page_units
from tasks.report.changes import FILE as CHANGES
from tasks.report.changes import Changes
from tasks.report.map_table import MapRows, Sheets
from tasks.report.provenance_facts import stage_facts
from tasks.report.published_rows import PublishedRows, buckets
from tasks.report.report_key import Order

What = tuple[Any, ...]  # of the site a unit is: ("pages", cluster, number), ("wall", number), …


@dataclass(frozen=True)
class MadeSite:
    """What the units have written.

    Attributes:
        folders: where each unit's outputs lie, from the report's folder.
        kept: the records of their markers.
        outliers: how many images are outliers.
    """

    order: Order
    publication: Publication
    rows: PublishedRows
    folders: Mapping[What, str]
    kept: Mapping[What, Any]
    outliers: int

    def sheets(self) -> Sheets:
        """All sheets of small thumbnails, those of clusters first."""
        sheets = Sheets([], [], [], [])
        for number, cluster_id in enumerate(self.rows.ids):
            members = 0 if self.rows.atlases[number] is None else self.rows.sizes[number]
            for page, start in enumerate(range(0, members, PAGE)):
                folder = self.folders["pages", cluster_id, start // page_units.BLOCK]
                sheets.path.append(f"{folder}/small-{page:04d}.webp")
                sheets.columns.append(columns_for(min(PAGE, members - start)))
                sheets.cluster.append(number)
                sheets.page.append(page)
        for page, bucket in enumerate(self.rows.without_page(page_units.LOOSE)):
            sheets.path.append(f"{self.folders['loose', page]}/{page_units.LOOSE_SHEET}")
            sheets.columns.append(columns_for(len(bucket)))
            sheets.cluster.append(-1)
            sheets.page.append(page)
        return sheets


def index_of(
    site: MadeSite,
    sheets: Sheets,
    shown: MapRows,
    places: Mapping[str, Any],
    folder: str,
    made: str,
    changed: Changes,
) -> dict[str, Any]:
    """The index, JSON-able.

    places: what the unit of the places says of them. folder: of the files of map and changes. made: when,
    UTC, ISO 8601.
    """
    publication, rows, given = site.publication, site.rows, site.order.annotations
    return {
        "format": FORMAT,
        "title": f"{publication.source.rpartition('/')[2]}, version {publication.number}",
        "source": publication.source,
        "destination": site.order.destination.url,
        "version": publication.number,
        "created": publication.created,
        "made": made,
        "code_version": code_version(),
        "base": site.order.base,
        "counts": counts_of(publication.counts, site.outliers),
        "settings": publication.settings,
        "backbone": publication.backbone,
        "weights_fingerprint": publication.weights_fingerprint,
        "stronger": stronger(publication.backbone),
        "stages": stage_facts(site.order.destination, publication),
        "map": _map(shown, places, folder, int(publication.settings.get("seed", 0))),
        "sheets": sheets.facts,
        "wall": {"cell": WALL, "path": _wall_paths(site)},
        "clusters": _clusters(site),
        "failures": {"total": rows.failed, "rows": [list(pair) for pair in rows.failures]},
        "duplicates": {"total": rows.copied, "rows": [list(pair) for pair in rows.duplicates]},
        "quality": _quality(site, shown),
        "annotations": None if given is None else dict(given.facts),
        "changes": _changes(changed, folder),
        "notes": [*_notes(site, shown, places), *changed.notes],
    }


def _changes(changed: Changes, folder: str) -> dict[str, Any] | None:
    if changed.facts is None:
        return None
    images, clusters = changed.facts["images"]["counts"], changed.facts["counts"]
    facts = {"before": changed.facts["before"], "images": images, "clusters": clusters}
    return {"script": f"{folder}/{CHANGES}", **facts}


def _map(shown: MapRows, places: Mapping[str, Any], folder: str, seed: int) -> dict[str, Any] | None:
    if not shown.rows:
        return None
    facts = {name: places.get(name) for name in ("method", "fitted", "placed", "note")}
    files = {"script": "map.js", "names": "names.js", "parquet": "map.parquet"}
    paths = {name: f"{folder}/{file}" for name, file in files.items()}
    facts |= {"own": overview_files.own_facts(shown)}
    return {**paths, "rows": shown.rows, "sample": shown.sample, "seed": seed, **facts}


def _wall_paths(site: MadeSite) -> list[str]:
    count = sum(what[0] == "wall" for what in site.folders)
    return [f"{site.folders['wall', number]}/{page_units.WALL_SHEET}" for number in range(count)]


def _quality(site: MadeSite, shown: MapRows) -> dict[str, Any]:
    records = [record for what, record in site.kept.items() if what[0] == "annotations"]
    return {
        "histograms": overview_files.histograms(shown),
        "calibration": annotation_marks.pooled(records),
        "drift": [
            {"cluster": number, "drift": row["drift"], "n_new": row["n_new"]}
            for number, row in enumerate(site.rows.facts())
            if row.get("drift") is not None
        ],
    }


def _notes(site: MadeSite, shown: MapRows, places: Mapping[str, Any]) -> list[str]:
    notes = [note for note in (places.get("note"),) if note]
    notes += site.rows.notes
    if shown.sample < shown.rows:
        notes.append(
            f"The map shows a sample of {shown.sample:,} of {counted(shown.rows, 'image')}, "
            "stratified by cluster."
        )
    if site.order.annotations is not None:
        notes += site.order.annotations.notes
    return notes


def _clusters(site: MadeSite) -> dict[str, list[Any]]:
    names = site.rows.ids
    wall = {
        names[at]: (number, cell)
        for number, bucket in enumerate(buckets(names, page_units.WALL))
        for cell, at in enumerate(bucket)
    }
    pairs = list(zip(names, site.rows.atlases, strict=True))

    def scripts(file: str, *kinds: What) -> list[str | None]:
        found = []
        for name in names:
            paths = (site.folders.get((kind, name, *rest)) for kind, *rest in kinds)
            path = next((one for one in paths if one is not None), None)
            found.append(None if path is None else f"{path}/{file}")
        return found

    return {
        **cluster_columns(site.rows.facts()),
        "doubtful": [is_doubtful(row) for row in site.rows.facts()],
        "not_aligned": [row["status"] in MEANINGLESS for row in site.rows.facts()],
        "script": scripts("cluster.js", ("head",), ("pages", 0)),
        "annotations": scripts(annotation_marks.FILE, ("annotations",)),
        "own": scripts(owner_values.FILE, ("own",)),
        "wall_sheet": [wall[name][0] for name in names],
        "wall_before": [2 * wall[name][1] if atlas else -1 for name, atlas in pairs],
        "wall_after": [2 * wall[name][1] + 1 if atlas else -1 for name, atlas in pairs],
        "wall_columns": [page_units.WALL_COLUMNS] * len(pairs),
    }
