"""The four tables as Apache Iceberg tables: `tables/<name>`, for readers that know nothing of congeal.

What describes a version is written before the version is published, and the pointers are moved after it. So
`published/current.json` remains the one pointer that changes all four tables at once: whoever takes the
number from there finds `tables/<name>/metadata/v<number>.metadata.json` of each. Whoever goes by the tables'
own pointers may, while they are being moved, see one table a version ahead of another.

pyiceberg is imported when something is written or checked; a run with nothing to do only looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from congeal.results.schema.table_names import TABLE_NAMES
from infra.errors import DamagedError, MissingError, UserError
from infra.ledger.commits import Marker, near_marker, outputs_location
from infra.ledger.publications import Publication, current_name, versions
from infra.ledger.run_lock import RUN, locked
from infra.storage.location import Location
from infra.storage.read_only_files import Sized
from infra.threads import in_threads, run_in_threads
from tasks.execution.stage_versions import INDEX

if TYPE_CHECKING:
    from infra.iceberg.table_metadata import Table

FOLDER = "tables"


@dataclass(frozen=True)
class Described:
    """What of the folders of the tables goes with versions that go: paths below them, and their bytes."""

    removed: dict[str, int]

    @property
    def bytes(self) -> int:
        """What is freed."""
        return sum(self.removed.values())


def write(destination: Location, publication: Publication, name: str) -> str | None:
    """Describe a version, before it is published; a sentence if that could not be done.

    name: of the version's file. Whatever goes wrong here costs a run nothing but these descriptions.
    """
    try:
        _write(destination, publication, name)
    except Exception as error:
        return _not_written(destination, error)
    return None


def point(destination: Location, number: int) -> str | None:
    """Move the tables' own pointers to a version; a sentence if that could not be done."""
    try:
        for table in _tables(destination):
            table.point(number)
    except Exception as error:
        return _not_written(destination, error)
    return None


def refresh(destination: Location, publication: Publication) -> str | None:
    """Make the tables those of the current version, if a glance says that they are not."""
    name = current_name(destination)
    if name is None or _describes(destination, publication.number, name):
        return None
    with locked(destination, RUN):
        return write(destination, publication, name) or point(destination, publication.number)


def begun(destination: Location) -> bool:
    """True if there are such tables: they can be switched off, and older destinations have none."""
    return bool((destination / FOLDER).children())


def elsewhere(destination: Location, publication: Publication) -> str | None:
    """A sentence, if the tables are those of another place, from which this one was copied or moved."""
    for table in TABLE_NAMES:
        found = _glance(destination, table, publication.number)
        if found is not None and found[0] != (destination / FOLDER / table).url:
            return (
                f"The Iceberg tables in {destination}/{FOLDER} were written for {found[0]} and name its "
                "files: readers that go by them read that place, until `congeal run` writes them anew."
            )
    return None


def faults(destination: Location, publication: Publication, *, current: bool) -> Iterator[str]:
    """What is wrong with the description of a version, a sentence each. current: it should be pointed to."""
    if not current and _glance(destination, next(iter(TABLE_NAMES)), publication.number) is None:
        return  # published before there were such tables
    files = _files(destination, publication)
    for name, table in zip(TABLE_NAMES, _tables(destination), strict=True):
        yield from table.faults(publication.number, files[name])
        if current and _hint(destination, name) != publication.number:
            place, number = table.place / "metadata/version-hint.text", publication.number
            yield f"{place} does not name version {number}: delete {table.place} and run again."


def leaving(destination: Location, kept: set[str]) -> Described:
    """What goes with the versions that are not kept. kept: names of versions, without their ending."""
    numbers = {f"v{number}.metadata.json" for number in _numbers(kept)}
    removed = {}
    for item in (destination / FOLDER).objects():
        table, _, file = item.path.partition("/metadata/")
        if table not in TABLE_NAMES:
            continue
        if file.endswith(".metadata.json") and file[:1] == "v" and file[1:-14].isdigit():
            goes = file not in numbers
        else:
            stem = file.removeprefix("snap-").removesuffix(".avro").removesuffix("-m0")
            goes = file.endswith(".avro") and stem.partition("-")[0].isdigit() and stem not in kept
        if goes:
            removed[item.path] = item.bytes
    return Described(dict(sorted(removed.items())))


def leave(destination: Location, described: Described, kept: set[str]) -> None:
    """Take those snapshots out of the versions that are kept, then remove what described them."""
    if not described.removed:
        return
    numbers = _numbers(kept)
    for table in _tables(destination):
        for number in sorted(numbers):
            table.trim(number, numbers)
    for path in described.removed:
        (destination / FOLDER / path).delete()


def _write(destination: Location, publication: Publication, name: str) -> None:
    from congeal.results.schema.tables import TABLES
    from infra.iceberg.table_metadata import TableVersion

    files = _files(destination, publication)
    created = int(datetime.fromisoformat(publication.created).timestamp() * 1000)
    earlier = _numbers({one.removesuffix(".json") for one in versions(destination)})
    stem = name.removesuffix(".json")

    def one(named: tuple[str, Table]) -> None:
        table, place = named
        found = TableVersion(publication.number, stem, created, files[table], TABLES[table])
        place.write(found, earlier)

    run_in_threads(one, zip(TABLE_NAMES, _tables(destination), strict=True))


def _tables(destination: Location) -> list[Table]:
    from infra.iceberg.table_metadata import Table

    return [Table(destination, f"{FOLDER}/{name}") for name in TABLE_NAMES]


def _files(destination: Location, publication: Publication) -> dict[str, list[Sized]]:
    """The files of every table of a version, in the order of their rows."""

    def read(unit: str) -> Marker:
        marker = near_marker(destination, INDEX, unit)
        if marker is None:
            raise DamagedError(f"The unit index/{unit} in {destination} is gone: run again.")
        return marker

    markers = list(in_threads(read, publication.units[INDEX]))
    markers.sort(key=lambda marker: list(marker.record.get("first", ())))
    return {
        name: [
            Sized(outputs_location(destination, marker) / f"{name}.parquet", found.bytes)
            for marker in markers
            if (found := marker.outputs.get(f"{name}.parquet")) is not None
        ]
        for name in TABLE_NAMES
    }


def _describes(destination: Location, number: int, name: str) -> bool:
    """True if all tables point to a version and there is metadata of it, of this place, at a glance."""

    def look(table: str) -> bool:
        return _hint(destination, table) == number and _glance(destination, table, number) == (
            (destination / FOLDER / table).url,
            name.removesuffix(".json"),
        )

    return all(in_threads(look, list(TABLE_NAMES)))


def _hint(destination: Location, table: str) -> int | None:
    try:
        return int((destination / FOLDER / table / "metadata/version-hint.text").read_bytes())
    except (MissingError, ValueError):
        return None


def _glance(destination: Location, table: str, number: int) -> tuple[Any, Any] | None:
    """Place and version that the metadata of a number names; None if there is none that can be read."""
    try:
        found = json.loads((destination / FOLDER / table / f"metadata/v{number}.metadata.json").read_bytes())
        named = {one["snapshot-id"]: one["summary"]["congeal.publication"] for one in found["snapshots"]}
        return found["location"], named[number]
    except (MissingError, ValueError, KeyError, TypeError):
        return None


def _numbers(names: set[str]) -> set[int]:
    return {int(name.partition("-")[0]) for name in names}


def _not_written(destination: Location, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return (
        f"The Iceberg tables in {destination}/{FOLDER} were not brought up to date ({kind}{reason}): the "
        "same command tries again, publish.iceberg=false does without."
    )
