"""The source of a destination lies elsewhere: its images are known again by their contents."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from congeal.settings import CatalogSettings, Settings
from infra.errors import UserError
from infra.ledger.commits import find_marker, outputs_location
from infra.ledger.moved_sources import present_url, record_move
from infra.ledger.publications import check_layout, published
from infra.ledger.run_lock import RUN, locked
from infra.ledger.tombstones import read_tombstones
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.catalog_slices import SlicePayload, commit_findings, slice_unit
from tasks.catalog.deep_image_table import DEPTHS_FILE
from tasks.catalog.image_examination import Finding, examine
from tasks.catalog.image_reading import content_id, readers_of
from tasks.catalog.listing_entries import ListingEntry
from tasks.catalog.source_listing import Survey
from tasks.catalog.source_places import check_places
from tasks.execution.stage_runner import Unit, Work
from tasks.execution.stage_versions import CATALOG

MOST_NAMED = 100
OTHER, ABSENT = "has other bytes", "is not there"


def relocate(destination: Location, source: Location, settings: Settings) -> dict[str, Any]:
    """Take `source` for the place where the images of the current version lie now.

    What has the path that it had is known again by the store's entity tag and its size, or else by its
    bytes, which are read. Its catalog is written, so that the next run reads no image that was known again;
    features, clusters and atlases are found by the images' contents. Returns how many images there are
    (`known`), by path and reason the first hundred that are not (`not_matched`, `not_matched_count`), how
    many are `new`, and how many were `forgotten`, which no run takes in.

    Raises UserError if nothing is published, if the source is no place for one, or if not one image is known
    there again.
    """
    publication = published(destination) if check_layout(destination) else None
    if publication is None:
        raise UserError(f"Nothing is published in {destination}: there is no source to relocate.")
    check_places(source, destination)
    old = present_url(destination, publication.source)
    if old == source.url:
        raise UserError(f"The source of {destination} is {old} already.")
    units = publication.units.get(CATALOG)
    if not units:
        raise UserError(
            f"The current version of {destination} names no catalog, by which its images would be known "
            f"again: `congeal run` with the source {source.url} makes a version that does."
        )
    there = CatalogSettings.model_validate(publication.settings.get("catalog", {}))
    settings = settings.model_copy(update={"catalog": there})
    known, depths = _catalog(destination, units)
    usable = {uri: one for uri, one in known.items() if one.image_id is not None and not one.unread}
    stones = read_tombstones(destination)
    outcome: Counter[str] = Counter()
    strange: dict[str, str] = {}
    listed: set[str] = set()
    single = settings.storage.single_writer
    with Survey(source, there) as survey, locked(destination, RUN, alone=single):
        survey.require_images(there)
        slices = list(survey.slices(there.slice_size))
        found = [_recognised(source, entries, usable, depths, settings) for entries in slices]
        for entries, rows in zip(slices, found, strict=True):
            for entry, (finding, same) in zip(entries, rows, strict=True):
                listed.add(entry.path)
                if same:
                    outcome["known"] += 1
                elif finding.image_id is not None and stones.holds(finding.image_id):
                    outcome["forgotten"] += 1
                elif entry.path in usable:
                    strange[entry.path] = OTHER if finding.image_id else str(finding.error)
                else:
                    outcome["new"] += 1
        strange |= dict.fromkeys(usable.keys() - listed, ABSENT)
        if not outcome["known"]:
            raise UserError(
                f"No image of the {len(usable):,} of {destination} is known again in {source.url}: name "
                "the folder below which they have the paths that they had."
            )
        for entries, rows in zip(slices, found, strict=True):
            unit = slice_unit(source, destination, settings, entries)
            if unit.address.marker() is None:
                _commit(unit, [finding for finding, _ in rows])
        record_move(destination, old, source.url)
    return {
        "destination": destination.url,
        "before": old,
        "source": source.url,
        "known": outcome["known"],
        "new": outcome["new"],
        "forgotten": outcome["forgotten"],
        "not_matched": [{"uri": uri, "reason": strange[uri]} for uri in sorted(strange)[:MOST_NAMED]],
        "not_matched_count": len(strange),
    }


def _commit(unit: Unit[SlicePayload], findings: list[Finding]) -> None:
    commit_findings(Work(unit), findings)


def _catalog(destination: Location, units: list[str]) -> tuple[dict[str, Finding], dict[str, int]]:
    """What the slices of a version say, by path, and the bits of images of more than 8, by id."""
    known: dict[str, Finding] = {}
    depths: dict[str, int] = {}
    for name in units:
        marker = find_marker(destination, CATALOG, name)
        if marker is None:
            raise UserError(f"The unit {CATALOG}/{name} of {destination} is gone: run again first.")
        folder = outputs_location(destination, marker)
        if "catalog.parquet" in marker.outputs:
            with (folder / "catalog.parquet").open() as file:
                rows = pq.read_table(file).to_pylist()
            known |= {row["uri"]: Finding(**row) for row in rows}
        if DEPTHS_FILE in marker.outputs:
            with (folder / DEPTHS_FILE).open() as file:
                depths |= {row["image_id"]: row["bits"] for row in pq.read_table(file).to_pylist()}
    return known, depths


def _recognised(
    source: Location,
    entries: list[ListingEntry],
    known: Mapping[str, Finding],
    depths: Mapping[str, int],
    settings: Settings,
) -> list[tuple[Finding, bool]]:
    """The row of each object, and whether it is the image that had its path."""

    def one(entry: ListingEntry) -> tuple[Finding, bool]:
        was = known.get(entry.path)
        if was is not None and was.bytes == entry.bytes and entry.fault is None:
            tag = entry.etag
            same = tag is not None and tag == was.etag
            if not same:
                try:
                    data = (source / entry.path).read_bytes()
                except UserError:
                    data = b""
                same = content_id(data) == was.image_id
                tag = entry.etag or hashlib.md5(data, usedforsecurity=False).hexdigest()
            if same:
                return was._replace(etag=tag, depth=depths.get(str(was.image_id), 8)), True
        return examine(source, entry, settings.catalog, settings.limits), False

    return list(in_threads(one, entries, threads=readers_of(source)))
