"""The catalog: every object of the source that is called like an image, identified, checked, or refused.

A slice of the listing is a unit; a last unit merges the slices into one table, sorted by uri, and marks the
duplicates. Images with samples of more than 8 bits are in a second, small table (see
`tasks.catalog.deep_image_table`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import duckdb

from congeal.results.schema.parquet_files import encode_table
from infra.errors import UserError
from infra.ledger.commits import Marker, digest, sealed
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.catalog.catalog_slices import CATALOG, STAGE, VERSION, SliceFacts, make_slices
from tasks.catalog.deep_image_table import DEPTHS, DEPTHS_FILE
from tasks.catalog.own_unit import OwnFile, keep_own
from tasks.catalog.source_listing import Survey
from tasks.execution.duckdb_workspace import create, load, scalar, stream, workspace
from tasks.execution.stage_runner import (
    Run,
    StageResult,
    Unit,
    UnitReport,
    Work,
    address,
    plan_units,
    run_units,
)

WANTED = "wanted"


@dataclass(frozen=True, slots=True)
class MergePayload:
    """The tables of the slices, and those of their images with samples of more than 8 bits."""

    tables: tuple[Location, ...]
    depths: tuple[Location, ...]


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
                load(connection, "catalog", [self.images], CATALOG, "image_id, uri, status")
                create(connection, WANTED, "SELECT image_id, uri FROM catalog WHERE status = 'ok'")
                connection.execute(f"COMMENT ON TABLE wanted IS '{self.identity}'")
            yield connection


def stage(run: Run, survey: Survey) -> Catalog:
    """Check every image of the survey and merge the findings.

    Raises UserError if the source has no image, or if not one image of it can be used.
    """
    survey.require_images(run.settings.catalog)
    slices = make_slices(run, survey)
    merged = _merge(run, slices)
    (made,) = merged.units
    folder = sealed(_folder(run, made))
    own, given = keep_own(run, survey, folder / "images.parquet", WANTED)
    record, deep = cast("SliceFacts", made.kept)
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
        place, fault = run.source.url, catalog.first_error
        if catalog.failed == 1:
            raise UserError(f"The only image of {place} cannot be used: {fault}.")
        raise UserError(f"None of the {catalog.failed:,} images of {place} can be used; the first: {fault}.")
    return catalog


def _folder(run: Run, made: UnitReport) -> Location:
    """The outputs of a unit of the catalog."""
    return address(run.destination, STAGE, VERSION, made.scope, made.unit).folder / made.content


def _merge(run: Run, slices: StageResult) -> StageResult:
    here = digest(STAGE, "merge", VERSION, length=16)
    parts = [[entry.scope, entry.unit, entry.content] for entry in slices.units]
    folders = [(_folder(run, made), cast("SliceFacts", made.kept)) for made in slices.units]
    payload = MergePayload(
        tuple(folder / "catalog.parquet" for folder, _ in folders),
        tuple(folder / DEPTHS_FILE for folder, facts in folders if facts.deep),
    )
    unit = Unit(
        address(run.destination, STAGE, VERSION, here, digest(here, parts)),
        payload,
        items=slices.items_made + slices.items_skipped,
    )
    plan = plan_units(STAGE, here, [unit], run.progress, keep=SliceFacts.of)
    return run_units(plan, make_merge, run, title="catalog, merged")


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
