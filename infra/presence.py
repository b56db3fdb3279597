"""Who is at work in a destination: runs, and the pruning that must not meet them.

Whoever works leaves a small object and renews it from time to time; who has been silent for long is gone.
Each announces itself first and looks for the others second, so that of two that begin at once at least one
sees the other; it takes its own announcement back and stops.
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
from infra.storage import Location

FOLDER = "working"
RENEWAL = 20.0  # seconds between two signs
SILENCE = timedelta(minutes=5)  # after so long without a sign, a worker is gone
RUN, PRUNE = "run", "prune"


class Sign(BaseModel):
    """What a worker leaves. kind: "run" or "prune". seen: UTC, ISO 8601, when it gave its last sign."""

    model_config = ConfigDict(frozen=True)

    kind: str
    host: str
    process: int
    seen: str

    @property
    def silent(self) -> timedelta:
        """How long ago that was, by this machine's clock."""
        return datetime.now(UTC) - datetime.fromisoformat(self.seen)


class Presence:
    """An announcement that is being kept up."""

    def __init__(self, place: Location, kind: str) -> None:
        self._place = place
        self._kind = kind
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
        sign = Sign(kind=self._kind, host=socket.gethostname(), process=os.getpid(), seen=now.isoformat())
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
def present(destination: Location, kind: str) -> Iterator[Presence]:
    """Announce a worker of `kind` for the time of the block.

    A run minds a pruning; a pruning minds everybody. Raises UserError if somebody it minds is at work.
    """
    name = f"{kind}-{secrets.token_hex(8)}.json"
    presence = Presence(destination / FOLDER / name, kind)
    presence.begin()
    try:
        _require_alone(destination, name, {PRUNE} if kind == RUN else {RUN, PRUNE})
        yield presence
    finally:
        presence.end()


def _require_alone(destination: Location, mine: str, minded: set[str]) -> None:
    folder = destination / FOLDER
    for name in folder.children():
        sign = None if name == mine else _sign(folder / name)
        if sign is None:
            continue
        if sign.silent > SILENCE:
            (folder / name).delete()
        elif sign.kind in minded:
            # The number is of whole seconds; a clock ahead of this one gives a negative one.
            ago = max(0, int(sign.silent.total_seconds()))
            raise UserError(
                f"A {sign.kind} is at work in {destination} (process {sign.process} on {sign.host}, last "
                f"sign {ago} s ago): try again when it has ended, or, if it was killed, when "
                f"{SILENCE.seconds // 60} minutes have passed."
            )


def _sign(place: Location) -> Sign | None:
    try:
        return Sign.model_validate_json(place.read_bytes())
    except MissingError:
        return None
    except ValidationError:
        place.delete()
        return None
