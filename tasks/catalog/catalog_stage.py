"""The catalog: every object of the source that is called like an image, identified, checked, or refused.

A slice of the listing is a unit; a last unit merges the slices into one table, sorted by uri, and marks the
duplicates. Images with samples of more than 8 bits are in a second, small table (see
`tasks.catalog.deep_image_table`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from congeal.results.schema.parquet_files import encode_table
from congeal.settings import CatalogSettings, LimitsSettings, Settings
from infra.errors import UserError
from infra.ledger.commits import Marker, UnitAddress, digest, sealed
from infra.ledger.tombstones import read_tombstones
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.deep_image_table import DEPTHS, DEPTHS_FILE, ToRemake, depths_table
from tasks.catalog.image_examination import Finding, examine, refused
from tasks.catalog.image_reading import readers_of
from tasks.catalog.own_columns import FILES as OWN_FILES
from tasks.catalog.source_listing import ListingEntry, Survey
from tasks.execution import stage_versions
from tasks.execution.division import Division, Items, place_of, reasons
from tasks.execution.duckdb_workspace import load, scalar, stream, workspace
from tasks.execution.packed_rows import pack_rows, unpack_rows
from tasks.execution.spooled_units import addresses, spooled
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    UnitReport,
    Work,
    address,
    plan_units,
    read_markers,
    report,
    run_units,
)

STAGE = stage_versions.CATALOG
WANTED = "wanted"
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


@dataclass(frozen=True, slots=True)
class MergePayload:
    """The tables of the slices, and those of their images with samples of more than 8 bits."""

    tables: tuple[Location, ...]
    depths: tuple[Location, ...]


class _Facts(NamedTuple):
    """What is needed of a marker: its record, and whether it has a table of deep images."""

    record: Mapping[str, Any]
    deep: bool

    @classmethod
    def of(cls, marker: Marker) -> _Facts:
        return cls(marker.record, DEPTHS_FILE in marker.outputs)


class OwnFile(NamedTuple):
    """Columns of the collection's owner. key: the column that names images, "uri" or "image_id".

    origin: "list" or "columns", see `tasks.catalog.own_columns`.
    """

    place: Location
    key: str
    origin: str


@dataclass(frozen=True)
class Catalog:
    """The finished stage: where the merged table lies, its identity, how many images it has of each kind.

    survey: the listing that it was made from. depths: the table of images with samples of more than 8 bits;
    None if there are none. own: the columns of the collection's owner, and the identity of all of them.
    """

    survey: Survey
    result: StageResult
    images: Location
    identity: str  # "scope/unit/content" of the merge
    ok: int
    failed: int
    duplicate: int
    unread: int
    first_error: str | None
    depths: Location | None = None
    own: tuple[OwnFile, ...] = ()
    own_identity: str | None = None

    @contextmanager
    def planning(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A workspace for who plans a stage, with the table `wanted`: image_id and uri of every sound image.

        The images are loaded once a run; other tables are dropped at the end.
        """
        with self.survey.planning(keep=[WANTED]) as connection:
            known = scalar(connection, "SELECT comment FROM duckdb_tables() WHERE table_name = 'wanted'")
            if known != self.identity:
                connection.execute("DROP TABLE IF EXISTS wanted")
                load(connection, "catalog", [self.images], CATALOG, "image_id, uri, status")
                connection.execute(
                    "CREATE TABLE wanted AS SELECT image_id, uri FROM catalog WHERE status = 'ok'"
                )
                connection.execute(f"COMMENT ON TABLE wanted IS '{self.identity}'")
            yield connection


def scope(settings: Settings) -> str:
    """Digest of what bears on an image's row: the limits, and this stage's version."""
    return digest(STAGE, VERSION, settings.catalog.max_pixels, settings.catalog.min_side, length=16)


def stage(run: Run, survey: Survey) -> Catalog:
    """Check every image of the survey and merge the findings.

    Raises UserError if the source has no image, or if not one image of it can be used.
    """
    survey.require_images(run.settings.catalog)
    slices = _make_slices(run, survey)
    merged = _merge(run, slices)
    own, given = _keep_own(run, survey)
    (made,) = merged.units
    folder = sealed(_folder(run, made))
    record, deep = cast("_Facts", made.kept)
    catalog = Catalog(
        survey=survey,
        result=slices + merged if given is None else slices + merged + given,
        images=folder / "images.parquet",
        identity=f"{made.scope}/{made.unit}/{made.content}",
        ok=record["ok"],
        failed=record["failed"],
        duplicate=record["duplicate"],
        unread=record["unread"],
        first_error=record["first_error"],
        depths=folder / DEPTHS_FILE if deep else None,
        own=own,
        own_identity=None if given is None else given.units[0].identity,
    )
    if catalog.ok == 0:
        counted = "The only image" if catalog.failed == 1 else f"None of the {catalog.failed} images"
        raise UserError(f"{counted} of {run.source.url} can be used; the first: {catalog.first_error}.")
    return catalog


def slice_addresses(
    source: Location, destination: Location, settings: Settings, survey: Survey
) -> Iterator[tuple[UnitAddress, int]]:
    """Where the unit of each slice of the listing is, or would be, and how many objects it holds."""
    here = scope(settings)
    for entries in survey.slices(settings.catalog.slice_size):
        name = _slice_digest(source, here, entries)
        yield address(destination, STAGE, VERSION, here, name), len(entries)


def _make_slices(run: Run, survey: Survey) -> StageResult:
    settings = run.settings.catalog
    here = scope(run.settings)
    units = spooled(
        slice_unit(run.source, run.destination, run.settings, entries)
        for entries in survey.slices(settings.slice_size)
    )
    remake = ToRemake(addresses(units), run.settings.engine.retry_failed)
    plan = plan_units(STAGE, here, units, run.progress, remake=remake, keep=_Facts.of)
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


def _folder(run: Run, made: UnitReport) -> Location:
    """The outputs of a unit of the catalog."""
    return address(run.destination, STAGE, VERSION, made.scope, made.unit).folder / made.content


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


def _merge(run: Run, slices: StageResult) -> StageResult:
    here = digest(STAGE, "merge", VERSION, length=16)
    parts = [[entry.scope, entry.unit, entry.content] for entry in slices.units]
    folders = [(_folder(run, made), cast("_Facts", made.kept)) for made in slices.units]
    payload = MergePayload(
        tuple(folder / "catalog.parquet" for folder, _ in folders),
        tuple(folder / DEPTHS_FILE for folder, facts in folders if facts.deep),
    )
    unit = Unit(
        address(run.destination, STAGE, VERSION, here, digest(here, parts)),
        payload,
        items=slices.items_made + slices.items_skipped,
    )
    plan = plan_units(STAGE, here, [unit], run.progress, keep=_Facts.of)
    return run_units(plan, make_merge, run, title="catalog, merged")


def _keep_own(run: Run, survey: Survey) -> tuple[tuple[OwnFile, ...], StageResult | None]:
    """Copy what lists and tables say of the images into a unit; a list may change while a run is at work."""
    some = [own for own in survey.own if own]
    if not some:
        return (), None
    here = digest(STAGE, "own", VERSION, length=16)
    with survey.planning(keep=[WANTED]) as connection:
        name = digest(here, [own.digest(connection) for own in some])
        place = address(run.destination, STAGE, VERSION, here, name)
        (marker,) = read_markers([place], run.progress)
        made = marker is None
        if marker is None:
            work = Work(Unit(place, None, items=0))
            with work.watch.phase("encode"):
                outputs = {OWN_FILES[own.origin]: own.encoded(connection) for own in some}
            marker = work.commit(outputs, {"own": {own.origin: own.key for own in some}})
    files = tuple(
        OwnFile(place.folder / marker.content / OWN_FILES[own.origin], own.key, own.origin) for own in some
    )
    return files, StageResult(STAGE, (report(marker),), made=int(made), skipped=int(not made))


def make_merge(unit: Unit[MergePayload]) -> Marker:
    """One table of all slices, sorted by uri, duplicates marked; out of core.

    Commits images.parquet and, if a slice has one, depths.parquet.
    """
    work = Work(unit)
    with workspace() as connection:
        load(connection, "entries", list(in_threads(sealed, unit.payload.tables)), CATALOG)
        # The first name of some bytes is the image; the same bytes under a later name are a duplicate of it.
        connection.execute(
            """CREATE TABLE images AS
            WITH firsts AS (
                SELECT image_id, min(uri) AS first FROM entries WHERE status = 'ok' GROUP BY image_id
            )
            SELECT e.image_id, e.uri, e.bytes, e.etag, e.width, e.height, e.format,
                   if(e.status = 'ok' AND e.uri <> f.first, 'duplicate', e.status) AS status,
                   e.error, e.unread
            FROM entries e LEFT JOIN firsts f USING (image_id)"""
        )
        record = {
            status: scalar(connection, f"SELECT count(*) FROM images WHERE status = '{status}'")  # noqa: S608
            for status in ("ok", "failed", "duplicate")
        }
        record["unread"] = scalar(connection, "SELECT count(*) FROM images WHERE unread")
        record["first_error"] = scalar(
            connection, "SELECT uri || ': ' || error FROM images WHERE status = 'failed' ORDER BY uri LIMIT 1"
        )
        outputs = {
            "images.parquet": encode_table(stream(connection, "SELECT * FROM images ORDER BY uri"), CATALOG)
        }
        if unit.payload.depths:
            load(connection, "depths", [sealed(place) for place in unit.payload.depths], DEPTHS)
            named = stream(connection, "SELECT DISTINCT image_id, bits FROM depths ORDER BY image_id")
            outputs[DEPTHS_FILE] = encode_table(named, DEPTHS)
    return work.commit(outputs, record)
