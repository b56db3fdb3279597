"""What is damaged goes, and what came from it; the next run makes both anew.

Of each unit the marker goes before the outputs: whenever this ends, by itself or by a kill, what is left of
a unit is all of it or nothing that anyone reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infra.errors import DamagedError, UserError
from infra.ledger.commits import LAYOUT, MARKER, check_unit, find_marker
from infra.ledger.publications import (
    NAME,
    POINTER,
    Publication,
    check_layout,
    current_name,
    point_to,
    published,
    versions,
    withdraw,
)
from infra.ledger.run_lock import REPAIR, RunLock, locked
from infra.storage.location import Location
from infra.threads import in_threads, run_in_threads
from tasks.execution.stage_runner import batched
from tasks.execution.stage_versions import VERSIONS
from tasks.maintenance.derived_units import Name, UnitFacts, derived, unchecked
from tasks.maintenance.stored_shapes import misshapen
from tasks.publication import current_iceberg_tables

AT_ONCE = 64  # units between two signs that the repair goes on
MOST_NAMED = 100


@dataclass
class _Found:
    """What is in a destination.

    Attributes:
        faults: a sentence for each thing that is damaged.
        damaged: the units.
        facts: of all units whose markers can be read, damaged or not.
        versions: those that can be read, by the name of their file, oldest first.
        broken: names of those that cannot.
        pointer: whether the pointer names none of `versions`.
        mark: whether what makes it a destination is damaged.
    """

    faults: list[str] = field(default_factory=list)
    damaged: set[Name] = field(default_factory=set)
    facts: dict[Name, UnitFacts] = field(default_factory=dict)
    versions: dict[str, Publication] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    pointer: bool = False
    mark: bool = False
    current: str | None = None


def repair(destination: Location, *, dry_run: bool = False, only_damaged: bool = False) -> dict[str, Any]:
    """Remove every unit that is not what was written, and every one that came from it.

    A pointer that is damaged is written anew, to the newest version; a version that is damaged, or older and
    left without units that only it names, goes. What the current version grew from may be damaged without
    harm to it, if it was checked when it was read. only_damaged: keep what came from damaged units where it
    was made from checked inputs, so that it is sound. No run may be at work. Returns the faults as sentences,
    `units` removed by stage, how many of them were `damaged` and how many `derived`, names of the first
    hundred, and `versions` that went. Raises UserError if there is no destination or somebody is at work.
    """
    if not destination.is_prefix():
        raise UserError(f"There is nothing in {destination}: there is nothing to repair.")
    with nullcontext() if dry_run else locked(destination, REPAIR) as lock:
        found = _examined(destination)
        sound = {name: facts for name, facts in found.facts.items() if name not in found.damaged}
        order = [*(one.units for one in found.versions.values()), _unnamed(found)]
        # What only older versions name was checked when the newest grew from it, and is not made again.
        old = found.damaged if only_damaged else found.damaged - _current_units(found)
        came = unchecked(old, order, sound, found.facts) | derived(found.damaged - old, order, found.facts)
        came = {name for name in came if name in found.facts} - found.damaged
        removed = found.damaged | came
        lost = _lost(found, removed)
        if lock is not None:
            _carry_out(destination, found, removed, lost, lock)
    return {
        "destination": destination.url,
        "dry_run": dry_run,
        "faults": found.faults,
        "damaged": len(found.damaged),
        "derived": len(came),
        "units": {stage: sum(name[0] == stage for name in removed) for stage in VERSIONS},
        "removed": ["/".join(name) for name in sorted(removed)[:MOST_NAMED]],
        "versions": [name.removesuffix(".json") for name in (*found.broken, *lost)],
        "pointer": found.pointer,
    }


def _examined(destination: Location) -> _Found:
    found = _Found()
    try:
        if not check_layout(destination):
            raise UserError(f"{destination} is no destination of congeal's: there is nothing to repair.")
    except DamagedError as error:
        found.mark = True
        found.faults.append(str(error))
    _examine_versions(destination, found)
    for name, facts, faults in in_threads(partial(_examine, destination), _units(destination)):
        if facts is not None:
            found.facts[name] = facts
        if faults:
            found.damaged.add(name)
            found.faults += faults
    return found


def _examine_versions(destination: Location, found: _Found) -> None:
    for name in versions(destination):
        try:
            publication = published(destination, name)
        except DamagedError as error:
            found.broken.append(name)
            found.faults.append(str(error))
        else:
            if publication is not None:
                found.versions[name] = publication
    try:
        found.current = current_name(destination)
        found.pointer = found.current is not None and found.current not in found.versions
    except DamagedError as error:
        found.pointer = True
        found.faults.append(str(error))


def _units(destination: Location) -> Iterator[Name]:
    for stage in VERSIONS:
        base = destination / "stages" / stage
        for scope in base.children():
            yield from ((stage, f"{scope}/{unit}") for unit in (base / scope).children())


def _examine(destination: Location, name: Name) -> tuple[Name, UnitFacts | None, list[str]]:
    """A unit's facts, None if it is not done or they cannot be read, and what is wrong with it."""
    try:
        marker = find_marker(destination, *name)
    except DamagedError as error:
        return name, None, [str(error)]
    if marker is None:
        return name, None, []
    faults = check_unit(destination, marker, deep=True) or misshapen(destination, marker)
    return name, UnitFacts.of(marker), faults


def _unnamed(found: _Found) -> dict[str, list[str]]:
    """The units that no version names, as if they were one: of a run that was killed, perhaps."""
    named = {
        (stage, name)
        for publication in found.versions.values()
        for stage, names in publication.units.items()
        for name in names
    }
    rest = sorted((set(found.facts) | found.damaged) - named)
    return {stage: [name for of, name in rest if of == stage] for stage in VERSIONS}


def _lost(found: _Found, removed: set[Name]) -> list[str]:
    """Older versions that no run makes whole again: units went that the current one does not name."""
    current = _newest(found)
    if current is None:
        return []
    gone = removed - _current_units(found)
    return [
        name
        for name, publication in found.versions.items()
        if name != current
        and any((stage, unit) in gone for stage, units in publication.units.items() for unit in units)
    ]


def _newest(found: _Found) -> str | None:
    """The version that is current, or will be."""
    return found.current if found.current in found.versions else next(reversed(found.versions), None)


def _current_units(found: _Found) -> set[Name]:
    current = _newest(found)
    if current is None:
        return set()
    return {(stage, name) for stage, names in found.versions[current].units.items() for name in names}


def _carry_out(
    destination: Location, found: _Found, removed: set[Name], lost: list[str], lock: RunLock
) -> None:
    lock.require_held()
    if found.mark:
        (destination / NAME).write_bytes(json.dumps({"layout": LAYOUT}).encode() + b"\n")
    if found.pointer:
        newest = next(reversed(found.versions), None)
        if newest is None:
            (destination / POINTER).delete()
        else:
            point_to(destination, newest)
    gone = (*found.broken, *lost)
    kept = {name.removesuffix(".json") for name in found.versions if name not in gone}
    described = current_iceberg_tables.leaving(destination, kept) if gone else None
    for name in gone:
        withdraw(destination, name)
    if described is not None:
        current_iceberg_tables.leave(destination, described, kept)
    for names in batched(sorted(removed), AT_ONCE):
        lock.require_held()
        run_in_threads(partial(_remove, destination), names)


def _remove(destination: Location, name: Name) -> None:
    folder = destination / "stages" / "/".join(name)
    (folder / MARKER).delete()
    folder.delete()
