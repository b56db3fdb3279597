"""An image is taken out of all that a destination holds: of every version, and of what no version names.

First it is written down what is to go, then a tombstone, then everything is rewritten, unit by unit, of each
the outputs before the marker; at the end what was written down goes. A kill leaves a list with which the next
`congeal forget` goes on; until then no run begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow.dataset as pads

from congeal.results.published_tables import PublishedTables
from congeal.results.schema.instances import FURTHER, OF_SEVERAL
from infra.errors import DamagedError, MissingError, UserError
from infra.ledger.commits import MARKER, Marker, find_marker
from infra.ledger.journal import JournalEntry, entries, place_of
from infra.ledger.journal import encoded as journal_bytes
from infra.ledger.publications import (
    Publication,
    check_layout,
    current_name,
    published,
    replace_version,
    versions,
)
from infra.ledger.run_lock import PRUNE, RunLock, locked
from infra.ledger.tombstones import LIST, bury, read_tombstones
from infra.storage.location import Location
from infra.threads import in_threads
from tasks.atlases.instance_files import COUNTS
from tasks.catalog.skipped_files import NAME as PASSED_OVER
from tasks.execution.stage_versions import VERSIONS
from tasks.maintenance.forget_units import ID, Forgetting, empty_rows, rewrite
from tasks.publication import current_iceberg_tables, manifest

REPORT = "report"
TABLES_FOLDER = "tables"
AT_ONCE = 64  # units between two signs that it goes on
_TEXTS = (".json", ".js", ".md", ".html", ".text", ".txt", ".csv")


def forget(destination: Location, images: Sequence[str]) -> dict[str, Any]:
    """Take images, named by id or path, out of a destination; and whatever an earlier call had begun.

    All files with the same bytes go. No run may be at work. Returns how many `images` (files) went, the
    clusters that are solved anew by the next run, and how many units were rewritten. What was forgotten
    already costs nothing. Raises UserError if nothing is published, or an image is in no version.
    """
    if not check_layout(destination) or published(destination) is None:
        raise UserError(f"Nothing is published in {destination}: there is nothing to forget.")
    with locked(destination, PRUNE) as lock:
        begun = _begun(destination)
        ids, uris = _found(destination, images)
        ids |= begun[0]
        uris |= begun[1]
        if not ids:
            return _facts(destination, Forgetting(frozenset(), frozenset()), 0)
        what = Forgetting(frozenset(ids), frozenset(uris))
        noted = json.dumps({"ids": sorted(ids), "uris": sorted(uris)}).encode() + b"\n"
        (destination / LIST).write_bytes(noted)
        bury(destination, sorted(ids))
        rewritten = _rewrite_all(destination, what, lock)
        lock.require_held()
        (destination / LIST).delete()
    return _facts(destination, what, rewritten)


def what_is_left(destination: Location, names: Sequence[str] = ()) -> list[str]:
    """Sentences on what is left of what was forgotten: ids that have a tombstone, wherever they stand; rows
    of features that are not empty; outputs that no marker names; and `names`, such as paths, wherever they
    stand in a table or a text.
    """
    stones = read_tombstones(destination)
    faults = []
    if (destination / LIST).exists():
        faults.append(f"{destination / LIST} names what is being forgotten: `congeal forget` goes on.")

    def look(path: str) -> list[str]:
        place = destination / path
        tokens, texts = _words(place)
        found = [f"{place} holds the id of a forgotten image." for one in tokens if stones.holds(one)][:1]
        return found + [f"{place} holds the name {name!r}." for name in names if name in texts]

    paths = sorted(item.path for item in destination.objects(follow_links=False))
    for found in in_threads(look, [path for path in paths if not path.startswith("working/")]):
        faults += found
    for marker in _markers(destination):
        faults += [f"{place} holds what was forgotten." for place in empty_rows(destination, marker)]
    for stage, scope, unit, marker_ in _units(destination):
        folder = destination / f"stages/{stage}/{scope}/{unit}"
        known = {MARKER} | ({marker_.content} if marker_ is not None else set())
        faults += [
            f"{folder / name} is named by no marker." for name in folder.children() if name not in known
        ]
    return faults


def _begun(destination: Location) -> tuple[set[str], set[str]]:
    try:
        found = json.loads((destination / LIST).read_bytes())
        return set(found["ids"]), set(found["uris"])
    except MissingError:
        return set(), set()
    except (ValueError, KeyError, TypeError) as fault:
        raise DamagedError(
            f"{destination / LIST} is damaged: delete it, and name the images again."
        ) from fault


def _found(destination: Location, images: Sequence[str]) -> tuple[set[str], set[str]]:
    """Ids and paths of images, looked for in every version; all files of the same bytes."""
    ids: set[str] = set()
    uris: set[str] = set()
    if not images:
        return ids, uris
    stones = read_tombstones(destination)
    missing = {name for name in images if not stones.holds(name)}
    tables = []
    for version in versions(destination):
        publication = published(destination, version)
        if publication is not None:
            tables.append(PublishedTables(destination, publication).dataset("images"))
    for table in tables:
        asked = pads.field("image_id").isin(list(images)) | pads.field("uri").isin(list(images))
        for row in table.to_table(columns=["image_id", "uri"], filter=asked).to_pylist():
            missing -= {row["image_id"], row["uri"]}
            if row["image_id"] is None:
                raise UserError(
                    f"The image {row['uri']!r} could not be read, so that no more than its name is here: "
                    "take it out of the source, and run."
                )
            ids.add(row["image_id"])
    if missing:
        raise UserError(
            f"No version of {destination} has the image {min(missing)!r}: name an id or a path relative to "
            "the source."
        )
    if not ids:
        return ids, uris  # what is named was forgotten before
    for table in tables:
        same = pads.field("image_id").isin(sorted(ids))
        uris |= set(table.to_table(columns=["uri"], filter=same)["uri"].to_pylist())
    return ids, uris


def _rewrite_all(destination: Location, what: Forgetting, lock: RunLock) -> int:
    rewritten = 0
    for stage in VERSIONS:  # in their order: the index is told by the atlases
        units = list(_units(destination, [stage]))
        for at, (_, scope, unit, marker) in enumerate(units):
            if at % AT_ONCE == 0:
                lock.require_held()
            folder = destination / f"stages/{stage}/{scope}/{unit}"
            if marker is None:
                folder.delete()
                continue
            rewritten += rewrite(destination, marker, what)
            now = find_marker(destination, stage, f"{scope}/{unit}")
            for name in folder.children():
                if now is not None and name not in (MARKER, now.content):
                    (folder / name).delete()
    _scrub_journal(destination, what)
    ended = set(what.ended)
    for name in versions(destination):
        _version(destination, name, ended)
    for stage, scope, unit, _ in list(_units(destination)):
        if f"{scope}/{unit}" in ended:
            folder = destination / f"stages/{stage}/{scope}/{unit}"
            (folder / MARKER).delete()
            folder.delete()
    _describe_anew(destination, versions(destination))
    for path in (REPORT, PASSED_OVER, "working/in-process.json"):
        (destination / path).delete()
    return rewritten


def _version(destination: Location, name: str, ended: set[str]) -> None:
    """Write a version without what has ended, its counts those of its tables."""
    publication = published(destination, name)
    if publication is None:
        return
    units = {
        stage: [unit for unit in named if unit not in ended] for stage, named in publication.units.items()
    }
    counts = dict(publication.counts)
    for unit in units.get("index", ()):
        marker = find_marker(destination, "index", unit)
        if marker is not None and "counts" in marker.record:
            counts |= marker.record["counts"]
    if FURTHER in counts:
        counts = _recounted(destination, counts, units.get("atlases", ()))
    gone = len(publication.units.get("atlases", ())) - len(units.get("atlases", ()))
    counts["clusters"] = counts.get("clusters", 0) - gone
    after = publication.model_copy(update={"units": units, "counts": counts})
    if after != publication:
        replace_version(destination, name, after)


def _recounted(destination: Location, counts: dict[str, int], atlases: Iterable[str]) -> dict[str, int]:
    """The counts with the further instances that the atlases still have."""
    found = images = 0
    for unit in atlases:
        marker = find_marker(destination, "atlases", unit)
        held = {} if marker is None else marker.record.get(COUNTS, {})
        found, images = found + held.get("found", 0), images + held.get("images", 0)
    left = {name: count for name, count in counts.items() if name not in (FURTHER, OF_SEVERAL)}
    return left | ({FURTHER: found, OF_SEVERAL: images} if found else {})


def _describe_anew(destination: Location, names: list[str]) -> None:
    current = published(destination)
    if current is None:
        return
    manifest.describe(destination, current)
    if not current_iceberg_tables.begun(destination):
        return
    (destination / TABLES_FOLDER).delete()
    for name in names:
        publication = published(destination, name)
        if publication is not None:
            _raise(current_iceberg_tables.write(destination, publication, name))
    _raise(current_iceberg_tables.point(destination, current.number))


def _raise(fault: str | None) -> None:
    if fault:
        raise UserError(fault)


def _scrub_journal(destination: Location, what: Forgetting) -> None:
    for entry in entries(destination):
        facts = dict(entry.facts)
        images = {image: pair for image, pair in facts.get("images", {}).items() if image not in what.ids}
        medoids = {name: image for name, image in facts.get("medoids", {}).items() if image not in what.ids}
        if "images" in facts:
            facts["images"] = images
        if "medoids" in facts:
            facts["medoids"] = medoids
        why = None if what.names(entry.why) else entry.why
        after: JournalEntry = entry.model_copy(update={"facts": facts, "why": why})
        if after != entry:
            place_of(destination, entry.number).write_bytes(journal_bytes(after.checked()))


def _units(
    destination: Location, stages: Iterable[str] = tuple(VERSIONS)
) -> Iterator[tuple[str, str, str, Marker | None]]:
    """Stage, scope, unit and marker of every folder of a unit; None: it is not done."""

    def read(unit: tuple[str, str, str]) -> tuple[str, str, str, Marker | None]:
        return (*unit, find_marker(destination, unit[0], f"{unit[1]}/{unit[2]}"))

    for stage in stages:
        folder = destination / "stages" / stage
        names = [(stage, scope, unit) for scope in folder.children() for unit in (folder / scope).children()]
        yield from in_threads(read, names)


def _markers(destination: Location) -> Iterator[Marker]:
    for *_, marker in _units(destination):
        if marker is not None:
            yield marker


def _words(place: Location) -> tuple[set[str], Any]:
    """What looks like an id in a file, and its texts: of a table those of its columns, else the file's."""
    import pyarrow as pa

    data = place.read_bytes()
    texts: Any
    if place.url.endswith(".parquet"):
        from tasks.maintenance.forget_units import _read

        table = _read(place)
        texts = set()
        for column in table.columns:
            kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
            if pa.types.is_string(kind):
                texts |= {str(one) for one in column.cast(pa.string()).unique().to_pylist() if one}
    elif place.url.endswith(_TEXTS):
        texts = data.decode("utf-8", "replace")
    else:
        texts = set()
    whole = "\n".join(texts).encode() if isinstance(texts, set) else data
    return {one.decode() for one in ID.findall(whole)}, texts


def _facts(destination: Location, what: Forgetting, rewritten: int) -> dict[str, Any]:
    current: Publication | None = published(destination)
    return {
        "destination": destination.url,
        "version": current_name(destination),
        "source": current.source if current else None,
        "images": len(what.ids),
        "files": len(what.uris),
        "units": rewritten,
        "clusters_to_solve": sorted({str(one["cluster_id"]) for one in what.atlases.values()}),
        "clusters_ended": sorted({name for name in what.ended.values() if name}),
    }
