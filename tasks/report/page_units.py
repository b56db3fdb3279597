"""Units of the report that show pictures: clusters' pages, averages, images without a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from congeal.report import thumbnail_sheets
from congeal.results.cluster_report import MemberRow, cluster_pages, picture_of
from congeal.results.image_squares import SquareSource, Wanted
from infra.errors import UserError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.storage.location import Location
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import Unit, Work
from tasks.report.published_rows import ClusterRows

WALL_COLUMNS = 16
WALL = 128  # clusters whose averages are in one sheet, about
LOOSE = 256  # images without a cluster in one sheet, about
CONFIDENCE = "confidence.f32"  # mean confidences of the members, little-endian float32, in the page's order
LOOSE_SHEET, WALL_SHEET = "small.webp", "wall.webp"
_LITTLE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class ClusterPayload:
    """One cluster. facts: its row of the table, JSON. members, copies: rows, packed."""

    destination: Location
    source: Location
    catalog: Mapping[str, Any]
    facts: str
    members: bytes
    copies: bytes


@dataclass(frozen=True, slots=True)
class WallPayload:
    """Averages of clusters. atlases: the units that hold them."""

    destination: Location
    atlases: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class LoosePayload:
    """Images without a cluster. images: rows of `Wanted`, packed."""

    destination: Location
    source: Location
    catalog: Mapping[str, Any]
    images: bytes


def cluster_payload(
    destination: Location, source: Location, catalog: Mapping[str, Any], rows: ClusterRows
) -> ClusterPayload:
    """What the unit of a cluster needs to know."""
    facts = json.dumps(rows.facts, sort_keys=True)
    return ClusterPayload(
        destination, source, catalog, facts, pack_rows(rows.members), pack_rows(rows.copies)
    )


def make_cluster(unit: Unit[ClusterPayload]) -> Marker:
    """The scripts and sheets of a cluster's page."""
    work, asked = Work(unit), unit.payload
    facts = json.loads(asked.facts)
    atlas = find_marker(asked.destination, "atlases", facts["atlas_unit"])
    if atlas is None:
        raise UserError(
            f"The atlas of the cluster {facts['cluster_id']} in {asked.destination} is gone: "
            "`congeal run` makes it anew."
        )
    with work.watch.phase("pages"):
        files, members, confidence = cluster_pages(
            asked.destination,
            atlas,
            facts,
            [MemberRow(*row) for row in unpack_rows(asked.members)],
            [(str(file), str(same)) for file, same in unpack_rows(asked.copies)],
            _squares(asked.destination, asked.source, asked.catalog),
        )
    files[CONFIDENCE] = np.asarray(confidence, _LITTLE).tobytes()
    return work.commit(files, {"cluster_id": facts["cluster_id"], "members": len(members)})


def make_wall(unit: Unit[WallPayload]) -> Marker:
    """A sheet with two cells a cluster: its average before and after the alignment."""
    work, asked = Work(unit), unit.payload
    cells: list[Any] = []
    with work.watch.phase("pages"):
        for name in asked.atlases:
            marker = None if name is None else find_marker(asked.destination, "atlases", name)
            for picture in ("average_before", "average_after"):
                folder = None if marker is None else outputs_location(asked.destination, marker)
                cells.append(
                    None if folder is None or marker is None else picture_of(folder, marker, picture)
                )
        data = thumbnail_sheets.sheet(cells, thumbnail_sheets.WALL, WALL_COLUMNS)
    return work.commit({WALL_SHEET: data}, {})


def make_loose(unit: Unit[LoosePayload]) -> Marker:
    """A sheet of small thumbnails."""
    work, asked = Work(unit), unit.payload
    wanted = [Wanted(*row) for row in unpack_rows(asked.images)]
    with work.watch.phase("pages"):
        pictures, _ = _squares(asked.destination, asked.source, asked.catalog).read(wanted)
        columns = thumbnail_sheets.columns_for(len(wanted))
        data = thumbnail_sheets.sheet(pictures, thumbnail_sheets.SMALL, columns)
    return work.commit({LOOSE_SHEET: data}, {})


def confidences(place: Location) -> list[float]:
    """What the unit of a cluster has kept at the place of its outputs."""
    return [float(value) for value in np.frombuffer((place / CONFIDENCE).read_bytes(), _LITTLE)]


def _squares(destination: Location, source: Location, catalog: Mapping[str, Any]) -> SquareSource:
    return SquareSource(destination, source, catalog, thumbnail_sheets.LARGE)
