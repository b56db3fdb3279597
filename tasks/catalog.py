"""The catalog: every object of the source that is called like an image, identified, checked, or refused.

A slice of the listing is a unit; a last unit merges the slices into one table, sorted by uri, and marks the
duplicates. Where images have samples of more than 8 bits, a second, small table names them: how they become
pixels has a version of its own (`congeal.greys`), and only units that hold one depend on it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from infra.commits import Marker, UnitAddress, digest, in_threads, outputs_location
from infra.errors import DamagedError, StorageError, UserError
from infra.settings import CatalogSettings, Settings
from infra.storage import Location
from infra.tables import encode_table
from tasks import versions
from tasks.reading import readers_of
from tasks.spool import load, scalar, stream, workspace
from tasks.stage import (
    Run,
    StageResult,
    Unit,
    Work,
    address,
    committed_marker,
    plan_units,
    read_markers,
    run_units,
)
from tasks.survey import Entry, Survey, listing_table

STAGE = versions.CATALOG
VERSION = versions.VERSIONS[STAGE]
BYTES_PER_PIXEL = 8  # the most that an uncompressed image needs: four channels of 16 bits
HEADER_ALLOWANCE = 16_777_216
# Of slices that were made before depths were noted: formats that may be deep, reasons that may not hold now.
MAY_BE_DEEP = {"PNG", "TIFF"}
READ_BY_NOW = ("unreadable colour mode", "not an image")

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

DEPTHS = pa.schema(
    [pa.field("image_id", pa.string(), nullable=False), pa.field("bits", pa.int32(), nullable=False)],
    metadata={b"congeal.table": b"depths", b"congeal.schema_version": b"1"},
)
DEPTHS_FILE = "depths.parquet"


class Finding(NamedTuple):
    """One row of the catalog, its columns in order, and the bits of a sample.

    unread: the object could not be read this time.
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


@dataclass(frozen=True)
class Catalog:
    """The finished stage: where the merged table lies, its identity, how many images it has of each kind.

    depths: the table of images with samples of more than 8 bits; None if there are none.
    """

    result: StageResult
    images: Location
    identity: str  # "scope/unit/content" of the merge
    ok: int
    failed: int
    duplicate: int
    unread: int
    first_error: str | None
    depths: Location | None = None


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
    place = address(run.destination, STAGE, VERSION, merged.units[0].scope, merged.units[0].unit)
    marker = committed_marker(place)
    record = marker.record
    catalog = Catalog(
        result=slices + merged,
        images=place.folder / marker.content / "images.parquet",
        identity=f"{place.scope}/{place.unit}/{marker.content}",
        ok=record["ok"],
        failed=record["failed"],
        duplicate=record["duplicate"],
        unread=record["unread"],
        first_error=record["first_error"],
        depths=place.folder / marker.content / DEPTHS_FILE if DEPTHS_FILE in marker.outputs else None,
    )
    if catalog.ok == 0:
        counted = "The only image" if catalog.failed == 1 else f"None of the {catalog.failed} images"
        raise UserError(f"{counted} of {run.source.url} can be used; the first: {catalog.first_error}.")
    return catalog


def load_depths(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Copy the table of images with samples of more than 8 bits into a workspace, as `depths`."""
    load(connection, "depths", [] if catalog.depths is None else [catalog.depths], DEPTHS)


def _make_slices(run: Run, survey: Survey) -> StageResult:
    settings = run.settings.catalog
    here = scope(run.settings)
    payload = {"source": run.source, "catalog": settings}
    units = [
        Unit(
            address(run.destination, STAGE, VERSION, here, _slice_digest(run.source, here, entries)),
            payload,
            items=len(entries),
        )
        for entries in survey.slices(settings.slice_size)
    ]
    remake = ToRemake([unit.address for unit in units])
    plan = plan_units(STAGE, here, units, run.progress, remake=remake)
    missing = {unit.address.unit: unit for unit in plan.todo}
    for entries in survey.slices(settings.slice_size) if missing else ():
        unit = missing.get(_slice_digest(run.source, here, entries))
        if unit is not None:
            _listing(unit).write_bytes(_plain_parquet(listing_table(entries)))
    made = run_units(plan, make_slice, run)
    # If another run made a slice before its listing was written here, nobody has read it and cleared it away.
    for _ in in_threads(lambda unit: _listing(unit).delete(), list(missing.values())):
        pass
    return made


def _listing(unit: Unit) -> Location:
    """What a slice is made from; it goes when the slice is made."""
    return unit.address.folder / "listing.parquet"


def _slice_digest(source: Location, here: str, entries: Iterable[Entry]) -> str:
    return digest(here, source.url, [[entry.path, entry.bytes, entry.token] for entry in entries])


def _plain_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def make_slice(unit: Unit) -> Marker:
    """Read, hash and check every object of one slice; commit its rows as catalog.parquet."""
    work = Work(unit)
    source: Location = unit.payload["source"]
    settings: CatalogSettings = unit.payload["catalog"]
    listing = _listing(unit)
    try:
        entries = [Entry(**row) for row in pq.read_table(io.BytesIO(listing.read_bytes())).to_pylist()]
    except StorageError:
        # Another run has made the slice in the meantime and cleared its listing away.
        marker = unit.address.marker()
        if marker is None:
            raise
        return marker
    with work.watch.phase("start"):
        import congeal.images  # noqa: F401 - the first unit of a process pays for the import
    with work.watch.phase("decode"), ThreadPoolExecutor(readers_of(source)) as pool:
        findings = list(pool.map(lambda entry: examine(source, entry, settings), entries))
    columns = list(zip(*findings, strict=True))
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, CATALOG, strict=False)]
    table = pa.Table.from_arrays(arrays, schema=CATALOG)
    outputs = {"catalog.parquet": encode_table(table, CATALOG)}
    deep = sorted({(str(found.image_id), found.depth) for found in findings if found.depth > 8})
    if deep:
        ids, bits = zip(*deep, strict=True)
        outputs[DEPTHS_FILE] = encode_table(pa.table([ids, bits], schema=DEPTHS), DEPTHS)
    record = {"unread": sum(finding.unread for finding in findings), "deep": len(deep)}
    marker = work.commit(outputs, record)
    listing.delete()
    return marker


def examine(source: Location, entry: Entry, settings: CatalogSettings) -> Finding:
    """One object: identity and size if it is a sound image, else the reason why not. Never raises for it."""
    from congeal.errors import ImageError, ReaderMissingError
    from congeal.images import inspect

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
    try:
        data = (source / entry.path).read_bytes()
    except UserError as error:
        return failed(str(error), unread=True)
    image_id = hashlib.sha256(data).hexdigest()[:32]
    etag = entry.etag or hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        info = inspect(data, settings.max_pixels, settings.min_side)
    except ImageError as error:
        # Where a package is missing here, another run may have it.
        missing = isinstance(error, ReaderMissingError)
        return failed(error.reason, image_id=image_id, etag=etag, unread=missing)._replace(bytes=len(data))
    return Finding(
        image_id, entry.path, len(data), etag, info.width, info.height, info.format, "ok", None, unread=False,
        depth=info.depth,
    )  # fmt: skip


def _merge(run: Run, slices: StageResult) -> StageResult:
    here = digest(STAGE, "merge", VERSION, length=16)
    parts = [[entry.scope, entry.unit, entry.content] for entry in slices.units]
    base = run.destination / "stages" / STAGE
    folders = [base / scope_ / unit / content for scope_, unit, content in parts]
    slices_at = tuple(address(run.destination, STAGE, VERSION, scope_, unit) for scope_, unit, _ in parts)
    unit = Unit(
        address(run.destination, STAGE, VERSION, here, digest(here, parts)),
        {"tables": tuple(folder / "catalog.parquet" for folder in folders), "slices": slices_at},
        items=slices.items_made + slices.items_skipped,
    )
    return run_units(plan_units(STAGE, here, [unit], run.progress), make_merge, run, title="catalog, merged")


def make_merge(unit: Unit) -> Marker:
    """One table of all slices, sorted by uri, duplicates marked; out of core.

    Commits images.parquet and, if a slice has one, depths.parquet.
    """
    work = Work(unit)
    with workspace() as connection:
        load(connection, "entries", unit.payload["tables"], CATALOG)
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
        markers = read_markers(unit.payload["slices"])
        deep = [
            outputs_location(unit.address, marker) / DEPTHS_FILE
            for marker in markers
            if marker is not None and DEPTHS_FILE in marker.outputs
        ]
        if deep:
            load(connection, "depths", deep, DEPTHS)
            named = stream(connection, "SELECT DISTINCT image_id, bits FROM depths ORDER BY image_id")
            outputs[DEPTHS_FILE] = encode_table(named, DEPTHS)
    return work.commit(outputs, record)


class ToRemake:
    """Whether a committed slice may come out better now.

    What could not be read (no permission, say) may be readable by now, and nothing in the listing shows it.
    And a slice that was made before depths were noted must be looked at again if it holds a file that may be
    deep, or that was refused as something that is read today. All such slices are looked at together.
    """

    def __init__(self, places: list[UnitAddress]) -> None:
        self._places = places
        self._found: dict[str, bool] | None = None

    def __call__(self, marker: Marker) -> bool:
        """True for a slice to be made again."""
        if marker.record.get("unread"):
            return True
        if "deep" in marker.record:
            return False
        if self._found is None:
            found = in_threads(_may_differ, self._places)
            self._found = {place.unit: old for place, old in zip(self._places, found, strict=True)}
        return self._found.get(marker.unit, False)


def _may_differ(place: UnitAddress) -> bool:
    try:
        marker = place.marker()
        if marker is None or "deep" in marker.record:
            return False
        data = (outputs_location(place, marker) / "catalog.parquet").read_bytes()
        table = pq.read_table(io.BytesIO(data), columns=["format", "error"])
    except (DamagedError, StorageError, pa.ArrowInvalid):
        return False  # whoever reads it next says so
    if set(table["format"].to_pylist()) & MAY_BE_DEEP:
        return True
    return any((error or "").startswith(READ_BY_NOW) for error in table["error"].to_pylist())
