"""Locks on a destination: runs may work side by side, a pruning only alone.

A process writes a small object, its heartbeat, and renews it; one whose heartbeat is old has ended. Each
writes its own first and looks for others second, so that of two that begin at once at least one sees the
other; it removes its own heartbeat and stops.

How old a heartbeat is, the store says, which has written it and one's own: clocks of machines differ, by an
hour where a time zone is taken for another, and who trusted his own would take whoever is at work for ended.

Not by filelock: many runs may be at work at once, on several machines, in a bucket as on a disk. A lock is
for one of them, on one file system.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import MissingError, StorageError, UserError
from infra.storage.location import Location

FOLDER = "working"
RENEWAL = 60.0  # seconds between two heartbeats, of which each takes two requests
SILENCE = timedelta(minutes=5)  # after so long without a heartbeat, a process has ended
LARGEST = 65_536  # bytes of a heartbeat
RUN, PRUNE, REPAIR = "run", "prune", "repair"
_REMOVING = {PRUNE, REPAIR}  # these let no run work beside them
_BROKEN = object()


class Heartbeat(BaseModel):
    """What a process writes. kind: "run", "prune" or "repair". seen: UTC, ISO 8601, when it was written last.

    alone: no other process may write at the same time, since the store cannot keep two writers apart.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    host: str
    process: int
    seen: str
    alone: bool = False

    @property
    def silent(self) -> timedelta | None:
        """How long ago that was by this machine's clock, for a store that has none; None for no such time."""
        try:
            seen = datetime.fromisoformat(self.seen)
            silent = datetime.now(UTC) - (seen if seen.tzinfo else seen.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            return None
        # Clocks differ a little; a heartbeat from a distant future is wrong.
        return silent if silent > -SILENCE else None


class RunLock:
    """A heartbeat that a thread renews."""

    def __init__(self, place: Location, kind: str, alone: bool = False) -> None:
        self._place = place
        self._kind = kind
        self._alone = alone
        self._last = _elapsed()
        self._lost = self._removed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="run-lock", daemon=True)

    def begin(self) -> None:
        """Write the first heartbeat, and go on."""
        self._write()
        self._thread.start()

    def renew(self) -> None:
        """Write another heartbeat."""
        # A laptop that slept, a store that did not answer: others may have taken this process for ended, and
        # removed its heartbeat.
        silent = _elapsed() - self._last > SILENCE.total_seconds()
        removed = not silent and not self._place.exists()
        self._removed = self._removed or removed
        self._lost = self._lost or silent or removed
        self._write()

    def _write(self) -> None:
        now = datetime.now(UTC)
        heartbeat = Heartbeat(
            kind=self._kind,
            host=socket.gethostname(),
            process=os.getpid(),
            seen=now.isoformat(),
            alone=self._alone,
        )
        self._place.write_bytes(heartbeat.model_dump_json().encode() + b"\n")
        self._last = _elapsed()

    @property
    def store_time(self) -> datetime:
        """When the last heartbeat was written, by the store's clock; by this machine's where it has none."""
        return _written(self._place) or datetime.now(UTC)

    def require_held(self) -> None:
        """Raise UserError if others have, or may have, taken this process for ended."""
        self.renew()
        if self._removed:
            raise UserError(
                f"Another process took this {self._kind} for ended and removed its heartbeat, which is "
                f"renewed every {RENEWAL:.0f} s: most likely the store could not be written to for "
                f"{SILENCE.seconds // 60} minutes; start it again, what is done is kept."
            )
        if self._lost:
            raise UserError(
                f"This {self._kind} wrote no heartbeat for {SILENCE.seconds // 60} minutes, and others may "
                "have started: start it again, what is done is kept."
            )

    def end(self) -> None:
        """Remove the heartbeat."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._place.delete()
        except StorageError:
            # The work is done; an old heartbeat counts for nothing.
            return

    def _keep(self) -> None:
        while not self._stop.wait(RENEWAL):
            try:
                self.renew()
            except StorageError:
                # What the run itself reads and writes will say what is wrong.
                continue


@contextmanager
def locked(destination: Location, kind: str, *, alone: bool = False) -> Iterator[RunLock]:
    """Hold a lock of `kind` for the time of the block.

    A run excludes a pruning and a repair; these, and whoever is `alone`, exclude all others. Raises UserError
    if another process holds a lock that excludes this one.
    """
    name = f"{kind}-{secrets.token_hex(8)}.json"
    lock = RunLock(destination / FOLDER / name, kind, alone)
    lock.begin()
    try:
        _require_alone(destination, name, {RUN, *_REMOVING} if alone or kind in _REMOVING else _REMOVING)
        yield lock
    finally:
        lock.end()


def _require_alone(destination: Location, mine: str, excluded: set[str]) -> None:
    folder = destination / FOLDER
    clock = _StoreClock(folder / mine)
    for name in folder.children():
        if name == mine or not name.endswith(".json"):
            continue
        try:
            place = folder / name
            heartbeat = _heartbeat(place)
        except StorageError:
            # A name that cannot be used, an object that may not be read: no heartbeat.
            continue
        if isinstance(heartbeat, Heartbeat):
            _check(destination, place, heartbeat, excluded, clock)
        elif heartbeat is _BROKEN and RUN in excluded:
            # Runs do not look at it; a pruning must be sure that no run wrote it.
            _check_broken(destination, place, clock)


def _check(
    destination: Location, place: Location, heartbeat: Heartbeat, excluded: set[str], clock: _StoreClock
) -> None:
    told = clock.age(place)
    silent = heartbeat.silent if told is None else told
    ago = silent
    if ago is not None and ago > SILENCE:
        _remove(place)
    elif silent is None and heartbeat.kind in _REMOVING and not heartbeat.alone and RUN not in excluded:
        # It stops no run: a pruning whose heartbeat is gone stops before it removes more.
        _remove(place)
    elif heartbeat.alone or heartbeat.kind in excluded:
        # The number is of whole seconds; a clock ahead of this one gives a negative one.
        seconds = "at an unknown time" if ago is None else f"{max(0, int(ago.total_seconds()))} s ago"
        why = ", the only writer that its store allows (storage.single_writer)" if heartbeat.alone else ""
        raise UserError(
            f"A {heartbeat.kind} is at work in {destination}{why} (process {heartbeat.process} on "
            f"{heartbeat.host}, last heartbeat {seconds}): try again when it has ended, or, if it was "
            f"killed, when {SILENCE.seconds // 60} minutes have passed."
        )


def _check_broken(destination: Location, place: Location, clock: _StoreClock) -> None:
    ago = clock.age(place)
    if ago is not None and ago > SILENCE:
        _remove(place)
        return
    raise UserError(
        f"{place} may be the heartbeat of a run and cannot be read: delete it if no run is at work in "
        f"{destination}, or try again when {SILENCE.seconds // 60} minutes have passed."
    )


class _StoreClock:
    """The store's time, from the heartbeat that this process has just written."""

    def __init__(self, mine: Location) -> None:
        self._mine = mine
        self._now: datetime | None = None

    def age(self, place: Location) -> timedelta | None:
        """How long before that the store wrote an object; None if it does not say."""
        self._now = self._now or _written(self._mine)
        changed = _written(place)
        return None if changed is None or self._now is None else self._now - changed


def _written(place: Location) -> datetime | None:
    try:
        return place.modified()
    except StorageError:
        return None


def _elapsed() -> float:
    """Seconds that pass while a machine sleeps, too, whatever is done to its clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _remove(place: Location) -> None:
    try:
        place.delete()
    except StorageError:
        # It is old, and counts for nothing.
        return


def _heartbeat(place: Location) -> Heartbeat | object | None:
    """The heartbeat; _BROKEN for an object that is none or may not be read; None if there is no object."""
    try:
        if not place.is_object():
            return None
        if place.size() > LARGEST:
            return _BROKEN
        return Heartbeat.model_validate_json(place.read_bytes())
    except MissingError:
        return None
    except (StorageError, ValidationError):
        return _BROKEN
