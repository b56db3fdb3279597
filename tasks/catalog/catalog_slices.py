"""Slices of the source's listing: every object of one identified, checked, or refused."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.parquet_files import encode_table
from congeal.settings import CatalogSettings, LimitsSettings, Settings
from infra.errors import UserError
from infra.ledger.commits import Marker, UnitAddress, digest
from infra.ledger.tombstones import read_tombstones
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.deep_image_table import DEPTHS, DEPTHS_FILE, ToRemake, depths_table
from tasks.catalog.image_reading import content_id, readers_of
from tasks.catalog.listing_entries import ListingEntry
from tasks.catalog.source_listing import Survey
from tasks.execution import stage_versions
from tasks.execution.division import RAISE, Division, Items, place_of, reasons
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.stage_runner import Run, StageResult, Unit, Work, address, plan_units, run_units

STAGE = stage_versions.CATALOG
VERSION = stage_versions.VERSIONS[STAGE]
BYTES_PER_PIXEL = 8  # the most that an uncompressed image needs: four channels of 16 bits
HEADER_ALLOWANCE = 16_777_216

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


class Finding(NamedTuple):
    """One row of the catalog, its columns in order, and the bits of a sample.

    unread: the object could not be read this time. limited: it takes more than may be taken to decode one.
    """

    image_id: str | None
    uri: str
    bytes: int
    etag: str | None
    width: int | None
    height: int | None
    format: str | None
    status: str
    error: str | None
    unread: bool
    depth: int = 8
    limited: bool = False


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
    units = [
        slice_unit(run.source, run.destination, run.settings, entries)
        for entries in survey.slices(settings.slice_size)
    ]
    remake = ToRemake([unit.address for unit in units], run.settings.engine.retry_failed)
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
    found = {item: _failed(entries[item], why) for item, why in reasons(unit, killers).items()}
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


def _failed(entry: ListingEntry, reason: str) -> Finding:
    return Finding(
        None, entry.path, entry.bytes, entry.etag, None, None, None, "failed", reason, unread=False
    )


def examine(
    source: Location,
    entry: ListingEntry,
    settings: CatalogSettings,
    limits: LimitsSettings = LimitsSettings(),  # noqa: B008 - frozen
) -> Finding:
    """One object: identity and size if it is a sound image, else the reason why not. Never raises for it."""
    from congeal.errors import ImageError, ImageLimitError, ReaderMissingError
    from congeal.imaging.decoding import inspect

    def failed(
        reason: str, *, image_id: str | None = None, etag: str | None = entry.etag, unread: bool = False
    ) -> Finding:
        return Finding(image_id, entry.path, entry.bytes, etag, None, None, None, "failed", reason, unread)

    if entry.fault is not None:
        return failed(entry.fault)
    limit = settings.max_pixels * BYTES_PER_PIXEL + HEADER_ALLOWANCE
    if entry.bytes > limit:
        return failed(
            f"{entry.bytes} bytes, more than an image of the allowed {settings.max_pixels} pixels needs"
        )
    if entry.bytes > limits.image_memory:
        reason = f"{entry.bytes:,} bytes, more than decoding may take (limits.image_memory): {RAISE}"
        return failed(reason)._replace(limited=True)
    try:
        data = (source / entry.path).read_bytes()
    except UserError as error:
        return failed(str(error), unread=True)
    image_id = content_id(data)
    etag = entry.etag or hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        info = inspect(data, settings.max_pixels, settings.min_side, limits.image)
    except ImageError as error:
        # Where a package is missing here, another run may have it.
        missing = isinstance(error, ReaderMissingError)
        limited = isinstance(error, ImageLimitError)
        reason = f"{error.reason}: {RAISE}" if limited else error.reason
        return failed(reason, image_id=image_id, etag=etag, unread=missing)._replace(
            bytes=len(data), limited=limited
        )
    return Finding(
        image_id, entry.path, len(data), etag, info.width, info.height, info.format, "ok", None, unread=False,
        depth=info.depth,
    )  # fmt: skip
