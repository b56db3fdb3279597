"""Units of the report that show pictures: clusters' pages, averages, images without a cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from congeal.report import thumbnail_sheets
from congeal.report.cluster_page import HEAD, NAMED, PAGE, in_order, outliers_of
from congeal.results.cluster_report import Head, MemberRow, cluster_head, member_pages, stored_maps
from congeal.results.stored.image_squares import SquareSource, Wanted
from congeal.results.stored.pictures import picture_of
from infra.errors import UserError
from infra.ledger.commits import Marker, near_marker, outputs_location
from infra.storage.location import Location
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import Unit, Work
from tasks.report.published_rows import ClusterRows

WALL_COLUMNS = 16
WALL = 128  # clusters whose averages are in one sheet, about
LOOSE = 256  # images without a cluster in one sheet, about
BLOCK = 20 * PAGE  # members of a unit: what it writes is in memory at once
_PAGE = ("script", "maps", "small", "count", "columns")
# In the record of a unit of pages: mean confidences of the members in order, base64 of little-endian float32.
CONFIDENCE = "confidence"
LOOSE_SHEET, WALL_SHEET = "small.webp", "wall.webp"
_LITTLE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class PagesPayload:
    """Members of a cluster, in the order of its page.

    Attributes:
        facts: the cluster's row of the table, JSON.
        members: rows, packed. first: the number of their first page.
        head: total, outliers and copies, packed, where these are all members; None: the head is a unit of
            its own.
    """

    destination: Location
    source: Location
    catalog: Mapping[str, Any]
    facts: str
    members: bytes
    first: int
    head: bytes | None


@dataclass(frozen=True, slots=True)
class HeadPayload:
    """The head of a large cluster. pages: what it says of its pages, packed; head: as of `PagesPayload`."""

    destination: Location
    facts: str
    pages: bytes
    head: bytes


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


def blocks_of(rows: ClusterRows) -> list[list[MemberRow]]:
    """A cluster's members in the order of its page, in as many parts as there are units."""
    ordered = in_order(rows.members)
    return [ordered[start : start + BLOCK] for start in range(0, len(ordered), BLOCK)]


def packed_head(rows: ClusterRows) -> bytes:
    """What the head of a cluster's page lists."""
    ordered = in_order(rows.members)
    return pack_rows([[len(ordered)], outliers_of(ordered), rows.copies[:NAMED]])


def make_pages(unit: Unit[PagesPayload]) -> Marker:
    """The scripts and sheets of some pages of a cluster and, if these are all, its head."""
    work, asked = Work(unit), unit.payload
    facts = json.loads(asked.facts)
    atlas = _atlas(asked.destination, facts)
    squares = _squares(asked.destination, asked.source, asked.catalog)
    rows = [MemberRow(*row) for row in unpack_rows(asked.members)]
    with work.watch.phase("pages"):
        stored = stored_maps(asked.destination, atlas, facts["cluster_id"])
        made = member_pages(asked.destination, atlas, stored, rows, asked.first, squares)
        files, pages = dict(made.files), made.pages
        if asked.head is not None:
            alone = files.pop(pages[0]["script"]) if len(pages) == 1 else b""
            if alone:  # whoever loads the head has the members, too: a file less
                pages = [{**pages[0], "script": HEAD}]
            files |= cluster_head(asked.destination, atlas, stored, _head(facts, asked.head), pages)
            files[HEAD] += alone
    sure = base64.b64encode(np.asarray(made.confidence, _LITTLE).tobytes()).decode("ascii")
    return work.commit(files, {"cluster_id": facts["cluster_id"], "pages": pages, CONFIDENCE: sure})


def make_head(unit: Unit[HeadPayload]) -> Marker:
    """The script and the pictures of a cluster whose pages are units of their own."""
    work, asked = Work(unit), unit.payload
    facts = json.loads(asked.facts)
    pages = [dict(zip(_PAGE, row, strict=True)) for row in unpack_rows(asked.pages)]
    atlas = _atlas(asked.destination, facts)
    with work.watch.phase("pages"):
        stored = stored_maps(asked.destination, atlas, facts["cluster_id"])
        files = cluster_head(asked.destination, atlas, stored, _head(facts, asked.head), pages)
    return work.commit(files, {"cluster_id": facts["cluster_id"]})


def packed_pages(pages: Sequence[tuple[str, Mapping[str, Any]]]) -> bytes:
    """Pages as a head names them: where each page's files lie, from the head's folder, and what they are."""
    rows = [
        [*(f"{folder}/{page[name]}" for name in _PAGE[:3]), *(page[name] for name in _PAGE[3:])]
        for folder, page in pages
    ]
    return pack_rows(rows)


def _head(facts: Mapping[str, Any], packed: bytes) -> Head:
    (total,), outliers, copies = unpack_rows(packed)
    return Head(facts, total, [tuple(one) for one in outliers], [(file, same) for file, same in copies])


def _atlas(destination: Location, facts: Mapping[str, Any]) -> Marker:
    atlas = near_marker(destination, "atlases", facts["atlas_unit"])
    if atlas is None:
        raise UserError(
            f"The atlas of the cluster {facts['cluster_id']} in {destination} is gone: `congeal run` makes "
            "it anew."
        )
    return atlas


def make_wall(unit: Unit[WallPayload]) -> Marker:
    """A sheet with two cells a cluster: its average before and after the alignment."""
    work, asked = Work(unit), unit.payload
    cells: list[Any] = []
    with work.watch.phase("pages"):
        for name in asked.atlases:
            marker = None if name is None else near_marker(asked.destination, "atlases", name)
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


def confidences(record: Mapping[str, Any]) -> list[float]:
    """Mean confidences of the members whose pages a unit has made, by its record."""
    data = base64.b64decode(record[CONFIDENCE], validate=True)
    return [float(value) for value in np.frombuffer(data, _LITTLE)]


def _squares(destination: Location, source: Location, catalog: Mapping[str, Any]) -> SquareSource:
    return SquareSource(destination, source, catalog, thumbnail_sheets.LARGE)
