"""`published/tables.json`: the data dictionary, and of which files each table of the current version is made.

It lets a reader without congeal find the files that count among those of older versions.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from congeal.results.schema.dictionary import dictionary
from congeal.results.schema.own_fields import kind_of, own_field
from congeal.results.schema.tables import SCHEMA_VERSION
from infra.errors import MissingError, UserError
from infra.ledger.commits import Marker, find_marker, outputs_location
from infra.ledger.publications import Publication
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.execution import stage_versions

NAME = "published/tables.json"


def manifest(destination: Location, publication: Publication) -> bytes:
    """The same bytes for the same version: paths relative to the destination, rows and bytes of every file.

    Raises UserError if a unit of the index is gone.
    """
    named = publication.units[stage_versions.INDEX]
    markers = list(in_threads(lambda unit: find_marker(destination, stage_versions.INDEX, unit), named))
    facts = dictionary(_own_fields(markers))
    for name, table in facts["tables"].items():
        table["files"] = sorted(
            (
                _file(destination, marker, name)
                for marker in markers
                if marker and _path(name) in marker.outputs
            ),
            key=lambda file: str(file["path"]),
        )
    missing = [unit for unit, marker in zip(named, markers, strict=True) if marker is None]
    if missing:
        raise UserError(
            f"The unit index/{missing[0]} in {destination} vanished while it was used: run again."
        )
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
    wanted = manifest(destination, publication)
    return there == wanted or _earlier_files(there) == _files(json.loads(wanted))


def _earlier_files(there: bytes) -> dict[str, Any] | None:
    """The files that a manifest of an earlier schema version names; None if it is none."""
    try:
        facts = json.loads(there)
        return _files(facts) if facts["schema_version"] < SCHEMA_VERSION else None
    except (ValueError, KeyError, TypeError):
        return None


def _files(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: table["files"] for name, table in facts["tables"].items()}


def _own_fields(markers: list[Marker | None]) -> list[pa.Field]:
    """The columns of the collection's owner, as the unit of the table of images notes them."""
    own = next((marker.record["own"] for marker in markers if marker and "own" in marker.record), None)
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
