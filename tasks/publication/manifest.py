"""`published/tables.json`: the data dictionary, and of which files each table of the current version is made.

It lets a reader without congeal find the files that count among those of older versions.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from congeal.results.schema.table_names import TABLE_NAMES
from infra.errors import MissingError, UserError
from infra.ledger.commits import Marker, near_marker, outputs_location
from infra.ledger.publications import Publication
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution import stage_versions

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "published/tables.json"
# SHA-256 of the dictionary as `_text` writes it, without files and without anybody's own columns: what says
# it again is known to be right without pyarrow. Where it is not that of the dictionary, all is compared.
DICTIONARY = "0a88f9e112ed344a4bf2ab89aa7ff1dfb361a8f569bf32d90a92b1a3f2a622b8"


def manifest(destination: Location, publication: Publication) -> bytes:
    """The same bytes for the same version: paths relative to the destination, rows and bytes of every file.

    Raises UserError if a unit of the index is gone.
    """
    return _manifest(_markers(destination, publication), destination)


def _manifest(markers: list[Marker], destination: Location) -> bytes:
    from congeal.results.schema.dictionary import dictionary

    facts = dictionary(_own_fields(markers))
    files = _tables(markers, destination)
    for name, table in facts["tables"].items():
        table["files"] = files[name]
    return _text(facts)


def _markers(destination: Location, publication: Publication) -> list[Marker]:
    """Of all units of the index."""
    named = publication.units[stage_versions.INDEX]
    found = list(in_threads(lambda unit: near_marker(destination, stage_versions.INDEX, unit), named))
    missing = [unit for unit, marker in zip(named, found, strict=True) if marker is None]
    if missing:
        raise UserError(
            f"The unit index/{missing[0]} in {destination} vanished while it was used: run again."
        )
    return [marker for marker in found if marker is not None]


def _tables(markers: list[Marker], destination: Location) -> dict[str, Any]:
    """The files of every table."""
    return {
        name: sorted(
            (_file(destination, marker, name) for marker in markers if _path(name) in marker.outputs),
            key=lambda file: str(file["path"]),
        )
        for name in TABLE_NAMES
    }


def _text(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, indent=1).encode() + b"\n"


def describe(destination: Location, publication: Publication) -> None:
    """Write it. Before the version is published: all that it names is there by then."""
    (destination / NAME).write_bytes(manifest(destination, publication))


def described(destination: Location, publication: Publication) -> bool:
    """True if what lies there says what it should.

    One that an earlier version of the schema wrote describes its columns in its own words: there it is enough
    that it names the files.
    """
    try:
        there = (destination / NAME).read_bytes()
    except MissingError:
        return False
    markers = _markers(destination, publication)
    if _says(there, markers, destination):
        return True
    wanted = _manifest(markers, destination)
    return there == wanted or _earlier_files(there) == _files(json.loads(wanted))


def _says(there: bytes, markers: list[Marker], destination: Location) -> bool:
    """True if these are the bytes of the manifest; False if they may or may not be."""
    if any("own" in marker.record for marker in markers):
        return False
    try:
        facts = json.loads(there)
        if _text(facts) != there or _files(facts) != _tables(markers, destination):
            return False
        for table in facts["tables"].values():
            if list(table)[-1] != "files":
                return False
            del table["files"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return False
    return hashlib.sha256(_text(facts)).hexdigest() == DICTIONARY


def _earlier_files(there: bytes) -> dict[str, Any] | None:
    """The files that a manifest of an earlier schema version names; None if it is none."""
    from congeal.results.schema.tables import SCHEMA_VERSION

    try:
        facts = json.loads(there)
        return _files(facts) if facts["schema_version"] < SCHEMA_VERSION else None
    except (ValueError, KeyError, TypeError):
        return None


def _files(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: table["files"] for name, table in facts["tables"].items()}


def _own_fields(markers: list[Marker]) -> list[pa.Field]:
    """The columns of the collection's owner, as the unit of the table of images notes them."""
    from congeal.results.schema.own_fields import kind_of, own_field

    own = next((marker.record["own"] for marker in markers if "own" in marker.record), None)
    return [] if own is None else [own_field(name, kind_of(kind)) for name, kind in own["columns"]]


def _path(table: str) -> str:
    return f"{table}.parquet"


def _file(destination: Location, marker: Marker, table: str) -> dict[str, Any]:
    place = outputs_location(destination, marker) / _path(table)
    return {
        "path": place.url.removeprefix(destination.url + "/"),
        "rows": marker.record.get("rows", {}).get(table),
        "bytes": marker.outputs[_path(table)].bytes,
    }
