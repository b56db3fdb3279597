"""Slices of the source's listing: every object of one identified, checked, or refused."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.parquet_files import encode_table
from congeal.settings import CatalogSettings, LimitsSettings, Settings
from infra.ledger.commits import Marker, UnitAddress, digest
from infra.ledger.tombstones import read_tombstones
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.deep_image_table import DEPTHS, DEPTHS_FILE, ToRemake, depths_table
from tasks.catalog.image_examination import Finding, examine, refused
from tasks.catalog.image_reading import readers_of
from tasks.catalog.listing_entries import ListingEntry
from tasks.catalog.source_listing import Survey
from tasks.execution import stage_versions
from tasks.execution.division import Division, Items, place_of, reasons
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.spooled_units import addresses, spooled
from tasks.execution.stage_runner import Run, StageResult, Unit, Work, address, plan_units, run_units

STAGE = stage_versions.CATALOG
VERSION = stage_versions.VERSIONS[STAGE]

CATALOG = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("etag", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("unread", pa.bool_(), nullable=False),
    ],
    metadata={b"congeal.table": b"catalog", b"congeal.schema_version": b"1"},
)
# A piece of a slice knows the bits of a sample, too; in the table of a slice they would change its bytes.
PIECE = CATALOG.append(pa.field("depth", pa.int32(), nullable=False)).append(
    pa.field("limited", pa.bool_(), nullable=False)
)


@dataclass(frozen=True, slots=True)
class SlicePayload:
    """A slice of the listing. entries: its objects, packed."""

    source: Location
    catalog: CatalogSettings
    entries: bytes
    limits: LimitsSettings


class SliceFacts(NamedTuple):
    """What is needed of a marker of the catalog: its record, and whether it has a table of deep images."""

    record: Mapping[str, Any]
    deep: bool

    @classmethod
    def of(cls, marker: Marker) -> SliceFacts:
        """Of a marker."""
        return cls(marker.record, DEPTHS_FILE in marker.outputs)


def scope(settings: Settings) -> str:
    """Digest of what bears on an image's row: the limits, and this stage's version."""
    return digest(STAGE, VERSION, settings.catalog.max_pixels, settings.catalog.min_side, length=16)


def slice_addresses(
    source: Location, destination: Location, settings: Settings, survey: Survey
) -> Iterator[tuple[UnitAddress, int]]:
    """Where the unit of each slice of the listing is, or would be, and how many objects it holds."""
    here = scope(settings)
    for entries in survey.slices(settings.catalog.slice_size):
        name = _slice_digest(source, here, entries)
        yield address(destination, STAGE, VERSION, here, name), len(entries)


def make_slices(run: Run, survey: Survey) -> StageResult:
    """Check what is in no finished slice of the survey."""
    settings = run.settings.catalog
    here = scope(run.settings)
    units = spooled(
        slice_unit(run.source, run.destination, run.settings, entries)
        for entries in survey.slices(settings.slice_size)
    )
    remake = ToRemake(addresses(units), run.settings.engine.retry_failed)
    plan = plan_units(STAGE, here, units, run.progress, remake=remake, keep=SliceFacts.of)
    return run_units(plan, make_slice, run, division=DIVISION)


def slice_unit(
    source: Location, destination: Location, settings: Settings, entries: Sequence[ListingEntry]
) -> Unit[SlicePayload]:
    """The unit of one slice of a source's listing."""
    here = scope(settings)
    return Unit(
        address(destination, STAGE, VERSION, here, _slice_digest(source, here, entries)),
        SlicePayload(source, settings.catalog, pack_rows(entries), settings.limits),
        items=len(entries),
    )


def _slice_digest(source: Location, here: str, entries: Iterable[ListingEntry]) -> str:
    return digest(here, source.url, [[entry.path, entry.bytes, entry.token] for entry in entries])


def make_slice(unit: Unit[SlicePayload]) -> Marker:
    """Read, hash and check every object of one slice; commit its rows as catalog.parquet."""
    work = Work(unit)
    return commit_findings(work, _findings(work, _entries(unit)))


def make_piece(unit: Unit[SlicePayload], items: Items) -> None:
    """The same for some of the slice's objects, by position; kept until the slice is joined."""
    entries = _entries(unit)
    table = _rows(_findings(Work(unit), [entries[item] for item in items]), PIECE)
    place_of(unit, items).write_bytes(encode_table(table, PIECE))


def join_slice(unit: Unit[SlicePayload], pieces: Sequence[Items], killers: Items) -> Marker:
    """Commit the slice, from its pieces; objects that have killed are recorded as failed."""
    work = Work(unit)
    entries = _entries(unit)
    found = {item: refused(entries[item], why) for item, why in reasons(unit, killers).items()}
    for items in pieces:
        rows = pq.read_table(io.BytesIO(place_of(unit, items).read_bytes())).to_pylist()
        found |= {item: Finding(**row) for item, row in zip(items, rows, strict=True)}
    return commit_findings(
        work, [found[item] for item in range(len(entries))], [entries[item].path for item in killers]
    )


DIVISION = Division(items=lambda unit: unit.items, make=make_piece, join=join_slice)


def _entries(unit: Unit[SlicePayload]) -> list[ListingEntry]:
    return [ListingEntry(*row) for row in unpack_rows(unit.payload.entries)]


def _findings(work: Work[SlicePayload], entries: Sequence[ListingEntry]) -> list[Finding]:
    asked = work.unit.payload
    with work.watch.phase("start"):
        import congeal.imaging.decoding  # noqa: F401 - the first unit of a process pays for the import
    with work.watch.phase("decode"):
        return list(
            in_threads(
                lambda entry: examine(asked.source, entry, asked.catalog, asked.limits),
                entries,
                threads=readers_of(asked.source),
            )
        )


def _rows(findings: Sequence[Finding], schema: pa.Schema = CATALOG) -> pa.Table:
    if not findings:
        return schema.empty_table()
    columns = list(zip(*findings, strict=True))
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema)


def commit_findings(
    work: Work[SlicePayload], findings: Sequence[Finding], killed: Sequence[str] = ()
) -> Marker:
    """Write what was found of a slice's objects, in their order; what was forgotten is left out."""
    stones = read_tombstones(work.unit.address.destination)
    findings = [found for found in findings if found.image_id is None or not stones.holds(found.image_id)]
    outputs = {"catalog.parquet": encode_table(_rows(findings), CATALOG)}
    deep = sorted({(str(found.image_id), found.depth) for found in findings if found.depth > 8})
    if deep:
        outputs[DEPTHS_FILE] = encode_table(depths_table(deep), DEPTHS)
    killed = [*killed, *(found.uri for found in findings if found.limited)]
    record = {"unread": sum(finding.unread for finding in findings), "deep": len(deep)}
    return work.commit(outputs, record | ({"killed": list(killed)} if killed else {}))
