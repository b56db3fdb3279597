"""The columns of a collection's owner, copied into a unit of the catalog; without what was forgotten."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import duckdb
import pyarrow as pa

from infra.ledger.commits import digest
from infra.ledger.tombstones import Tombstones, read_tombstones
from infra.storage.location import Location
from tasks.catalog.catalog_slices import CATALOG, STAGE, VERSION
from tasks.catalog.own_columns import FILES, IMAGE_ID, OwnColumns
from tasks.catalog.source_listing import Survey
from tasks.execution.duckdb_workspace import insert, load, rows, scalar
from tasks.execution.stage_runner import Run, StageResult, Unit, Work, address, read_markers, report

BATCH = 20_000


class OwnFile(NamedTuple):
    """Columns of the collection's owner. key: the column that names images, "uri" or "image_id".

    origin: "list" or "columns", see `tasks.catalog.own_columns`. withheld: rows that name nothing in the
    source and are not kept, since what they name may have been forgotten.
    """

    place: Location
    key: str
    origin: str
    withheld: int = 0


def keep_own(
    run: Run, survey: Survey, images: Location, wanted: str
) -> tuple[tuple[OwnFile, ...], StageResult | None]:
    """Copy what lists and tables say of the images into a unit; a list may change while a run is at work.

    images: the merged catalog. wanted: a table of the workspace that stays.
    """
    some = [own for own in survey.own if own]
    if not some:
        return (), None
    here = digest(STAGE, "own", VERSION, length=16)
    stones = read_tombstones(run.destination)
    with survey.planning(keep=[wanted]) as connection:
        withheld = _withhold(connection, some, stones, images) if stones.digests else {}
        parts = [own.digest(connection) for own in some]
        name = digest(here, parts, *([sorted(withheld.values())] if withheld else []))
        place = address(run.destination, STAGE, VERSION, here, name)
        (marker,) = read_markers([place], run.progress)
        made = marker is None
        if marker is None:
            work = Work(Unit(place, None, items=0))
            with work.watch.phase("encode"):
                outputs = {
                    FILES[own.origin]: own.encoded(connection, _gone(own) if own.origin in withheld else None)
                    for own in some
                }
            unknown = {own.origin: _unknown(connection, own) for own in some if own.origin in withheld}
            record = {"own": {own.origin: own.key for own in some}}
            marker = work.commit(outputs, record | ({"withheld": unknown} if unknown else {}))
    folder, unknown = place.folder / marker.content, marker.record.get("withheld", {})
    files = tuple(
        OwnFile(folder / FILES[own.origin], own.key, own.origin, unknown.get(own.origin, 0)) for own in some
    )
    return files, StageResult(STAGE, (report(marker),), made=int(made), skipped=int(not made))


def _gone(own: OwnColumns) -> str:
    return f"gone_{own.origin}"


def _withhold(
    connection: duckdb.DuckDBPyConnection, some: list[OwnColumns], stones: Tombstones, images: Location
) -> dict[str, str]:
    """Fill a table of keys that are not to be kept for each of the columns that has some; a digest of it.

    A tombstone knows contents, not paths. So of rows that name images by path only those stay whose image is
    in the catalog, where a forgotten one is not.
    """
    load(connection, "catalogued", [images], CATALOG, "uri")
    found = {}
    for own in some:
        table = _gone(own)
        keys = f"SELECT key FROM {own.table} ANTI JOIN catalogued ON key = uri"  # noqa: S608 - our own names
        connection.execute(f"CREATE TABLE {table} AS {keys}{' LIMIT 0' if own.key == IMAGE_ID else ''}")
        if own.key == IMAGE_ID:
            held = [key for (key,) in rows(connection, f"SELECT key FROM {own.table}") if stones.holds(key)]  # noqa: S608
            for at in range(0, len(held), BATCH):
                insert(connection, table, pa.table({"key": pa.array(held[at : at + BATCH], pa.string())}))
        state = hashlib.blake2b(digest_size=16)
        for (key,) in rows(connection, f"SELECT key FROM {table} ORDER BY key"):  # noqa: S608
            state.update(key.encode() + b"\n")
        if scalar(connection, f"SELECT count(*) FROM {table}"):  # noqa: S608
            found[own.origin] = f"{own.origin} {state.hexdigest()}"
    return found


def _unknown(connection: duckdb.DuckDBPyConnection, own: OwnColumns) -> int:
    """How many of the keys that are withheld name nothing in the source; the others were forgotten."""
    if own.key == IMAGE_ID:
        return 0
    return int(scalar(connection, f"SELECT count(*) FROM {_gone(own)} ANTI JOIN listing ON key = path"))  # noqa: S608
