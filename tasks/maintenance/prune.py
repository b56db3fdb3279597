"""Old versions go, and with them the units that no version needs any more.

First the versions, then the units, of each its marker before its outputs: whenever this ends, by itself or
by a kill, what is left of a version that is kept is all of it, and what is left of the rest nobody reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from congeal_floors.plurals import counted
from infra.errors import DamagedError, MissingError, UserError
from infra.ledger.commits import MARKER, find_marker
from infra.ledger.publications import Publication, check_layout, current_name, published, versions, withdraw
from infra.ledger.run_lock import PRUNE, SILENCE, RunLock, locked
from infra.storage.folder_listing import NOT_FOLLOWED
from infra.storage.local_files import partials
from infra.storage.location import Location, Skipped
from infra.threads import in_threads, run_in_threads
from tasks.execution.stage_runner import batched
from tasks.execution.stage_versions import VERSIONS
from tasks.publication import current_iceberg_tables

AT_ONCE = 64  # units between two signs that the pruning goes on
MOST_NAMED = 100  # of what is left out; the rest is only counted
UNKNOWN_STAGE = "a stage that this congeal does not know"
BEHIND_LINK = "a link, and what it leads to may be anybody's"
NO_UNIT = "not in the folder of a unit"


@dataclass
class _Unit:
    """What lies in the folder of one unit: bytes by content folder, and those of the marker and the rest."""

    stage: str
    name: str  # "scope/unit"
    contents: dict[str, int] = field(default_factory=dict)
    rest: int = 0
    committed: bool = False

    @property
    def bytes(self) -> int:
        return self.rest + sum(self.contents.values())


@dataclass(frozen=True)
class _Plan:
    """What a pruning does. left_out: what lies among the units and is none, at most MOST_NAMED of it."""

    kept: list[str]
    removed: list[str]
    young: list[_Unit]
    units: list[_Unit]
    leftovers: list[tuple[_Unit, str]]  # content folders that a needed unit's marker does not name
    described: current_iceberg_tables.Described  # of the Iceberg tables
    left_out: list[Skipped]
    left_out_count: int

    @property
    def names(self) -> set[str]:
        """The versions that are kept, without the ending of their files."""
        return {name.removesuffix(".json") for name in self.kept}


def prune(
    destination: Location, *, keep: int = 1, older_than: float = 1.0, dry_run: bool = False
) -> dict[str, Any]:
    """Remove what no kept version needs.

    Kept are the newest `keep` versions, the current one among them, and whatever was made in the last
    `older_than` days, versions as well as units: those may belong to a run that was killed and is to be taken
    up. No run may be at work. Returns the versions kept and removed, units removed by stage, their bytes, and
    what is left out: `too_young` units, and `left_out` (path below stages, reason; the first hundred of
    `left_out_count`): what is behind links, what may not be listed, what no stage of this congeal made.

    Raises UserError if nothing is published, if somebody is at work, or if a kept version is damaged.
    """
    if keep < 1:
        raise UserError(f"keep {counted(keep, 'version')} would leave none: keep at least 1.")
    if not older_than >= 0:
        raise UserError(f"older-than {older_than} is no number of days: give 0 or more.")
    if not check_layout(destination) or published(destination) is None:
        raise UserError(f"Nothing is published in {destination}: there is nothing to prune.")
    with nullcontext() if dry_run else locked(destination, PRUNE) as lock:
        now = datetime.now(UTC) if lock is None else lock.store_time
        plan = _plan(destination, keep, now - timedelta(days=older_than))
        if lock is not None:
            _carry_out(destination, plan, lock)
        local = destination.local_path()
        # Nobody is at work; what is younger may be of a machine whose heartbeat was lost.
        left = [] if local is None else partials(local, now - SILENCE)
        if lock is not None:
            for path in left:
                with suppress(OSError):
                    path.unlink()
    by_stage = dict.fromkeys(VERSIONS, 0)
    for unit in plan.units:
        by_stage[unit.stage] += 1
    freed = sum(unit.bytes for unit in plan.units) + sum(unit.contents[name] for unit, name in plan.leftovers)
    freed += plan.described.bytes
    return {
        "destination": destination.url,
        "dry_run": dry_run,
        "kept_versions": [name.removesuffix(".json") for name in plan.kept],
        "removed_versions": [name.removesuffix(".json") for name in plan.removed],
        "units": by_stage,
        "leftovers": len(plan.leftovers),
        "partial_files": len(left),
        "iceberg_files": len(plan.described.removed),
        "bytes": freed,
        "too_young": len(plan.young),
        "young": [f"{unit.stage}/{unit.name}" for unit in plan.young[:MOST_NAMED]],
        "left_out": [{"path": item.path, "reason": item.reason} for item in plan.left_out],
        "left_out_count": plan.left_out_count,
    }


def _plan(destination: Location, keep: int, since: datetime) -> _Plan:
    names = versions(destination)
    current = current_name(destination)
    kept, removed, needed = [], [], set()
    for place, name in enumerate(reversed(names)):
        if name == current or place < keep or _made(_read(destination, name)) > since:
            kept.append(name)
            # A kept version that cannot be read stops everything: what it needs is not known.
            needed |= _needed(published(destination, name))
        else:
            removed.append(name)
    units: list[_Unit] = []
    leftovers: list[tuple[_Unit, str]] = []
    unneeded = []
    left_out = _LeftOut()
    for unit in _listed(destination, left_out.add):
        if (unit.stage, unit.name) in needed:
            leftovers += _losers(destination, unit)
        else:
            unneeded.append(unit)
    young: list[_Unit] = []
    for unit, made in zip(
        unneeded, in_threads(lambda unit: _committed(destination, unit), unneeded), strict=True
    ):
        if made is not None and made > since:
            young.append(unit)
        else:
            units.append(unit)
    described = current_iceberg_tables.leaving(destination, {name.removesuffix(".json") for name in kept})
    return _Plan(
        kept[::-1], removed[::-1], young, units, leftovers, described, left_out.named, left_out.count
    )


def _carry_out(destination: Location, plan: _Plan, lock: RunLock) -> None:
    lock.require_held()
    for name in plan.removed:
        withdraw(destination, name)
    current_iceberg_tables.leave(destination, plan.described, plan.names)
    for units in batched(plan.units, AT_ONCE):
        lock.require_held()
        run_in_threads(lambda unit: _remove(destination, unit), units)
    for unit, name in plan.leftovers:
        (_folder(destination, unit) / name).delete()
    for stage, scope in sorted({(unit.stage, unit.name.partition("/")[0]) for unit in plan.units}):
        # On a disk, the folders of what is gone are left behind empty.
        folder = destination / "stages" / stage / scope
        if not folder.children():
            folder.delete()


def _remove(destination: Location, unit: _Unit) -> None:
    (_folder(destination, unit) / MARKER).delete()
    _folder(destination, unit).delete()


def _needed(publication: Publication | None) -> set[tuple[str, str]]:
    units: Mapping[str, list[str]] = publication.units if publication else {}
    return {(stage, name) for stage, names in units.items() for name in names}


class _LeftOut:
    """Counts what a pruning does not touch, and keeps the first names; each path once."""

    def __init__(self) -> None:
        self.named: list[Skipped] = []
        self.count = 0
        self._stages: set[str] = set()

    def add(self, item: Skipped) -> None:
        """Note one path; of a stage that is not known, only the stage."""
        stage = item.path.partition("/")[0]
        if item.reason == UNKNOWN_STAGE:
            if stage in self._stages:
                return
            self._stages.add(stage)
            item = Skipped(stage, UNKNOWN_STAGE)
        if item.reason == NOT_FOLLOWED:
            item = Skipped(item.path, BEHIND_LINK)
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(item)


def _listed(destination: Location, leave_out: Callable[[Skipped], None]) -> Iterator[_Unit]:
    """Every unit of a stage that this congeal knows; of one listing, in memory a line a unit.

    Links are not followed: what they lead to may be anybody's.
    """
    found: dict[tuple[str, str], _Unit] = {}
    for item in (destination / "stages").objects(leave_out, follow_links=False):
        parts = item.path.split("/", 4)
        if len(parts) < 4 or parts[0] not in VERSIONS:
            known = parts[0] in VERSIONS or len(parts) == 1
            leave_out(Skipped(item.path, NO_UNIT if known else UNKNOWN_STAGE))
            continue
        if "\\" in item.path or "" in parts:
            leave_out(Skipped(item.path, "its name cannot be used"))
            continue
        key = (parts[0], f"{parts[1]}/{parts[2]}")
        unit = found.setdefault(key, _Unit(*key))
        if len(parts) == 5:
            unit.contents[parts[3]] = unit.contents.get(parts[3], 0) + item.bytes
        else:
            unit.rest += item.bytes
            unit.committed = unit.committed or parts[3] == MARKER
    yield from found.values()


def _losers(destination: Location, unit: _Unit) -> list[tuple[_Unit, str]]:
    if len(unit.contents) < 2:
        return []
    marker = find_marker(destination, unit.stage, unit.name)
    return [(unit, name) for name in sorted(unit.contents) if marker is not None and name != marker.content]


def _committed(destination: Location, unit: _Unit) -> datetime | None:
    """When the unit was committed; None for what a killed run left, or what is damaged: of no use."""
    if not unit.committed:
        return None
    try:
        marker = find_marker(destination, unit.stage, unit.name)
    except DamagedError:
        return None
    return None if marker is None else _time(marker.started) + timedelta(seconds=marker.seconds)


def _read(destination: Location, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads((destination / "published/versions" / name).read_bytes()))
    except (MissingError, ValueError, TypeError):
        # An old version that is damaged has no age, and nobody can open it.
        return {}


def _made(content: Mapping[str, Any]) -> datetime:
    return _time(content.get("created", ""))


def _time(text: Any) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _folder(destination: Location, unit: _Unit) -> Location:
    return destination / "stages" / unit.stage / unit.name
