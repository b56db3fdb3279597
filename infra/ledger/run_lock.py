"""Who is at work in a destination: runs, and the pruning that must not meet them.

Whoever works leaves a small object and renews it from time to time; who has been silent for long is gone.
Each announces itself first and looks for the others second, so that of two that begin at once at least one
sees the other; it takes its own announcement back and stops.

Not by filelock: many runs may be at work at once, on several machines, in a bucket as on a disk. A lock is
for one of them, on one file system.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import MissingError, StorageError, UserError
from infra.storage.location import Location

FOLDER = "working"
RENEWAL = 20.0  # seconds between two signs
SILENCE = timedelta(minutes=5)  # after so long without a sign, a worker is gone
LARGEST = 65_536  # bytes of a sign
RUN, PRUNE = "run", "prune"
_BROKEN = object()


class Sign(BaseModel):
    """What a worker leaves. kind: "run" or "prune". seen: UTC, ISO 8601, when it gave its last sign.

    alone: it bears nobody beside it, since its store cannot keep two writers apart.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    host: str
    process: int
    seen: str
    alone: bool = False

    @property
    def silent(self) -> timedelta | None:
        """How long ago that was, by this machine's clock; None for no time, or one that cannot be true."""
        try:
            seen = datetime.fromisoformat(self.seen)
            silent = datetime.now(UTC) - (seen if seen.tzinfo else seen.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            return None
        # Clocks differ a little; nobody has been seen a long time from now.
        return silent if silent > -SILENCE else None


class Presence:
    """An announcement that is being kept up."""

    def __init__(self, place: Location, kind: str, alone: bool = False) -> None:
        self._place = place
        self._kind = kind
        self._alone = alone
        self._last = datetime.now(UTC)
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)

    def begin(self) -> None:
        """Give the first sign, and keep giving them."""
        self._write()
        self._thread.start()

    def renew(self) -> None:
        """Give another sign."""
        # A laptop that slept, a store that was away, a clock that is wrong: others may have taken this worker
        # for gone, and whoever does so removes its sign.
        silent = datetime.now(UTC) - self._last > SILENCE
        self._lost = self._lost or silent or not self._place.exists()
        self._write()

    def _write(self) -> None:
        now = datetime.now(UTC)
        sign = Sign(
            kind=self._kind,
            host=socket.gethostname(),
            process=os.getpid(),
            seen=now.isoformat(),
            alone=self._alone,
        )
        self._place.write_bytes(sign.model_dump_json().encode() + b"\n")
        self._last = now

    def require_heard(self) -> None:
        """Raise UserError if others have, or may have, taken this worker for gone."""
        self.renew()
        if self._lost:
            raise UserError(
                f"This {self._kind} gave no sign for {SILENCE.seconds // 60} minutes, and others have not "
                "waited for it: start it again, what is done is not done anew."
            )

    def end(self) -> None:
        """Take the announcement back."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._place.delete()
        except StorageError:
            # What the worker did stays done; its sign grows old by itself.
            return

    def _keep(self) -> None:
        while not self._stop.wait(RENEWAL):
            try:
                self.renew()
            except StorageError:
                # It counts as silence; what the run itself reads and writes will say what is wrong.
                continue


@contextmanager
def present(destination: Location, kind: str, *, alone: bool = False) -> Iterator[Presence]:
    """Announce a worker of `kind` for the time of the block.

    A run minds a pruning; a pruning minds everybody; one that is `alone` minds everybody and is minded by
    everybody. Raises UserError if somebody it minds is at work.
    """
    name = f"{kind}-{secrets.token_hex(8)}.json"
    presence = Presence(destination / FOLDER / name, kind, alone)
    presence.begin()
    try:
        _require_alone(destination, name, {RUN, PRUNE} if alone or kind == PRUNE else {PRUNE})
        yield presence
    finally:
        presence.end()


def _require_alone(destination: Location, mine: str, minded: set[str]) -> None:
    folder = destination / FOLDER
    for name in folder.children():
        if name == mine or not name.endswith(".json"):
            continue
        try:
            place = folder / name
            sign = _sign(place)
        except StorageError:
            # A name that cannot be used, an object that may not be read: nothing that a worker left.
            continue
        if isinstance(sign, Sign):
            _mind(destination, place, sign, minded)
        elif sign is _BROKEN and RUN in minded:
            # Runs go on beside it; a pruning must be sure that no run has left it.
            _mind_broken(destination, place)


def _mind(destination: Location, place: Location, sign: Sign, minded: set[str]) -> None:
    silent = sign.silent
    # A time that cannot be true says nothing; the store knows when the sign was written.
    ago = _age(place) if silent is None else silent
    if ago is not None and ago > SILENCE:
        _remove(place)
    elif silent is None and sign.kind == PRUNE and not sign.alone and RUN not in minded:
        # It stops no run: a pruning that finds its sign gone stops before it removes more.
        _remove(place)
    elif sign.alone or sign.kind in minded:
        # The number is of whole seconds; a clock ahead of this one gives a negative one.
        seconds = "at an unknown time" if ago is None else f"{max(0, int(ago.total_seconds()))} s ago"
        why = ", which bears no other beside it (storage.single_writer)" if sign.alone else ""
        raise UserError(
            f"A {sign.kind} is at work in {destination}{why} (process {sign.process} on {sign.host}, last "
            f"sign {seconds}): try again when it has ended, or, if it was killed, when "
            f"{SILENCE.seconds // 60} minutes have passed."
        )


def _mind_broken(destination: Location, place: Location) -> None:
    ago = _age(place)
    if ago is not None and ago > SILENCE:
        _remove(place)
        return
    raise UserError(
        f"{place} may be the sign of a run and cannot be read: delete it if nobody is at work in "
        f"{destination}, or try again when {SILENCE.seconds // 60} minutes have passed."
    )


def _age(place: Location) -> timedelta | None:
    """How long ago the store wrote the object, None if that cannot be told."""
    try:
        changed = place.modified()
    except StorageError:
        return None
    return None if changed is None else datetime.now(UTC) - changed


def _remove(place: Location) -> None:
    try:
        place.delete()
    except StorageError:
        # It is silent, and so it is not minded, whether it goes or not.
        return


def _sign(place: Location) -> Sign | object | None:
    """The sign; _BROKEN for an object that is none or may not be read; None if there is no object."""
    try:
        if not place.is_object():
            return None
        if place.size() > LARGEST:
            return _BROKEN
        return Sign.model_validate_json(place.read_bytes())
    except MissingError:
        return None
    except (StorageError, ValidationError):
        return _BROKEN
